"""What the verdicts on dials and on descriptors say where the truth is known; grid and noise are those of `studies.analysis.simulation`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies.analysis.relation import relate
from studies.analysis.simulated_shift import Truth
from studies.analysis.simulation import GRID, Scenario
from studies.analysis.trend import place_trend, slope_trend


@dataclass(frozen=True)
class TrendShares:
    """How often, as shares of the repetitions.

    Args:
        rises: TREND was claimed, rising.
        falls: The same, falling.
        places: Page's test on the values at which each seed did best rejected, either way.
    """

    rises: float
    falls: float
    places: float


def simulate_trend(
    truths: tuple[Truth, ...],
    *,
    seeds: int,
    repetitions: int,
    seed: int,
    noise: float | tuple[float, ...] = 0.25,
    correlation: float = 0.3,
    alpha: float = 0.05,
) -> TrendShares:
    """Judge many independent dials.

    Args:
        truths: One per level.
        seeds: How many seeds each cell is run with.
        repetitions: How many dials.
        seed: Of the random numbers; equal seeds give equal shares.
        noise: Standard deviation of one run, in percentage points, of all levels or of each.
        correlation: Share of its variance that all cells of a seed have in common.
        alpha: One minus the confidence.
    """
    generator, grid = np.random.default_rng(seed), np.array(GRID)
    each = noise if isinstance(noise, tuple) else (noise,) * len(truths)
    curves = [
        Scenario("flat", noise=size, correlation=correlation).draw(generator, repetitions, seeds) + truth.means(grid)
        for truth, size in zip(truths, each, strict=True)
    ]
    rise, fall = slope_trend(curves, [grid] * len(truths), alpha)
    rise_seen, fall_seen = place_trend(curves, [grid] * len(truths))
    half = alpha / 2.0
    return TrendShares(
        rises=float((rise < half).mean()), falls=float((fall < half).mean()), places=float((np.minimum(rise_seen, fall_seen) < half).mean())
    )


def simulate_relation(
    datasets: int, *, r: float, descriptors: int = 4, error: float = 0.3, repetitions: int, seed: int, alpha: float = 0.05
) -> float:
    """How often RELATED is claimed of datasets whose optima go with the first of some independent descriptors.

    Args:
        datasets: How many there are.
        r: The correlation of the first descriptor and the optima as they are measured.
        descriptors: How many primary ones there are.
        error: The standard errors that the optima are said to have, which scatter by half of it, in units of their spread.
        repetitions: How many times.
        seed: Of the random numbers.
        alpha: One minus the confidence.
    """
    generator, claimed = np.random.default_rng(seed), 0
    names = [f"d{i}" for i in range(descriptors)]
    for _ in range(repetitions):
        values = generator.standard_normal((descriptors, datasets))
        optima = r * values[0] + np.sqrt(1.0 - r * r) * generator.standard_normal(datasets)
        errors = error * generator.uniform(0.5, 1.5, datasets)
        table = pd.DataFrame({"dataset": range(datasets), "optimum": optima, "error": errors, **dict(zip(names, values, strict=True))})
        claimed += relate(table, primary=names, alpha=alpha, seed=seed).related
    return claimed / repetitions
