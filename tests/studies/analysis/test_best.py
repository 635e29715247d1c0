from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csgraph

from studies.analysis.best import compare_with_best, degrees_of_freedom, dunnett_constant, range_constant

# Dunnett, JASA 50 (1955), table 1a: one-sided, joint confidence 95 %, for 1 to 9 comparisons with a control.
DUNNETT_95 = {
    5: (2.02, 2.44, 2.68, 2.85, 2.98, 3.08, 3.16, 3.24, 3.30),
    10: (1.81, 2.15, 2.34, 2.47, 2.56, 2.64, 2.70, 2.76, 2.81),
    20: (1.72, 2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60),
}


@pytest.mark.parametrize("df", DUNNETT_95)
def test_dunnetts_constant_is_that_of_the_published_table(df: int) -> None:
    ours = [dunnett_constant(comparisons, df, 0.05) for comparisons in range(1, 10)]
    np.testing.assert_allclose(ours, DUNNETT_95[df], atol=0.0051)


@pytest.mark.parametrize("df", [1, 2, 7, 60, 5000])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
def test_with_one_comparison_dunnetts_constant_is_students(df: int, alpha: float) -> None:
    assert dunnett_constant(1, df, alpha) == pytest.approx(stats.t.isf(alpha, df), rel=1e-6)


def test_dunnetts_constant_is_where_scipys_test_turns_significant() -> None:
    control, others, runs = np.array([-1.0, 0.0, 1.0, -1.0, 1.0]), 4, 5
    deviations = np.array([[-1.0, 0.0, 1.0, -1.0, 1.0]] * others)
    constant = dunnett_constant(others, (runs - 1) * (others + 1), 0.05)
    difference = constant * np.sqrt(2.0 * control.var(ddof=1) / runs)
    samples = [*(deviations[:-1]), deviations[-1] + difference]
    result = stats.dunnett(*samples, control=control, alternative="greater", rng=np.random.default_rng(0))
    assert result.statistic[-1] == pytest.approx(constant)
    assert result.pvalue[-1] == pytest.approx(0.05, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("comparisons", "df"), [(4, 20), (6, 24), (24, 8)])
def test_the_constant_holds_the_error_in_a_large_simulation(comparisons: int, df: int) -> None:
    generator, repetitions = np.random.default_rng(comparisons), 4_000_000
    constant, beyond = dunnett_constant(comparisons, df, 0.05), 0
    for _ in range(40):
        size = repetitions // 40
        shared, own = generator.standard_normal((size, 1)), generator.standard_normal((size, comparisons))
        scale = np.sqrt(generator.chisquare(df, size) / df)
        beyond += int(((own - shared).max(axis=1) / np.sqrt(2.0) / scale > constant).sum())
    assert beyond / repetitions == pytest.approx(0.05, abs=4.0 * np.sqrt(0.05 * 0.95 / repetitions))


@pytest.mark.parametrize(("cells", "df", "alpha"), [(2, 3, 0.05), (5, 20, 0.05), (7, 24, 0.01), (7, 24, 0.2), (25, 200, 0.05)])
def test_the_range_constant_is_scipys(cells: int, df: int, alpha: float) -> None:
    assert range_constant(cells, df, alpha) == pytest.approx(stats.studentized_range.ppf(1.0 - alpha, cells, df) / np.sqrt(2.0), rel=1e-6)


def test_constants_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="comparisons must be >= 1, got 0"):
        dunnett_constant(0, 5, 0.05)
    with pytest.raises(ValueError, match="cells must be >= 2, got 1"):
        range_constant(1, 5, 0.05)
    with pytest.raises(ValueError, match=r"df must be >= 1 and alpha in \(0, 0.5\), got 5 and 0.6"):
        dunnett_constant(2, 5, 0.6)


def test_two_cells_are_compared_by_the_one_sided_paired_t_test() -> None:
    scores = np.array([[90.8, 91.2], [90.6, 90.9], [91.0, 91.5], [91.1, 91.0]])
    fit = compare_with_best(scores)
    differences = scores[:, 1] - scores[:, 0]
    assert fit.df == 3
    assert fit.allowance()[1, 0] == pytest.approx(stats.t.isf(0.05, 3) * stats.sem(differences))
    assert fit.lead[1, 0] == pytest.approx(differences.mean())


def test_complete_seeds_give_plain_means_and_the_textbook_allowance() -> None:
    scores = np.random.default_rng(5).normal(90.0, 1.0, (5, 7))
    residuals = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    variance = np.square(residuals).sum() / (4 * 6)
    fit = compare_with_best(scores)
    np.testing.assert_allclose(fit.means, scores.mean(0))
    assert fit.residual_variance == pytest.approx(variance)
    assert not fit.noise.noisier().any()
    off_diagonal = fit.allowance()[~np.eye(7, dtype=bool)]
    np.testing.assert_allclose(off_diagonal, dunnett_constant(6, 24, 0.05) * np.sqrt(2.0 * variance / 5))


