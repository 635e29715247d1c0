from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from studies.analysis.best import Comparison, compare_with_best
from studies.analysis.slopes import CUBIC, QUARTIC, knob_range, lack_of_fit, shared_optimum, slopes

GRID = np.linspace(0.0, 3.0, 7)


def fitted(means: np.ndarray, seeds: int = 6, noise: float = 0.1, seed: int = 0) -> Comparison:
    generator = np.random.default_rng(seed)
    return compare_with_best(means + generator.normal(90.0, 1.0, (seeds, 1)) + noise * generator.standard_normal((seeds, len(means))))


def test_a_slope_is_that_of_least_squares_on_all_runs_with_seed_effects() -> None:
    generator = np.random.default_rng(1)
    scores = -((GRID - 1.2) ** 2) + generator.normal(0.0, 1.0, (6, 1)) + 0.2 * generator.standard_normal((6, 7))
    fit = compare_with_best(scores)
    seed, cell = np.indices(scores.shape).reshape(2, -1)
    design = np.column_stack([np.eye(6)[seed], *(GRID[cell] ** power for power in (1, 2, 3))])
    solution = np.linalg.lstsq(design, scores.ravel(), rcond=None)[0]
    gradient = np.array([*np.zeros(6), 1.0, 2.0 * 1.7, 3.0 * 1.7**2])
    error = np.sqrt(fit.residual_variance * gradient @ np.linalg.inv(design.T @ design) @ gradient)
    at = np.array([1.0, 1.7, 2.0])
    assert slopes(fit, GRID, at).t[1] == pytest.approx(gradient @ solution / error)


def test_missing_runs_make_slopes_less_sure() -> None:
    scores = fitted(-((GRID - 1.5) ** 2)).means + np.random.default_rng(2).normal(0.0, 0.1, (8, 7))
    fewer = scores.copy()
    fewer[:5, 6] = np.nan
    whole, part = compare_with_best(scores), compare_with_best(fewer)
    at = knob_range([GRID])
    error = [
        abs(1.0 / slopes(Comparison(**{**vars(fit), "means": GRID, "residual_variance": np.array(1.0)}), GRID, at).t[200])
        for fit in (whole, part)
    ]
    assert error[1] > error[0]


def test_slopes_vanish_where_the_curve_turns_and_only_there() -> None:
    at = knob_range([GRID])
    found = slopes(fitted(-((GRID - 1.0) ** 2), noise=1e-4), GRID, at)
    assert at[np.abs(found.t).argmin()] == pytest.approx(1.0, abs=0.02)
    allowed = at[found.allowed(0.05)]
    assert allowed.min() > 0.95 and allowed.max() < 1.05


def test_at_the_ends_only_a_slope_away_from_them_counts() -> None:
    at = knob_range([GRID])
    rising = slopes(fitted(GRID, noise=0.01), GRID, at)
    assert rising.t[-1] == 0.0 and rising.t[0] > 10.0
    falling = slopes(fitted(-GRID, noise=0.01), GRID, at)
    assert falling.t[0] == 0.0 and falling.t[-1] < -10.0


def test_beyond_a_shorter_grid_its_last_slope_counts() -> None:
    short = GRID[:5]
    found = slopes(fitted(-((short - 1.0) ** 2), noise=0.01), short, knob_range([GRID, short]))
    assert (found.t[found.at > 2.0] == found.t[found.at > 2.0][0]).all()
    assert found.t[-1] < -10.0


def test_with_slack_a_slope_is_the_least_within_half_a_step() -> None:
    at, fit = knob_range([GRID]), fitted(-((GRID - 1.5) ** 2))
    plain, slack = slopes(fit, GRID, at), slopes(fit, GRID, at, slack=True)
    for place in (60, 100, 180):
        near = np.abs(at - at[place]) <= 0.25 + 1e-9
        assert slack.t[place] == pytest.approx(np.abs(plain.t[near]).min())


def test_one_optimum_suits_equal_curves_and_none_suits_others() -> None:
    at = knob_range([GRID])
    equal = [slopes(fitted(-((GRID - 1.2) ** 2), seed=seed), GRID, at) for seed in range(3)]
    p, shared = shared_optimum(equal)
    assert p > 0.05 and shared == pytest.approx(1.2, abs=0.05)
    moved = [slopes(fitted(-((GRID - best) ** 2)), GRID, at) for best in (1.0, 2.0)]
    assert shared_optimum(moved)[0] < 1e-6


def test_the_shared_optimum_of_one_more_seedless_truth_has_the_stated_distribution() -> None:
    generator, at = np.random.default_rng(4), knob_range([GRID])
    p = shared_optimum(
        [slopes(compare_with_best(-((GRID - 1.5) ** 2) + 0.1 * generator.standard_normal((2000, 8, 7))), GRID, at) for _ in range(3)]
    )[0]
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_lack_of_fit_is_uniform_for_a_cubic_and_small_for_a_kink() -> None:
    generator = np.random.default_rng(5)
    cubic = compare_with_best(0.1 * GRID**3 - GRID + 0.2 * generator.standard_normal((2000, 5, 7)))
    assert stats.kstest(lack_of_fit(cubic, GRID), "uniform").pvalue > 0.01
    kink = compare_with_best(-np.abs(GRID - 1.0) + 0.1 * generator.standard_normal((2000, 5, 7)))
    assert (lack_of_fit(kink, GRID) < 0.05).mean() > 0.9


@given(st.floats(-50.0, 50.0), st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_units_of_metric_and_knob_change_no_slopes_sign_or_size(shift: float, unit: float, knob_unit: float) -> None:
    generator = np.random.default_rng(6)
    scores = -((GRID - 1.0) ** 2) + 0.1 * generator.standard_normal((5, 7))
    plain = slopes(compare_with_best(scores), GRID, knob_range([GRID]))
    places = knob_unit * GRID
    other = slopes(compare_with_best(unit * (scores + shift)), places, knob_range([places]))
    np.testing.assert_allclose(other.t, plain.t, rtol=1e-5, atol=1e-5)


def test_too_few_values_for_the_polynomial_are_refused() -> None:
    fit = fitted(np.zeros(4))
    with pytest.raises(ValueError, match="places must be more than 4 for a polynomial of degree 4, got 4"):
        slopes(fit, GRID[:4], knob_range([GRID[:4]]), degree=QUARTIC)
    assert slopes(fit, GRID[:4], knob_range([GRID[:4]]), degree=CUBIC).df == fit.df
