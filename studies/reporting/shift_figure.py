"""The figure of a shift: for each dataset where a family's best knob value may be, one below another on the knob's axis.

In blue a dot where the curve is highest, a line where its optimum may be, and small rings at the values that may be best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from studies.findings import Shift
from studies.reporting.section import Figure, file_name, runs_of
from studies.reporting.sentences import alt_of_shift, optimum_stretch, shift_sentence
from studies.reporting.strokes import LARGE, below, mark, row_title, rows, shortened, stroke
from studies.reporting.surface import BEST, INK, MUTED, PAPER, Sheet
from studies.reporting.windows import sparse_labels
from studies.reporting.wording import plain
from studies.topology import Trend

ROW = 46
LONGEST = 26
"""Characters of a dataset's name that leave room for its optimum; all of them are in the figure's words."""
_MARGIN = 0.03


def shift_figure(shift: Shift, trends: Sequence[Trend] = ()) -> Figure:
    """Where each dataset's best value may be, by rising optimum, by a family's verdict across datasets and along dials."""
    rows = len(shift.verdict.datasets)
    sheet = Sheet(width=330, height=44 + ROW * rows, left=4, right=16, top=2, bottom=42)
    return Figure(
        name=file_name("shift", shift.family),
        title=shift.family,
        label="SHIFT" if shift.verdict.shift else "",
        sentence=shift_sentence(shift, trends),
        alt=alt_of_shift(shift),
        sheet=sheet,
        paint=lambda axes: _paint(axes, shift, sheet),
        runs=runs_of(family=shift.family),
        heading=f"Where the best {shift.knob.symbol} of {shift.family} may be",
    )


def _paint(axes: Axes, shift: Shift, sheet: Sheet) -> None:
    values = [value for value in shift.tried if shift.knob.scale == "linear" or value > 0.0]
    at = {value: _place(shift, value) for value in values}
    low, high = min(at.values()), max(at.values())
    room = _MARGIN * ((high - low) or 1.0)
    axes.set_xlim(low - room, high + room)
    rows(axes, len(shift.verdict.datasets))
    widths = {value: (6.6 * len(plain(value)) + 6.0) * (high - low + 2.0 * room) / sheet.inner_width for value in values}
    labels = {at[value]: plain(value) for value in sparse_labels(at, widths, ())}
    below(axes, labels, shift.knob.symbol, size=LARGE, colour=INK)
    for row, evidence in enumerate(shift.verdict.datasets):
        row_title(axes, row + 0.36, shortened(evidence.dataset, LONGEST), optimum_stretch(evidence))
        y = row + 0.68
        stroke(axes, list(at.values()), [y] * len(at), marker="|", markersize=5, linestyle="none", color=MUTED, alpha=0.5, zorder=1)
        kept = [at[value] for value in evidence.optimum_set if value in at]
        stroke(axes, kept, [y] * len(kept), marker="o", markersize=6, linestyle="none", color=BEST, markerfacecolor=PAPER, zorder=2)
        if evidence.interval is not None and evidence.optimum is not None:
            stroke(axes, [_place(shift, end) for end in evidence.interval], [y, y], color=BEST, linewidth=1.8, zorder=3)
            mark(axes, _place(shift, evidence.optimum), y, "o", 7, color=BEST, markeredgewidth=0, zorder=4)


def _place(shift: Shift, value: float) -> float:
    return value if shift.knob.scale == "linear" else math.log10(value)
