"""What every loss family must hold, by being listed: a new family passes these without a line of its own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses import Family, build_loss, functional, get_family, list_losses, loss_info

BATCH, CLASSES = 64, 5

FAMILIES = [pytest.param(get_family(name), id=name) for name in list_losses()]
KNOBS = [pytest.param(get_family(name), knob, id=f"{name}.{knob.name}") for name in list_losses() for knob in get_family(name).knobs]
OPTIONS = [
    pytest.param(get_family(name), option.name, choice, id=f"{name}.{option.name}={choice}")
    for name in list_losses()
    for option in get_family(name).options
    for choice in option.choices
    if choice != option.default
]
BASELINES = [case for case in KNOBS if isinstance(case.values[1], Knob) and case.values[1].baseline is not None]


def draw(family: Family, *shape: int, classes: int = CLASSES, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores (*shape, classes) such as the family reads, and targets (*shape)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    scores = 3.0 * noise if family.reads == "logits" else torch.tanh(noise)
    return scores.to(dtype), torch.randint(classes, shape, generator=generator)


def loss_and_gradient(family: Family, scores: Tensor, target: Tensor, **values: float | str) -> tuple[Tensor, Tensor]:
    leaf = scores.clone().requires_grad_()
    module = build_loss(family.name, num_classes=scores.shape[-1], reduction="none", **values)
    loss = module(leaf, target)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient


def another_value(knob: Knob) -> float:
    """The value farthest from the default that a study would try."""
    return max((*knob.grid, *knob.search), key=lambda value: abs(value - knob.default))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_declaration_is_complete_and_keeps_its_own_bounds(family: Family) -> None:
    assert family.title
    assert family.reference
    assert loss_info(family.name) is family
    assert getattr(functional, family.name) is family.function
    names = [knob.name for knob in family.knobs] + [option.name for option in family.options]
    assert len(set(names)) == len(names)
    for knob in family.knobs:
        tried = (knob.default, *knob.grid, *knob.search, *([] if knob.baseline is None else [knob.baseline]))
        assert [knob.check(value, family.name) for value in tried] == list(tried)
        assert list(knob.grid) == sorted(set(knob.grid))
        assert knob.search[0] < knob.search[1]
        assert knob.symbol
        assert knob.source
    for option in family.options:
        assert option.default in option.choices


def test_every_public_pure_function_belongs_to_a_family() -> None:
    assert sorted(functional.__all__) == sorted(list_losses())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_knob_has_enough_grid_values_for_a_response_curve(family: Family) -> None:
    assert len(family.knobs[0].grid) >= 5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_module_is_the_pure_function_at_its_knobs(family: Family) -> None:
    scores, target = draw(family, BATCH)
    loss, _ = loss_and_gradient(family, scores, target)
    knobs = {knob.name: knob.default for knob in family.knobs}
    torch.testing.assert_close(loss, family.function(scores, target, **knobs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("family", "knob"), KNOBS)
def test_a_changed_knob_changes_the_loss_and_its_gradient(family: Family, knob: Knob) -> None:
    scores, target = draw(family, BATCH)
    loss, gradient = loss_and_gradient(family, scores, target)
    changed_loss, changed_gradient = loss_and_gradient(family, scores, target, **{knob.name: another_value(knob)})
    assert (loss - changed_loss).abs().max() > 1e-3
    assert (gradient - changed_gradient).abs().max() > 1e-3


@pytest.mark.parametrize(("family", "name", "choice"), OPTIONS)
def test_a_changed_option_changes_the_gradient(family: Family, name: str, choice: str) -> None:
    scores, target = draw(family, BATCH)
    _, gradient = loss_and_gradient(family, scores, target)
    _, changed = loss_and_gradient(family, scores, target, **{name: choice})
    assert (gradient - changed).abs().max() > 1e-3


@pytest.mark.parametrize(("family", "knob"), BASELINES)
def test_at_its_baseline_a_knob_has_the_gradient_of_cross_entropy(family: Family, knob: Knob) -> None:
    scores, target = draw(family, BATCH)
    _, gradient = loss_and_gradient(family, scores, target, **{knob.name: float(knob.baseline or 0.0)})
    leaf = scores.clone().requires_grad_()
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(leaf, target, reduction="sum"), leaf)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("family", "knob"), KNOBS)
def test_set_knobs_gives_the_loss_of_a_module_built_with_the_new_value(family: Family, knob: Knob) -> None:
    scores, target = draw(family, BATCH)
    value = another_value(knob)
    changed = build_loss(family.name, num_classes=CLASSES, reduction="none")
    changed.set_knobs(**{knob.name: value})
    built = build_loss(family.name, num_classes=CLASSES, reduction="none", **{knob.name: value})
    assert changed.knobs == built.knobs
    assert torch.equal(changed(scores, target), built(scores, target))
    with pytest.raises(ValueError, match=rf"{family.name}: {knob.name} must be .* got nan"):
        changed.set_knobs(**{knob.name: math.nan})


@pytest.mark.parametrize(("family", "knob"), KNOBS)
def test_a_bad_value_is_refused_with_the_family_the_knob_the_value_and_what_is_allowed(family: Family, knob: Knob) -> None:
    bad: list[object] = [knob.low - 1.0, math.nan, math.inf, "1.0", True, None]
    bad += [knob.low] * knob.open_low + [knob.high] * knob.open_high
    bad += [knob.high + 1.0] * math.isfinite(knob.high)
    for value in bad:
        with pytest.raises(ValueError, match=f"^{family.name}: {knob.name} must be") as error:
            build_loss(family.name, num_classes=CLASSES, **{knob.name: value})  # type: ignore[arg-type]
        assert repr(value) in str(error.value)
        assert knob.allowed in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_knob_or_option_value_is_refused_with_the_known_ones(family: Family) -> None:
    with pytest.raises(ValueError, match=f"^{family.name}: unknown knob 'sharpness'.*{family.knobs[0].name}"):
        build_loss(family.name, num_classes=CLASSES, sharpness=1.0)
    for option in family.options:
        with pytest.raises(ValueError, match=f"^{family.name}: {option.name} must be one of .*{option.default}.*got 'other'"):
            build_loss(family.name, num_classes=CLASSES, **{option.name: "other"})


@pytest.mark.parametrize("family", FAMILIES)
def test_reductions_agree(family: Family) -> None:
    scores, target = draw(family, BATCH)
    none, total, mean = (build_loss(family.name, num_classes=CLASSES, reduction=r)(scores, target) for r in ("none", "sum", "mean"))
    assert none.shape == target.shape
    assert torch.equal(total, none.sum())
    assert torch.equal(mean, none.mean())


@pytest.mark.parametrize("family", [case for case in FAMILIES if case.values[0].reads == "logits"])  # type: ignore[union-attr]
def test_adding_a_constant_to_all_logits_changes_nothing(family: Family) -> None:
    scores, target = draw(family, BATCH)
    loss, gradient = loss_and_gradient(family, scores, target)
    shifted_loss, shifted_gradient = loss_and_gradient(family, scores + 0.75, target)
    torch.testing.assert_close(shifted_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(shifted_gradient, gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient.sum(dim=-1), torch.zeros(BATCH, dtype=torch.float64), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_renaming_the_classes_renames_the_gradient(family: Family) -> None:
    scores, target = draw(family, BATCH)
    order = torch.tensor([3, 0, 4, 1, 2])
    loss, gradient = loss_and_gradient(family, scores, target)
    renamed_loss, renamed_gradient = loss_and_gradient(family, scores[..., order], order.argsort()[target])
    torch.testing.assert_close(renamed_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(renamed_gradient, gradient[..., order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_leading_axes_are_any_number_from_none_on(family: Family) -> None:
    scores, target = draw(family, 2, 3, 4)
    loss, gradient = loss_and_gradient(family, scores, target)
    for i, j, k in itertools.product(range(2), range(3), range(4)):
        one_loss, one_gradient = loss_and_gradient(family, scores[i, j, k], target[i, j, k])
        assert one_loss.shape == ()
        torch.testing.assert_close(one_loss, loss[i, j, k], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(one_gradient, gradient[i, j, k], rtol=1e-12, atol=1e-12)
    assert build_loss(family.name, num_classes=CLASSES, reduction="sum")(*draw(family, 0)) == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_knob_tensor_over_the_leading_axes_equals_one_call_per_row(family: Family) -> None:
    scores, target = draw(family, 5, 16)
    rows = {knob.name: torch.linspace(*knob.search, 5, dtype=torch.float64) for knob in family.knobs}
    together = family.function(scores, target, **{name: values.unsqueeze(-1) for name, values in rows.items()})
    for i in range(5):
        alone = family.function(scores[i], target[i], **{name: float(values[i]) for name, values in rows.items()})
        torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_classes_suffice_and_one_does_not(family: Family) -> None:
    scores, target = draw(family, BATCH, classes=2)
    loss, gradient = loss_and_gradient(family, scores, target)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    with pytest.raises(ValueError, match=f"{family.name}: num_classes must be >= 2, got 1"):
        build_loss(family.name, num_classes=1)
    with pytest.raises(ValueError, match="K >= 2"):
        family.function(scores[..., :1], torch.zeros_like(target))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_that_does_not_go_with_the_scores_is_refused(family: Family) -> None:
    scores, target = draw(family, BATCH)
    with pytest.raises(ValueError, match=r"target must have the shape \(64,\).*got \(64, 1\)"):
        family.function(scores, target.unsqueeze(-1))
    with pytest.raises(ValueError, match=r"target must hold integer class indices, got torch\.float32"):
        family.function(scores, target.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("family", FAMILIES)
def test_low_precision_scores_give_a_finite_float32_loss_close_to_the_exact_one(family: Family, dtype: torch.dtype) -> None:
    scores, target = draw(family, BATCH, dtype=dtype)
    for knob in family.knobs:
        for value in (*knob.grid, *knob.search):
            loss, gradient = loss_and_gradient(family, scores, target, **{knob.name: value})
            exact, _ = loss_and_gradient(family, scores.double(), target, **{knob.name: value})
            assert loss.dtype == torch.float32
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()
            torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_extreme_scores_give_finite_losses_and_gradients(family: Family, dtype: torch.dtype) -> None:
    extremes = [1e4, -1e4, 0.0] if family.reads == "logits" else [1.0, -1.0, 0.0]
    scores = torch.tensor(list(itertools.product(extremes, repeat=3)), dtype=dtype).repeat(3, 1)
    target = torch.arange(3).repeat_interleave(27)
    for knob in family.knobs:
        for value in knob.grid:
            loss, gradient = loss_and_gradient(family, scores, target, **{knob.name: value})
            assert loss.isfinite().all()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_caller_s_tensors_are_not_written_to(family: Family) -> None:
    scores, target = draw(family, BATCH)
    scores.requires_grad_()
    knobs = {knob.name: torch.full((BATCH,), knob.default, dtype=torch.float64) for knob in family.knobs}
    given = (scores, target, *knobs.values())
    before = [(tensor.detach().clone(), tensor._version) for tensor in given]
    family.function(scores, target, **knobs).sum().backward()
    for tensor, (value, version) in zip(given, before, strict=True):
        assert torch.equal(tensor, value)
        assert tensor._version == version


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_finite_differences(family: Family) -> None:
    scores, target = draw(family, 6, seed=1)
    inside = {knob.name: sum(knob.search) / 2.0 for knob in family.knobs}
    knobs = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in inside.items()}

    def function(scores: Tensor, *values: Tensor) -> Tensor:
        return family.function(scores, target, **dict(zip(knobs, values, strict=True)))

    assert torch.autograd.gradcheck(function, (scores.requires_grad_(), *knobs.values()))
    assert torch.autograd.gradgradcheck(lambda scores: family.function(scores, target), (scores,))


@pytest.mark.parametrize("family", FAMILIES)
def test_autocast_does_not_lower_the_precision_of_the_loss(family: Family) -> None:
    scores, target = draw(family, BATCH, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, gradient = loss_and_gradient(family, scores, target)
    outside, expected = loss_and_gradient(family, scores, target)
    assert torch.equal(inside, outside)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_put_the_highest_score_first(family: Family) -> None:
    scores, _ = draw(family, BATCH)
    logits = build_loss(family.name, num_classes=CLASSES).prediction_logits(scores)
    assert torch.equal(logits.argsort(dim=-1), scores.argsort(dim=-1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_module_survives_a_trip_through_its_state(family: Family) -> None:
    scores, target = draw(family, BATCH)
    one, other = (build_loss(family.name, num_classes=CLASSES) for _ in range(2))
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.mul_(1.5)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(scores, target), other(scores, target))


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    for asked in (lambda: build_loss("hinge", num_classes=2), lambda: get_family("hinge"), lambda: loss_info("hinge")):
        with pytest.raises(ValueError, match=r"unknown loss family 'hinge'.*ce, gds"):
            asked()


def test_an_unknown_reduction_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="ce: reduction must be one of mean, sum, none, got 'max'"):
        build_loss("ce", num_classes=2, reduction="max")  # type: ignore[arg-type]
