"""Where things stand on an axis: which stretch of a metric is shown, where knob values go, and which of them are labelled.

Pure numbers, so that a figure is a plain reading of them; the drawing is left to `studies.reporting.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.ticker import MaxNLocator

from margin_core.knobs import Scale

_PAD = 0.07
# Values further from the good end than this many times a typical distance are shown at the axis's end instead.
_REACH = 2.2
_TYPICAL = 0.6


@dataclass(frozen=True)
class Window:
    """The stretch of a metric that an axis shows.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float

    @property
    def limits(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    def holds(self, value: float) -> bool:
        """Whether ``value`` is in the window."""
        return self.low <= value <= self.high

    def inside(self, value: float) -> float:
        """``value``, or the end of the window that it lies beyond."""
        return min(max(value, self.low), self.high)

    @cached_property
    def ticks(self) -> list[float]:
        """A few round numbers in the window."""
        return [float(tick) for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(self.low, self.high) if self.holds(tick)]

    @property
    def decimals(self) -> int:
        """Decimals that its ticks need."""
        ticks = self.ticks
        step = ticks[1] - ticks[0] if len(ticks) > 1 else self.high - self.low
        return next((count for count in range(7) if abs(round(step, count) - step) < step * 1e-6), 7)


def metric_window(values: Iterable[float], *, maximize: bool, least: float, rail: bool = False) -> Window:
    """The stretch that shows ``values`` where it matters: whole if it can be, else without the far stragglers of the bad end.

    Args:
        values: What is to be shown.
        maximize: Whether the good end is the upper one.
        least: The window is at least four of these wide: the smallest effect of interest.
        rail: Whether to leave room below for the rail of lost replicates.

    Example:
        >>> metric_window([96.0, 96.5, 97.0, 97.2, 10.0], maximize=True, least=0.2).holds(10.0)
        False
    """
    numbers = np.asarray([value for value in values if math.isfinite(value)], dtype=float)
    if numbers.size == 0:
        return Window(0.0, 1.0)
    good = float(numbers.max() if maximize else numbers.min())
    distances = np.abs(numbers - good)
    typical = _REACH * float(np.quantile(distances, _TYPICAL))
    depth = max(min(float(distances.max()), typical) if typical else float(distances.max()), 4.0 * least)
    low, high = (good - depth, good) if maximize else (good, good + depth)
    return Window(low - (_PAD + 0.14 * rail) * depth, high + _PAD * depth)


def gain_window(means: Iterable[float], ends: Iterable[float], *, maximize: bool, least: float) -> Window:
    """The stretch of differences that shows zero, the means as `metric_window` does, and as much of the intervals as is worth it.

    Args:
        means: Mean differences.
        ends: Ends of their intervals.
        maximize: Whether positive differences are good.
        least: The smallest effect of interest.
    """
    window = metric_window([0.0, *means], maximize=maximize, least=least)
    room = window.high - window.low
    bounds = [end for end in ends if math.isfinite(end)]
    low = max(min([window.low, *bounds]), window.low - room)
    high = min(max([window.high, *bounds]), window.high + room)
    low, high = min(low, -1.5 * least), max(high, 1.5 * least)
    edge = _PAD * (high - low)
    return Window(low - edge, high + edge)


def knob_positions(values: Sequence[float], scale: Scale) -> dict[float, float]:
    """For each rising knob value its place on an axis from 0 to 1.

    On a logarithmic scale a value of 0, which has no logarithm, stands one typical step to the left of the others.

    Example:
        >>> knob_positions([0.0, 0.01, 0.1, 1.0], "log")
        {0.0: 0.0, 0.01: 0.333..., 0.1: 0.666..., 1.0: 1.0}
    """
    if scale == "linear":
        places = list(values)
    else:
        logs = [math.log10(value) for value in values if value > 0.0]
        span = logs[-1] - logs[0] if logs else 0.0
        step = max(span / max(len(logs) - 1, 1), 0.15 * span) or 1.0
        places = [logs[0] - step if logs else 0.0] * (len(values) - len(logs)) + logs
    if not places or places[-1] == places[0]:
        return dict.fromkeys(values, 0.5)
    return {value: (place - places[0]) / (places[-1] - places[0]) for value, place in zip(values, places, strict=True)}


def sparse_labels(at: Mapping[float, float], widths: Mapping[float, float], first: Iterable[float]) -> list[float]:
    """The values that can be labelled side by side: those of ``first`` in turn, then the ends, then the others.

    Args:
        at: Places on the axis.
        widths: How much of the axis each label takes, in the units of ``at``.
        first: Values whose labels matter most.
    """
    values = sorted(at)
    kept: list[float] = []
    for value in dict.fromkeys([*first, values[0], values[-1], *values] if values else []):
        if value in at and all(abs(at[value] - at[other]) >= (widths[value] + widths[other]) / 2 for other in kept):
            kept.append(value)
    return sorted(kept)
