"""The few kinds of strokes that figures are made of: marks, rules, bands, and the words along an axis.

They are put on bare axes without Matplotlib's own search for limits, ticks and grids, which every figure sets itself and which would take
most of the time that a page of figures takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation, Transform

from studies.reporting.surface import INK, LINE, MUTED

SMALL, MEDIUM, TICK, LARGE = 9.5, 10.5, 10.5, 12.0
"""Sizes of words, in CSS pixels."""
_SHORT = 1e-6  # where there is no length at all, a PNG has no round ends either


def stroke(axes: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """A line through points, or the points alone, in the style of Matplotlib's `Line2D`."""
    axes.add_artist(Line2D(x, y, **style))


def mark(axes: Axes, x: float, y: float, marker: str, size: float, **style: Any) -> None:
    """One mark."""
    stroke(axes, [x], [y], marker=marker, markersize=size, **style)


def dots(axes: Axes, x: Sequence[float], y: Sequence[float], *, size: float = 3.0, **style: Any) -> None:
    """Small dots, each a single run. They are one line of round ends, for an element each would be most of a page."""
    points = (
        [point for place in x for point in (place, place + _SHORT, math.nan)],
        [point for place in y for point in (place, place, math.nan)],
    )
    drawn = Line2D(*points, color=MUTED, alpha=0.5, linewidth=size, solid_capstyle="round", **style)
    drawn.set_snap(False)
    axes.add_artist(drawn)


def across(axes: Axes, places: Iterable[float], ends: tuple[float, float] = (0.0, 1.0), **style: Any) -> None:
    """Level rules at places of the vertical axis, between shares of the width."""
    xs, ys = _broken(ends, places)
    stroke(axes, xs, ys, transform=axes.get_yaxis_transform(), **{"color": LINE, "linewidth": 0.8, "zorder": 0, **style})


def upright(axes: Axes, places: Iterable[float], ends: tuple[float, float] = (0.0, 1.0), **style: Any) -> None:
    """Upright rules at places of the level axis, between shares of the height, or where a ``transform`` puts them."""
    ys, xs = _broken(ends, places)
    stroke(axes, xs, ys, **{"transform": axes.get_xaxis_transform(), "color": LINE, "linewidth": 0.8, "zorder": 0, **style})


def band(axes: Axes, x: tuple[float, float], y: tuple[float, float], **style: Any) -> None:
    """A filled rectangle."""
    axes.add_artist(Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], **{"linewidth": 0, "zorder": 0, **style}))


def below(axes: Axes, labels: Mapping[float, str], title: str = "", *, size: float = MEDIUM, colour: str = MUTED) -> None:
    """The words of the level axis: labels at their places, and its title under them."""
    at = axes.get_xaxis_transform() + offset(axes, 0, -5)
    for place, label in labels.items():
        axes.text(place, 0.0, label, transform=at, ha="center", va="top", fontsize=TICK, color=MUTED)
    axes.text(0.5, 0.0, title, transform=axes.transAxes + offset(axes, 0, -20), ha="center", va="top", fontsize=size, color=colour)


def beside(axes: Axes, labels: Mapping[float, str], *, colour: str = MUTED) -> None:
    """The labels of the upright axis."""
    at = axes.get_yaxis_transform() + offset(axes, -5, 0)
    for place, label in labels.items():
        axes.text(0.0, place, label, transform=at, ha="right", va="center_baseline", fontsize=TICK, color=colour)


def rows(axes: Axes, count: int) -> None:
    """Let the upright axis be so many rows, numbered from the top, with a rule between them."""
    axes.set_ylim(count, 0)
    across(axes, range(1, count))


def row_title(axes: Axes, row: float, name: str, said: str, *, quiet: bool = False) -> None:
    """The words over a row: a name on the left, and what is said of it on the right."""
    for x, words, ha, colour in ((0.0, name, "left", INK), (1.0, said, "right", MUTED if quiet else INK)):
        axes.text(x, row, words, transform=axes.get_yaxis_transform(), ha=ha, color=colour, fontsize=11)


def offset(axes: Axes, right: float, up: float) -> Transform:
    """A shift by so many CSS pixels."""
    return ScaledTranslation(right / 72.0, up / 72.0, axes.figure.dpi_scale_trans)


def shortened(text: str, most: int) -> str:
    """``text`` with at most so many characters.

    >>> shortened("digits-noise0.2", 8)
    'digits-…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def shortened_within(text: str, most: int) -> str:
    """The same with what is left out in the middle, as of names that differ at their ends.

    >>> shortened_within("digits-noise0.2", 13)
    'digi…noise0.2'
    """
    head = (most - 1) // 3
    return text if len(text) <= most else f"{text[:head]}…{text[-(most - 1 - head) :]}"


def _broken(ends: tuple[float, float], places: Iterable[float]) -> tuple[list[float], list[float]]:
    """The points of one line that is broken between rules."""
    each = list(places)
    return [*ends, math.nan] * len(each), [point for place in each for point in (place, place, math.nan)]
