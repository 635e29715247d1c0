"""The conformance classes themselves: they find what is wrong, and pytest and mpmath are theirs alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mpmath import mpf
from torch import Tensor, nn

from margin_core.data import SOURCES, Dataset
from margin_core.losses import FAMILIES, Family
from margin_core.testing import DatasetConformance, FamilyConformance, ModelConformance
from margin_core.testing.exact import relative_errors, value_and_gradient
from tests.margin_core.losses import oracle

FOCAL = FAMILIES.ours["focal"]
DIGITS = SOURCES.ours["digits"]


def with_function(function: Callable[..., Tensor]) -> Family:
    return replace(FOCAL, function=function)


class ScaledGradient(torch.autograd.Function):
    """Hands its argument on, and its gradient times ``factor`` back."""

    @staticmethod
    def forward(x: Tensor, factor: float) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


@pytest.mark.parametrize(
    "function",
    [
        lambda scores, target, **knobs: FOCAL.function(scores, target, **knobs) * (1.0 + 1e-10),
        lambda scores, target, **knobs: ScaledGradient.apply(FOCAL.function(scores, target, **knobs), 0.5),
        lambda scores, target, **knobs: FOCAL.function(scores, target, **knobs).float(),
    ],
    ids=["a loss with a wrong digit", "half the gradient", "single precision"],
)
def test_numbers_that_are_not_those_of_the_formula_are_found(function: Callable[..., Tensor]) -> None:
    with pytest.raises(AssertionError):
        FamilyConformance().test_values_and_gradients_are_those_of_the_formula(with_function(function), oracle.focal, {})
    FamilyConformance().test_values_and_gradients_are_those_of_the_formula(FOCAL, oracle.focal, {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_gradients_that_are_a_hundredth_too_large_in_one_precision_only_are_found(family: Family, dtype: torch.dtype) -> None:
    def function(scores: Tensor, target: Tensor, **knobs: Tensor) -> Tensor:
        return family.function(ScaledGradient.apply(scores, 1.01 if scores.dtype == dtype else 1.0), target, **knobs)

    with pytest.raises(AssertionError):
        FamilyConformance().test_in_low_precision_loss_and_gradient_are_the_exact_ones_but_for_a_few_roundings(
            replace(family, function=function), dtype
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda loss: loss * (1.0 + 1e-5),
        lambda loss: loss.half().float(),
        lambda loss: loss.double(),
        lambda loss: ScaledGradient.apply(loss, 1.0 + 1e-5),
    ],
    ids=["a loss with a wrong digit", "a loss in half precision", "a loss of another type", "a gradient with a wrong digit"],
)
def test_numbers_in_single_precision_that_are_not_the_exact_ones_are_found(change: Callable[[Tensor], Tensor]) -> None:
    def function(scores: Tensor, target: Tensor, **knobs: Tensor) -> Tensor:
        loss = FOCAL.function(scores, target, **knobs)
        return change(loss) if scores.dtype == torch.float32 else loss

    suite = FamilyConformance()
    for test in (
        suite.test_in_low_precision_loss_and_gradient_are_the_exact_ones_but_for_a_few_roundings,
        suite.test_extreme_scores_give_finite_losses_and_gradients_close_to_the_exact_ones,
    ):
        with pytest.raises(AssertionError):
            test(with_function(function), torch.float32)


def test_a_family_that_changes_the_scores_it_is_given_is_found() -> None:
    def function(scores: Tensor, target: Tensor, **knobs: Tensor) -> Tensor:
        target.clamp_(min=1)
        return FOCAL.function(scores, target, **knobs)

    with pytest.raises(AssertionError):
        FamilyConformance().test_the_caller_s_tensors_are_not_written_to(with_function(function))


def test_a_family_that_is_declared_but_not_found_is_told_of() -> None:
    with pytest.raises(ValueError, match="unknown loss family 'poly1'"):
        FamilyConformance().test_a_study_finds_it_by_its_name(replace(FOCAL, name="poly1"))


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.zeros(1797, 1, 8, 9)},
        {"images": torch.zeros(1797, 1, 8, 8, dtype=torch.float64)},
        {"labels": torch.zeros(1797, dtype=torch.int64)},
        {"labels": torch.zeros(1797, dtype=torch.int32)},
        {"name": "other"},
        {"class_names": ("same",) * 10},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_dataset_that_is_not_what_its_declaration_says_is_found(change: dict[str, object]) -> None:
    def read(data_root: Path | None) -> Dataset:
        return replace(DIGITS.read(data_root), **change)  # type: ignore[arg-type]

    with pytest.raises(AssertionError):
        DatasetConformance().test_what_is_read_is_what_the_declaration_says(replace(DIGITS, read=read))


def test_a_dataset_that_is_drawn_anew_whenever_it_is_read_is_found() -> None:
    def read(data_root: Path | None) -> Dataset:
        digits = DIGITS.read(data_root)
        return replace(digits, images=digits.images + 0.01 * torch.randn_like(digits.images))

    with pytest.raises(AssertionError):
        DatasetConformance().test_reading_twice_gives_the_same_and_draws_no_random_number(replace(DIGITS, read=read))


def test_a_class_that_names_nothing_to_test_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "from margin_core.testing import FamilyConformance, DatasetConformance, ModelConformance\n"
        "class TestF(FamilyConformance): pass\n"
        "class TestD(DatasetConformance): pass\n"
        "class TestM(ModelConformance): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for what in (
        "TestF.families must name at least one family",
        "TestD.sources must name at least one dataset",
        "TestM.models must name at least one model",
    ):
        assert what in told
    assert "passed" not in told


def test_an_error_is_relative_to_the_number_or_to_the_gradient_and_never_to_more_than_1() -> None:
    assert relative_errors([2.5], [mpf(2)], 0.0) == [0.25]
    assert relative_errors([1e-3, 0.5, 1e-3], [mpf(0), mpf(0.5), mpf(0)], 1e-300) == [2e-3, 0.0, 2e-3]
    assert relative_errors([1e-3, 64.0, 1e-3], [mpf(0), mpf(64), mpf(0)], 1e-300) == [1e-3, 0.0, 1e-3]
    assert relative_errors([2e-20, 1e-20], [mpf(1e-20), mpf(1e-20)], 1e-300) == [1.0, 0.0]
    assert relative_errors([2e-20, 1e-20], [mpf(1e-20), mpf(1e-20)], 1.0) == [1e-20, 0.0]
    assert relative_errors([1.0, 7.0], [mpf(1), None], 1.0) == [0.0]


def test_where_a_disturbed_cosine_leaves_the_reals_there_is_no_derivative() -> None:
    _, (own, other) = value_and_gradient(oracle.arc_face, [1.0, 0.5], 0, m=0.5, s=2.0)
    assert own is None
    assert other is not None
    assert other > 0


def test_everything_but_testing_is_imported_without_the_extra() -> None:
    script = """
import pkgutil, sys
for extra in ("pytest", "mpmath", "hypothesis"):
    sys.modules[extra] = None
import margin_core
for module in pkgutil.walk_packages(margin_core.__path__, "margin_core."):
    # The compiled loops are a library of C functions, not of Python's.
    if not module.name.startswith("margin_core.testing") and module.name != "margin_core.losses._closed_form":
        __import__(module.name)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("missing", ["mpmath", "pytest"])
def test_without_the_extra_the_error_names_what_is_missing_and_how_it_is_had(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; import margin_core.testing"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: margin_core.testing needs {missing}, which is not installed: pip install 'margin-studies[testing]'"
    )


def test_a_model_whose_images_of_a_batch_see_one_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from margin_core.models import MODELS, ModelSource

    class MinusTheBatchsMean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            features = images.flatten(1)
            return features - features.mean(dim=0)

    source = ModelSource(name="seeing", title="Seeing", reference="none", build=lambda name, in_shape: MinusTheBatchsMean())
    monkeypatch.setitem(MODELS.ours, "seeing", source)
    with pytest.raises(AssertionError):
        ModelConformance().test_what_it_says_of_an_image_in_evaluation_does_not_depend_on_the_others("seeing", (1, 4, 4))
