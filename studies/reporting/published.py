"""What the source papers say of a curve, as figures mark it: a hollow diamond at each value that is published as best or better.

Whether a claim holds is the verdicts' to say and stands in a table of its own; a figure only shows where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from studies.findings import Answer, Curve
from studies.published import claimed_values, shipped_claims
from studies.reporting.strokes import stroke
from studies.reporting.surface import INK
from studies.reporting.wording import listed, plain

KEY = ("claim", "published as best or better")


def published(answer: Answer, curve: Curve) -> tuple[float, ...]:
    """The values of a curve's knob that a source paper calls the best or better on its dataset, rising."""
    return claimed_values(shipped_claims(), answer, curve)


def published_words(answer: Answer, curve: Curve) -> str:
    """The same for those who do not see it: ``, published as best or better: λ = 2``; empty where nothing is."""
    values = published(answer, curve)
    return f", {KEY[1]}: {curve.knob.symbol} = {listed([plain(value) for value in values], 'and')}" if values else ""


def paint_published(
    axes: Axes, at: Mapping[float, float], y: float, values: Sequence[float], *, size: float = 9.0, **style: object
) -> None:
    """A hollow diamond at each of ``values``, at the height ``y``."""
    if not values:
        return
    look = {"color": INK, "markerfacecolor": "none", "markeredgewidth": 1.2, "linestyle": "none", "zorder": 6, **style}
    stroke(axes, [at[value] for value in values], [y] * len(values), marker="D", markersize=size, **look)
