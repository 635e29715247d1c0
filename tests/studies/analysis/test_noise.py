from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studies.analysis.best import compare_with_best, dunnett_constant
from studies.analysis.noise import DOUBT, _of_incomplete


def scores(deviations: tuple[float, ...], seeds: int, seed: int = 0) -> np.ndarray:
    """Paired scores of equally good cells with these standard deviations."""
    generator = np.random.default_rng(seed)
    return generator.normal(90.0, 1.0, (seeds, 1)) + generator.standard_normal((seeds, len(deviations))) * np.array(deviations)


def test_complete_seeds_part_into_a_cell_beside_the_mean_of_the_others_and_their_own_two_way_model() -> None:
    table = scores((2.0, 1.0, 1.0, 0.5, 1.0), 6)
    noise = compare_with_best(table).noise
    for j in range(5):
        rest = np.delete(table, j, axis=1)
        beside = table[:, j] - rest.mean(axis=1)
        assert noise.spread[j] * 5 / 4 == pytest.approx(beside.var(ddof=1))
        assert noise.others[j] == pytest.approx(compare_with_best(rest).residual_variance)
    assert (noise.df.tolist(), noise.df_others.tolist(), noise.share.tolist()) == ([5] * 5, [15] * 5, [pytest.approx(0.8)] * 5)


def test_missing_runs_part_as_if_the_cell_were_left_out() -> None:
    table = scores((1.0,) * 5, 9)
    table[np.random.default_rng(1).random(table.shape) < 0.25] = np.nan
    fit = compare_with_best(table)
    for j in range(5):
        rest = compare_with_best(np.delete(table, j, axis=1))
        assert fit.noise.others[j] == pytest.approx(rest.residual_variance)
        assert fit.noise.df_others[j] == rest.df
        assert fit.noise.spread[j] * fit.noise.df[j] + rest.residual_variance * rest.df == pytest.approx(fit.residual_variance * fit.df)


def test_complete_seeds_part_by_a_formula_as_incomplete_ones_by_eigenvectors() -> None:
    table = scores((1.0, 2.0, 1.0, 1.0), 6)
    fit = compare_with_best(table)
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    taken, ranks, traces = _of_incomplete(residuals, np.isfinite(table), fit.information)
    np.testing.assert_allclose(taken / ranks, fit.noise.spread)
    np.testing.assert_allclose(traces / ranks, fit.noise.share)


def test_what_a_cells_spread_expects_is_told_whichever_runs_are_missing() -> None:
    present = np.random.default_rng(2).random((8, 4)) > 0.25
    many = np.random.default_rng(3).standard_normal((40_000, 8, 4)) * np.array([3.0, 1.0, 1.0, 1.0])
    noise = compare_with_best(np.where(present, many, np.nan)).noise
    assert noise.spread[:, 0].mean() == pytest.approx(9.0 * noise.share[0] + 1.0 - noise.share[0], rel=0.02)
    assert noise.others[:, 0].mean() == pytest.approx(1.0, rel=0.02)


def test_only_comparisons_with_a_noisier_cell_are_wider_and_by_its_own_variance() -> None:
    table = scores((4.0, 1.0, 1.0, 1.0, 1.0, 1.0), 8, seed=4)
    fit = compare_with_best(table)
    assert fit.noise.noisier().tolist() == [True] + [False] * 5
    allowance, plain = fit.allowance(), dunnett_constant(5, 35, 0.05) * np.sqrt(2.0 * fit.residual_variance / 8)
    assert allowance[1, 2] == pytest.approx(plain)
    own, rest = fit.noise.spread[0] * 6 / 5 / 8, fit.noise.others[0] * (2 / 8 - 6 / 5 / 8)
    freedom = (own + rest) ** 2 / (own**2 / 7 + rest**2 / 28)
    assert allowance[1, 0] == pytest.approx(dunnett_constant(5, int(freedom), 0.05) * np.sqrt(own + rest))
    assert allowance[1, 0] > plain
    assert fit.noise.ratio()[0] == pytest.approx(4.0, rel=0.5)


def test_a_cell_is_doubted_as_often_as_stated_where_all_are_equally_noisy() -> None:
    generator = np.random.default_rng(6)
    doubted = compare_with_best(generator.standard_normal((4000, 5, 7))).noise.noisier().mean()
    assert doubted == pytest.approx(DOUBT, abs=0.01)


def test_two_cells_have_no_others_and_are_compared_by_the_paired_t_test() -> None:
    table = scores((3.0, 1.0), 5)
    fit = compare_with_best(table)
    assert not fit.noise.noisier().any()
    assert fit.allowance()[1, 0] == pytest.approx(stats.t.isf(0.05, 4) * stats.sem(table[:, 1] - table[:, 0]))


def test_a_cell_that_alone_shows_noise_is_the_noisier_one() -> None:
    table = np.full((5, 4), 90.0)
    table[:, 2] += [0.1, -0.1, 0.2, 0.0, -0.2]
    fit = compare_with_best(table)
    assert fit.noise.noisier().tolist() == [False, False, True, False]
    assert np.isfinite(fit.allowance()).all()
    assert np.isinf(fit.noise.ratio()[2])
