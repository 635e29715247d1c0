"""What the shift verdict says where the truth is known: how often it is claimed of curves whose optimum moves, and of others.

Like `studies.analysis.simulation`, whose grid and noise it has, for several datasets at once. Beside the rule of `studies.analysis.shift`
it tells how often its parts reject alone, and the F test of an interaction, which the rule does without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from studies.analysis.best import Array, Comparison, compare_with_best
from studies.analysis.shift import disjoint, guarded_p
from studies.analysis.simulation import GRID, Scenario
from studies.analysis.slopes import CUBIC, Slopes, knob_range, shared_optimum, slopes

SHAPES: Mapping[str, Callable[[Array], Array]] = {
    "flat": lambda away: 0.0 * away,
    "quadratic": lambda away: -(away**2),
    "steep left": lambda away: -np.where(away < 0.0, 4.0, 0.5) * away**2,
    "steep right": lambda away: -np.where(away > 0.0, 4.0, 0.5) * away**2,
    "plateau left": lambda away: -(np.maximum(away, 0.0) ** 2),
    "plateau right": lambda away: -(np.maximum(-away, 0.0) ** 2),
    "rising": lambda away: away,
}
"""True means, in curvatures, as functions of the distance from the optimum."""

ZOOM_STEPS = 3
"""A zoom has so many values on either side of the best one, half a step of the grid apart."""


@dataclass(frozen=True)
class Truth:
    """The true curve of one dataset.

    Args:
        shape: One of `SHAPES`.
        optimum: Where it has its best point.
        curvature: What the shape is multiplied with, in percentage points.
    """

    shape: str
    optimum: float
    curvature: float

    def means(self, knob: Array) -> Array:
        """The true means at some knob values."""
        return self.curvature * np.asarray(SHAPES[self.shape](knob - self.optimum), dtype=np.float64)


@dataclass(frozen=True)
class Shares:
    """How often, as shares of the repetitions, SHIFT was claimed, and what its parts and other tests said.

    Args:
        claimed: By the rule without a zoom.
        with_zoom: By the rule with one.
        bare: The slope test with a cubic alone rejected.
        disjoint: The optimum sets had no value in common.
        interaction: The F test of an interaction between dataset and knob rejected.
    """

    claimed: float
    with_zoom: float
    bare: float
    disjoint: float
    interaction: float


def simulate_shift(
    truths: tuple[Truth, ...],
    *,
    seeds: int,
    repetitions: int,
    seed: int,
    noise: float = 0.25,
    correlation: float = 0.3,
    alpha: float = 0.05,
) -> Shares:
    """Judge many independent studies of several datasets.

    Args:
        truths: One per dataset.
        seeds: How many seeds each cell is run with.
        repetitions: How many studies.
        seed: Of the random numbers; equal seeds give equal shares.
        noise: Standard deviation of one run, in percentage points.
        correlation: Share of its variance that all cells of a seed have in common.
        alpha: One minus the confidence.
    """
    generator, grid = np.random.default_rng(seed), np.array(GRID)
    at, share = knob_range([grid]), alpha / len(truths)

    def drawn(truth: Truth, places: Array, number: int) -> Comparison:
        noisy = Scenario("flat", noise=noise, correlation=correlation).draw(generator, number, seeds)
        return compare_with_best(noisy[..., : len(places)] + truth.means(places), alpha=share)

    fits = [drawn(truth, grid, repetitions) for truth in truths]
    zooms = [_zoomed(fit, truth, at, drawn) for fit, truth in zip(fits, truths, strict=True)]
    bare = shared_optimum([slopes(fit, grid, at) for fit in fits])[0] < alpha
    guarded = guarded_p(fits, [grid] * len(fits)) < alpha
    zoomed = bare & (shared_optimum(zooms)[0] < alpha)
    sets = np.stack([fit.may_be_best(fit.allowance()) for fit in fits], axis=1)
    apart = np.array([disjoint([grid] * len(truths), list(each)) for each in sets])
    return Shares(
        claimed=float((guarded | apart).mean()),
        with_zoom=float((guarded | apart | zoomed).mean()),
        bare=float(bare.mean()),
        disjoint=float(apart.mean()),
        interaction=float((_interaction_p(fits, seeds) < alpha).mean()),
    )


def _zoomed(fit: Comparison, truth: Truth, at: Array, drawn: Callable[[Truth, Array, int], Comparison]) -> Slopes:
    """The slopes of a zoom around the best value of each study, each optimum being off by half a step at most."""
    grid, best = np.array(GRID), fit.means.argmax(axis=-1)
    half = (grid[1] - grid[0]) / 2.0
    # With fewer values at an end of the grid, the degrees of freedom are those of the shortest zoom.
    t, df = np.zeros((len(best), len(at))), fit.df
    for index in np.unique(best):
        around = grid[index] + half * np.arange(-ZOOM_STEPS, ZOOM_STEPS + 1)
        places = around[(around >= grid[0]) & (around <= grid[-1])]
        mine = best == index
        closer = drawn(truth, places, int(mine.sum()))
        df = min(df, closer.df)
        if len(places) > CUBIC:
            t[mine] = slopes(closer, places, at, slack=True).t
    return Slopes(at, t, df)


def _interaction_p(fits: list[Comparison], seeds: int) -> Array:
    means = np.stack([fit.means for fit in fits], axis=1)
    rows, columns = means.mean(axis=2, keepdims=True), means.mean(axis=1, keepdims=True)
    squares = seeds * np.square(means - rows - columns + means.mean(axis=(1, 2), keepdims=True)).sum(axis=(1, 2))
    noise = np.mean([fit.residual_variance for fit in fits], axis=0)
    freedom = (means.shape[1] - 1) * (means.shape[2] - 1)
    return np.asarray(stats.f.sf(squares / freedom / noise, freedom, sum(fit.df for fit in fits)))
