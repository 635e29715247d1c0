"""Smooth lines through the means of a knob's values. They are pictures: no verdict reads them.

The *process* is the mean of a Gaussian process with a Matérn 5/2 kernel about an unknown constant, given the means and the noise of the
seeds that they share (Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, sections 2.7, 4.2 and 5.4.1). Its amplitude
and length are not chosen but averaged over, each pair by how well it explains the means; an amplitude of zero, a flat line, has half of
the weight beforehand, so that noise alone hardly bends it. The *cubic* goes by least squares, where the F test of
`studies.analysis.slopes` finds nothing that it misses.

A line turns where its own assumptions say, which for a skewed curve is beside the best point. Which values may be best is told by
`studies.analysis.best`, from the means alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies.analysis.best import Array, Comparison, compare_with_best
from studies.analysis.slopes import CUBIC, LEAST_VALUES, lack_of_fit

_POINTS = 61
_LEAST = 4  # values, through fewer of which a line says nothing that the means do not
_AMPLITUDES, _LENGTHS = (0.5, 1.0, 2.0), (0.15, 0.3, 0.6, 1.2)  # in spreads of the means, and ranges of the knob
_DOUBT = 0.1  # a cubic with a lower p is not shown


@dataclass(frozen=True)
class Overlay:
    """The lines of one curve.

    Attributes:
        at: Places on the knob's axis, rising.
        process: The Gaussian process there, in the metric's units.
        cubic: The cubic there; empty where it does not fit, or there are too few values to tell.
    """

    at: list[float]
    process: list[float]
    cubic: list[float]


def overlay(table: pd.DataFrame, *, knob: str, metric: str, places: Mapping[float, float]) -> Overlay | None:
    """The lines through one curve; None where it has fewer than four values with two replicates each, or no two that share seeds.

    Args:
        table: One row per run of one dataset, with columns ``seed``, ``knob`` and ``metric``, NaN where a run failed.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        places: Where each knob value stands on the axis.
    """
    scores = table.pivot(index="seed", columns=knob, values=metric).dropna(axis="columns", thresh=2)
    if scores.shape[1] < _LEAST:
        return None
    try:
        fit = compare_with_best(scores.to_numpy(dtype=float))
    except ValueError:
        return None
    at = np.array([places[float(value)] for value in scores.columns])
    line = np.linspace(at[0], at[-1], _POINTS)
    return Overlay(line.tolist(), _process(fit, at, line).tolist(), _cubic(fit, at, line).tolist())


def _process(fit: Comparison, at: Array, line: Array) -> Array:
    noise = fit.residual_variance * np.linalg.inv(fit.information + 1.0 / len(at))
    spread = max(float(fit.means.std()), float(np.sqrt(np.diag(noise).mean())))
    if spread <= fit.rounding:
        return np.full(len(line), fit.means.mean())
    span = at[-1] - at[0]
    noise = noise + np.eye(len(at)) * (1e-4 * spread) ** 2  # means without any noise would make the flat line impossible to weigh
    told = [_given(fit.means, noise, np.zeros((len(at), len(at))), np.zeros((len(line), len(at))))]
    for amplitude in _AMPLITUDES:
        for length in _LENGTHS:
            between = [(amplitude * spread) ** 2 * _matern(np.abs(x[:, None] - at) / (length * span)) for x in (at, line)]
            told.append(_given(fit.means, noise, *between))
    evidence = np.array([each for each, _ in told])
    evidence[0] += np.log(len(told) - 1)
    weights = np.exp(evidence - evidence.max())
    return np.asarray(np.average([values for _, values in told], axis=0, weights=weights))


def _given(means: Array, noise: Array, among: Array, towards: Array) -> tuple[float, Array]:
    """Of one kernel, ``among`` the means and ``towards`` them: the means' log likelihood, whatever their constant is, and the line."""
    covariance = among + noise
    inverse = np.linalg.inv(covariance)
    weight = inverse.sum(axis=1)
    constant = weight @ means / weight.sum()
    pull = inverse @ (means - constant)
    evidence = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(weight.sum()) + (means - constant) @ pull)
    return float(evidence), constant + towards @ pull


def _matern(distance: Array) -> Array:
    """The Matérn 5/2 kernel."""
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1.0 + scaled + np.square(scaled) / 3.0) * np.exp(-scaled))


def _cubic(fit: Comparison, at: Array, line: Array) -> Array:
    if len(at) < LEAST_VALUES or not fit.residual_variance > 0.0 or lack_of_fit(fit, at) <= _DOUBT:
        return np.empty(0)
    # Weighted by what is known of each difference: missing runs make some means less certain than others.
    powers = np.vander(at, CUBIC + 1)
    information = fit.information + 1.0 / len(at)
    return np.asarray(np.vander(line, CUBIC + 1) @ np.linalg.solve(powers.T @ information @ powers, powers.T @ information @ fit.means))
