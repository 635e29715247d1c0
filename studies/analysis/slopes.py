"""The profile-slope test: is there one knob value at which every dataset's curve can have its best point?

Each dataset's cell means are smoothed by a polynomial in the knob, whose slope at a value x has a t statistic. One optimum x for all
datasets makes all slopes at x zero, so the statistic is the least sum of squared t's over x,

    T = min_x sum_d t_d(x)^2,      T / (D - 1) ~ F(D - 1, sum of the datasets' degrees of freedom),

which asks where curves turn and not how strongly, unlike the F test of an interaction, which finds equal optima of unequal curvature
different. At an end of its grid and beyond it a curve need not be flat: there only a slope away from x counts.

A polynomial through skewed points turns beside their best one, by less than half a step of the grid in all but extreme curves. With
``slack``, each t is the least within half a step of x, so that only what exceeds this is held against a shared optimum. Whether a curve
has such a shape is asked by the F test of `lack_of_fit`. What is claimed of the results is left to `studies.analysis.shift`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from studies.analysis.best import Array, Comparison

CUBIC, QUARTIC = 3, 4
LEAST_VALUES = 5
"""Knob values that a quartic needs."""
_POINTS = 241


@dataclass(frozen=True)
class Slopes:
    """The slopes of one dataset's curve, or of many curves with the same grid and the same runs missing.

    Args:
        at: Where the slopes are taken, rising, on the knob's scale, shape (points,).
        t: Their t statistics, shape (..., points), zero where a slope says nothing against an optimum there.
        df: Degrees of freedom.
    """

    at: Array
    t: Array
    df: int

    def allowed(self, alpha: float) -> Array:
        """Where the curve may have its best point at confidence 1 - ``alpha``, as a mask of shape (..., points)."""
        return np.asarray(np.square(self.t) <= special.fdtri(1, self.df, 1.0 - alpha))


def knob_range(places: Sequence[Array]) -> Array:
    """Points over the range of all grids, at which slopes are compared."""
    return np.linspace(min(float(each.min()) for each in places), max(float(each.max()) for each in places), _POINTS)


def slopes(fit: Comparison, places: Array, at: Array, *, degree: int = CUBIC, slack: bool = False) -> Slopes:
    """The slopes of a polynomial through the cell means.

    Args:
        fit: The comparison of the cells, higher being better.
        places: Where the cells lie on the knob's scale, rising, shape (k,), k > ``degree``.
        at: Where to take the slopes, from `knob_range`.
        degree: Of the polynomial.
        slack: Whether each slope is the least within half a step of the grid, its widest.

    Raises:
        ValueError: if there are too few cells for the polynomial.
    """
    weights = slope_weights(places, at, degree=degree)
    # The weights of a slope sum to zero, so adding a constant to the information leaves its variance as it is.
    covariance = np.linalg.inv(fit.information + 1.0 / len(places))
    variance = np.einsum("pk,kl,pl->p", weights, covariance, weights)
    t = (fit.means @ weights.T) / np.sqrt(fit.residual_variance[..., None] * variance)
    t = np.where(at <= places[0], np.maximum(t, 0.0), np.where(at >= places[-1], np.minimum(t, 0.0), t))
    if slack:
        step = float(np.diff(places).max())
        t = np.sqrt(ndimage.minimum_filter1d(np.square(t), 2 * round(step / 2.0 / (at[1] - at[0])) + 1, axis=-1, mode="nearest"))
    return Slopes(at, t, fit.df)


def slope_weights(places: Array, at: Array, *, degree: int = CUBIC) -> Array:
    """What the means at ``places`` are multiplied with to give the slopes of their polynomial, up to a common factor; shape (points, k).

    Beyond an end of the grid the slope is that at the end. Arguments and errors as for `slopes`.
    """
    if len(places) <= degree:
        raise ValueError(f"places must be more than {degree} for a polynomial of degree {degree}, got {len(places)}")
    centre, half = (places[0] + places[-1]) / 2.0, (places[-1] - places[0]) / 2.0
    inside = np.clip((at - centre) / half, -1.0, 1.0)
    powers = np.arange(degree + 1)
    derivative = powers * inside[:, None] ** np.maximum(powers - 1, 0)
    return np.asarray(derivative @ np.linalg.pinv(np.vander((places - centre) / half, degree + 1, increasing=True)))


def lack_of_fit(fit: Comparison, places: Array) -> Array:
    """The p of the F test that a cubic fits the cell means, of their leading shape.

    Args:
        fit: The comparison of the cells.
        places: Where the cells lie on the knob's scale, rising, shape (k,), k > 4.
    """
    centre, half = (places[0] + places[-1]) / 2.0, (places[-1] - places[0]) / 2.0
    powers = np.vander((places - centre) / half, CUBIC + 1)
    beyond = np.linalg.qr(powers, mode="complete")[0][:, CUBIC + 1 :]
    covariance = beyond.T @ np.linalg.inv(fit.information + 1.0 / len(places)) @ beyond
    contrasts, freedom = fit.means @ beyond, beyond.shape[1]
    squares = np.einsum("...i,ij,...j->...", contrasts, np.linalg.inv(covariance), contrasts)
    return np.asarray(special.fdtrc(freedom, fit.df, squares / freedom / fit.residual_variance))


def shared_optimum(curves: Sequence[Slopes]) -> tuple[Array, Array]:
    """Whether curves may share one optimum: p of the test, and the value that suits them best; each of the curves' leading shape."""
    total = np.sum([np.square(curve.t) for curve in curves], axis=0)
    least, df = total.min(axis=-1), sum(curve.df for curve in curves)
    p = special.fdtrc(len(curves) - 1, df, least / (len(curves) - 1))
    return np.asarray(p), curves[0].at[total.argmin(axis=-1)]
