"""Student's t for the two plain questions: what a cell's replicates average to, and what one cell gains over another.

Both suppose that the cell was fixed before its replicates were run. The gain of a cell that was picked because it came out best
is too high by the luck of the draw; to ask which cell is best is the business of `studies.analysis.best`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """A cell's replicates in short, in the metric's own units.

    Args:
        mean: Their mean.
        low: Lower end of the mean's confidence interval; None with a single replicate.
        high: Upper end of it.
        n: How many replicates there are.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Gain:
    """What one cell gains over another, in the metric's own units.

    Args:
        mean: Mean of the paired differences.
        low: Lower end of the mean's confidence interval; None with a single pair.
        high: Upper end of it.
        n: How many pairs there are.
        different: Whether the interval leaves zero out: the two cells differ.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    different: bool


def summarise(values: Numbers, alpha: float = 0.05) -> Summary:
    """Mean of a cell's replicates with its t interval at confidence 1 - ``alpha``.

    Args:
        values: One number per replicate, shape (n,). Failed replicates are the caller's to count: they have no place here.
        alpha: One minus the confidence, in (0, 1).

    Raises:
        ValueError: if there is no value, or one is not finite, or ``alpha`` is not in (0, 1).

    Example:
        >>> summary = summarise([90.0, 91.0, 92.0])
        >>> round(summary.mean, 2), round(summary.low, 2), round(summary.high, 2), summary.n
        (91.0, 88.52, 93.48, 3)
    """
    numbers = _checked("values", values)
    low, high = _t_interval(numbers, alpha)
    return Summary(float(numbers.mean()), low, high, len(numbers))


def paired_gain(values: Numbers, baseline: Numbers, *, alpha: float = 0.05) -> Gain:
    """Mean of ``values - baseline`` with its paired t interval at confidence 1 - ``alpha``.

    Args:
        values: The cell's metric, one number per seed, shape (n,).
        baseline: The baseline's metric for the same seeds in the same order, shape (n,).
        alpha: One minus the confidence, in (0, 1).

    Raises:
        ValueError: if the two differ in length, are empty or hold a value that is not finite, or ``alpha`` is not in (0, 1).

    Example:
        >>> gain = paired_gain([91.2, 90.9, 91.5], [90.8, 90.6, 91.0])
        >>> round(gain.mean, 2), round(gain.low, 2), round(gain.high, 2), gain.different
        (0.4, 0.15, 0.65, True)
    """
    left, right = _checked("values", values), _checked("baseline", baseline)
    if len(left) != len(right):
        raise ValueError(f"values and baseline must be paired by seed, got {len(left)} and {len(right)} numbers")
    differences = left - right
    low, high = _t_interval(differences, alpha)
    different = low is not None and high is not None and not low <= 0.0 <= high
    return Gain(float(differences.mean()), low, high, len(differences), different)


def _checked(name: str, values: Numbers) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError(f"{name} must be a row of at least one number, got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite, got {numbers[~np.isfinite(numbers)][0]} (count failed runs apart)")
    return numbers


def _t_interval(numbers: NDArray[np.float64], alpha: float) -> tuple[float | None, float | None]:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be in (0, 1), got {alpha!r}")
    n = len(numbers)
    if n < 2:
        return None, None
    half = float(special.stdtrit(n - 1, 1.0 - alpha / 2.0)) * float(numbers.std(ddof=1)) / math.sqrt(n)
    mean = float(numbers.mean())
    return mean - half, mean + half
