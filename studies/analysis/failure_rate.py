"""How often a cell's runs fail, with the interval that so few runs leave open.

A family that is best where it trains, and often does not train, is not simply the best one. The mean of a cell is of the runs that
finished; this stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scipy import special


@dataclass(frozen=True)
class FailureRate:
    """The share of a cell's runs that failed.

    Attributes:
        rate: The share seen, in [0, 1].
        low: Lower end of its interval.
        high: Upper end.
    """

    rate: float
    low: float
    high: float


@cache  # of thousands of cells most have the same few numbers
def failure_rate(failed: int, runs: int, *, alpha: float = 0.05) -> FailureRate:
    """The share of runs that failed, with Clopper and Pearson's interval, which holds its confidence at any number of runs.

    Args:
        failed: How many failed.
        runs: How many there were, at least one.
        alpha: One minus the confidence, in (0, 1).

    Raises:
        ValueError: if there is no run, or more failed than there were.

    Example:
        >>> seen = failure_rate(1, 5)
        >>> round(seen.rate, 3), round(seen.low, 3), round(seen.high, 3)
        (0.2, 0.005, 0.716)
    """
    if runs < 1 or not 0 <= failed <= runs:
        raise ValueError(f"failed must be from 0 to runs, and runs at least 1, got {failed} of {runs}")
    low = float(special.betaincinv(failed, runs - failed + 1, alpha / 2.0)) if failed else 0.0
    high = float(special.betaincinv(failed + 1, runs - failed, 1.0 - alpha / 2.0)) if failed < runs else 1.0
    return FailureRate(failed / runs, low, high)
