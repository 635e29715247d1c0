"""The regularisers against the paper's formulas in high precision, and what every one of them must hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser
from mpmath import fsum, mpf
from torch.nn.functional import normalize

from margin_core.regularizers import Regularizer, get_regularizer, list_regularizers
from margin_core.regularizers.sample_margin import sample_margin
from margin_core.regularizers.zero_centroid import zero_centroid
from margin_core.testing.exact import value_and_gradient
from tests.margin_core.losses import oracle

TOLERANCE = 1e-12
REGULARIZERS = [pytest.param(get_regularizer(name), id=name) for name in list_regularizers()]


def arguments(regularizer: Regularizer, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(7, 4, generator=generator, dtype=torch.float64).mul(2.0).sub(1.0).to(dtype)
    return (values, torch.randint(4, (7,), generator=generator)) if regularizer.reads == "cosines" else (values,)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_the_declaration_is_complete_and_its_weight_is_nothing_by_default(regularizer: Regularizer) -> None:
    assert regularizer.title
    assert regularizer.reference
    weight = regularizer.weight
    assert (weight.name, weight.default, weight.low, weight.baseline) == ("weight", 0.0, 0.0, 0.0)
    assert len(weight.grid) >= 5
    assert list(weight.grid) == sorted(set(weight.grid))
    assert weight.grid[0] == 0.0
    with pytest.raises(ValueError, match=rf"{regularizer.name}: weight must be >= 0, got -1"):
        weight.check(-1, regularizer.name)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_its_page_has_a_formula_in_tex_when_to_use_it_and_whole_tables_of_what_papers_report(regularizer: Regularizer) -> None:
    assert regularizer.formula
    for equation in regularizer.formula:
        assert MathTextParser("path").parse(f"${equation}$").width > 0.0
    assert regularizer.when.endswith(".")
    for table in regularizer.reported:
        assert {len(row) for row in table.rows} == {len(table.columns)}


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_gradients_are_those_of_finite_differences(regularizer: Regularizer) -> None:
    values, *rest = arguments(regularizer)
    assert torch.autograd.gradcheck(lambda v: regularizer.function(v, *rest), (values.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_low_precision_gives_a_finite_float32_term_and_writes_into_nothing(regularizer: Regularizer, dtype: torch.dtype) -> None:
    given_ = arguments(regularizer, dtype)
    before = [tensor.clone() for tensor in given_]
    term = regularizer.function(*given_)
    assert term.dtype == torch.float32
    assert term.isfinite().all()
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given_, before, strict=True))


def test_an_unknown_regulariser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown regulariser 'l2'; known regularisers: sample_margin, zero_centroid"):
        get_regularizer("l2")


def test_the_sample_margin_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    cases = [(rng.uniform(-1.0, 1.0, classes).tolist(), int(rng.integers(classes))) for classes in (2, 3, 5, 9) for _ in range(12)]
    cases += [([1.0, -1.0, 1.0], 0), ([-1.0, 1.0], 0), ([0.5, 0.5, 0.5], 1), ([-6.0, -7.0, -3.0], 1)]
    for c, y in cases:
        cosines = torch.tensor(c, dtype=torch.float64, requires_grad=True)
        term = sample_margin(cosines, torch.tensor(y))
        (gradient,) = torch.autograd.grad(term, cosines)
        exact, exact_gradient = value_and_gradient(oracle.sample_margin, c, y)
        for ours, theirs in zip([term.item(), *gradient.tolist()], [exact, *exact_gradient], strict=True):
            assert abs(mpf(ours) - theirs) < TOLERANCE


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=7), st.integers(0, 6))
def test_the_sample_margin_lies_between_minus_two_and_two_and_is_negative_only_for_well_classified_samples(
    cosines: list[float], index: int
) -> None:
    y = index % len(cosines)
    term = sample_margin(torch.tensor(cosines, dtype=torch.float64), torch.tensor(y)).item()
    assert -2.0 <= term <= 2.0
    assert (term < 0.0) == (cosines[y] > max(c for j, c in enumerate(cosines) if j != y))


def test_the_sample_margin_takes_any_number_of_leading_axes() -> None:
    cosines = torch.linspace(-1.0, 1.0, 24, dtype=torch.float64).reshape(2, 3, 4)
    target = torch.tensor([[0, 1, 2], [3, 2, 1]])
    together = sample_margin(cosines, target)
    assert together.shape == (2, 3)
    assert together[1, 2] == sample_margin(cosines[1, 2], target[1, 2])


def test_the_zero_centroid_term_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    for classes, features in [(2, 1), (3, 4), (10, 3), (7, 20)] * 12:
        w = rng.normal(0.0, rng.choice([1e-3, 1.0, 1e3]), (classes, features))
        prototypes = torch.tensor(w, requires_grad=True)
        term = zero_centroid(prototypes)
        (gradient,) = torch.autograd.grad(term, prototypes)
        mean = [fsum(mpf(value) for value in column) / classes for column in w.T.tolist()]
        exact = fsum(value**2 for value in mean)
        assert abs(mpf(term.item()) - exact) < TOLERANCE * max(1, exact)
        for row in gradient.tolist():
            for ours, value in zip(row, mean, strict=True):
                assert abs(mpf(ours) - 2 * value / classes) < TOLERANCE * max(1, abs(value))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_zero_centroid_term_vanishes_at_the_simplex_and_is_one_where_all_prototypes_are_the_same(classes: int) -> None:
    simplex = normalize(torch.eye(classes, dtype=torch.float64) - 1.0 / classes, dim=-1)
    assert zero_centroid(simplex).item() == pytest.approx(0.0, abs=1e-30)
    assert zero_centroid(simplex[:1].expand(classes, classes)).item() == pytest.approx(1.0, rel=1e-14)


def test_the_sum_of_the_public_code_is_k_squared_times_the_mean_of_normalised_prototypes() -> None:
    prototypes = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    code = zero_centroid(prototypes, form="sum")
    torch.testing.assert_close(code, normalize(prototypes, dim=-1).sum(dim=-2).square().sum(dim=-1), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(code, 49.0 * zero_centroid(normalize(prototypes, dim=-1)), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(zero_centroid(5.0 * prototypes, form="sum"), code, rtol=1e-12, atol=0.0)
    # What the code's weight of 5 is on the mean of 10 and of 100 prototypes.
    assert {500.0, 50000.0} < set(get_regularizer("zero_centroid").weight.grid)
    with pytest.raises(ValueError, match="zero_centroid: form must be one of mean, sum, got 'median'"):
        zero_centroid(prototypes, form="median")  # type: ignore[arg-type]


def test_the_zero_centroid_term_is_one_number_for_each_set_of_prototypes() -> None:
    assert zero_centroid(torch.ones(5, 3, 2)).tolist() == [2.0] * 5
    with pytest.raises(ValueError, match=r"prototypes must have the shape \(\.\.\., K, d\), got \(3,\)"):
        zero_centroid(torch.ones(3))