def test_missing_runs_are_fitted_as_ordinary_least_squares_would() -> None:
    generator = np.random.default_rng(3)
    scores = generator.normal(90.0, 1.0, (8, 5))
    scores[generator.random(scores.shape) < 0.25] = np.nan
    seed, cell = np.nonzero(np.isfinite(scores))
    design = np.concatenate([np.eye(8)[seed], np.eye(5)[cell][:, 1:]], axis=1)
    solution, residual, rank, _ = np.linalg.lstsq(design, scores[seed, cell], rcond=None)
    covariance = np.linalg.inv(design.T @ design)[8:, 8:]
    fit = compare_with_best(scores)
    df = len(seed) - rank
    assert fit.df == df
    assert fit.residual_variance == pytest.approx(residual[0] / df)
    np.testing.assert_allclose(fit.lead[1:, 0], solution[8:], atol=1e-9)
    np.testing.assert_allclose(fit.allowance()[1:, 0], dunnett_constant(4, df, 0.05) * np.sqrt(residual[0] / df * np.diag(covariance)))


def test_a_seed_without_any_run_changes_nothing() -> None:
    scores = np.random.default_rng(4).normal(size=(5, 4))
    plain, padded = compare_with_best(scores), compare_with_best(np.insert(scores, 2, np.nan, axis=0))
    np.testing.assert_array_equal(padded.means, plain.means)
    np.testing.assert_array_equal(padded.allowance(), plain.allowance())


def test_many_tables_at_once_are_compared_as_one_by_one() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 5, 4))
    scores[:, 2, 1] = np.nan
    together, alone = compare_with_best(scores), compare_with_best(scores[2])
    np.testing.assert_allclose(together.means[2], alone.means)
    np.testing.assert_allclose(together.allowance()[2], alone.allowance())
    np.testing.assert_allclose(together.one(2).upper_bounds(together.allowance()[2]), alone.upper_bounds(alone.allowance()))


@given(st.integers(0, 2**32 - 1), st.floats(-1e3, 1e3), st.floats(0.01, 100.0))
def test_shifted_seeds_and_other_units_leave_the_optimum_set_as_it_is(seed: int, shift: float, unit: float) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(5, 4)) + np.array([0.0, 1.0, 2.0, 2.0])
    moved = unit * (scores + shift * generator.normal(size=(5, 1)))
    plain, other = compare_with_best(scores), compare_with_best(moved)
    assert plain.may_be_best(plain.allowance()).tolist() == other.may_be_best(other.allowance()).tolist()
    np.testing.assert_allclose(other.upper_bounds(other.allowance()), unit * plain.upper_bounds(plain.allowance()), rtol=1e-6, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_the_strict_set_holds_the_plain_one_and_both_hold_the_best_mean(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 6))
    plain, strict = compare_with_best(scores), compare_with_best(scores, strict=True)
    kept, kept_strictly = plain.may_be_best(plain.allowance()), strict.may_be_best(strict.allowance())
    assert kept[plain.means.argmax()]
    assert (kept <= kept_strictly).all()


def test_equal_means_without_noise_all_stay_and_others_go() -> None:
    scores = np.array([[0.1, 0.3, 0.1 + 0.2, 0.2]] * 3) + np.array([[90.0], [90.1], [90.2]])
    fit = compare_with_best(scores)
    assert fit.residual_variance == 0.0
    assert fit.may_be_best(fit.allowance()).tolist() == [False, True, True, False]


def test_more_seeds_narrow_the_allowance_as_if_they_were_there() -> None:
    scores = np.random.default_rng(9).normal(size=(5, 4))
    few, many = compare_with_best(scores), compare_with_best(np.tile(scores, (3, 1)))
    assert not many.noise.noisier().any()
    scale = np.sqrt(many.residual_variance / few.residual_variance)
    np.testing.assert_allclose(few.allowance(more_seeds=10) * scale, many.allowance(), atol=1e-9)
    assert (few.allowance(10, chance=0.9)[~np.eye(4, dtype=bool)] > few.allowance(10)[~np.eye(4, dtype=bool)]).all()


@given(st.integers(2, 7), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_cells_are_compared_where_seeds_link_them_all_in_a_chain(seeds: int, cells: int, draw: int) -> None:
    present = np.random.default_rng(draw).random((seeds, cells)) < 0.4
    assume(present.any())
    linked = csgraph.connected_components(present.T.astype(int) @ present.astype(int))[0] == 1
    df = int(present.sum() - present.any(axis=1).sum() - cells + 1)
    assert degrees_of_freedom(present) == (df if linked else 0)


def test_cells_that_no_seeds_connect_are_refused() -> None:
    present = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    assert degrees_of_freedom(present) == 0
    with pytest.raises(ValueError, match="connected cells"):
        compare_with_best(np.where(present, 1.0, np.nan))
    with pytest.raises(ValueError, match="connected cells"):
        compare_with_best(np.ones((1, 4)))
    with pytest.raises(ValueError, match="miss the same runs"):
        compare_with_best(np.array([[[1.0, 2.0], [np.nan, 2.0]], [[1.0, 2.0], [1.0, 2.0]]]))
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 0.5\), got 0.5"):
        compare_with_best(np.ones((3, 3)), alpha=0.5)
