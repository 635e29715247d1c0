"""The values that may be best, of each family on every dataset: a forest of optimum sets.

A row is a dataset, with all values that were tried as small ticks; in blue those that may be best, the one with the best mean filled. A
square is the baseline, where it is a value of the knob, and a diamond what a paper publishes as best or better on the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from studies.findings import Answer, Curve
from studies.reporting.published import KEY, paint_published, published, published_words
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.sentences import optimum_words
from studies.reporting.strokes import LARGE, below, mark, row_title, rows, shortened, stroke
from studies.reporting.surface import BEST, INK, MUTED, PAPER, Sheet
from studies.reporting.windows import knob_positions, sparse_labels
from studies.reporting.wording import counted, listed, plain

ROW, LONGEST = 46, 28


def section(answer: Answer) -> Section | None:
    """A panel for each family that was confirmed on several datasets."""
    families = dict.fromkeys(curve.family for curve in answer.curves)
    several = [mine for family in families if len(mine := [curve for curve in answer.curves if curve.family == family]) > 1]
    if not several:
        return None
    shown = [curve for mine in several for curve in mine]
    key = [
        ("ring", "may be best"),
        ("best-mean", "best mean"),
        *([("baseline", "baseline")] if any(curve.verdict.question.baseline is not None for curve in shown) else []),
        *([KEY] if any(published(answer, curve) for curve in shown) else []),
    ]
    lead = "The same verdicts family by family, with a tick at each value that was tried."
    return Section("forest", "What may be best, across datasets", lead, [("", [figure(answer, mine) for mine in several])], key=key)


def figure(answer: Answer, curves: Sequence[Curve]) -> Figure:
    """One family's optimum sets, a row for each of its curves."""
    family, knob = curves[0].family, curves[0].knob
    sheet = Sheet(width=330, height=44 + ROW * len(curves), left=4, right=4, top=2, bottom=42)
    told = "; ".join(f"{curve.dataset} {curve.verdict.label}, {optimum_words(curve)}{published_words(answer, curve)}" for curve in curves)
    return Figure(
        name=file_name("forest", family),
        title=family,
        sentence=sentence(curves),
        alt=f"Which {knob.symbol} of {family} may be best, by dataset: {told}.",
        sheet=sheet,
        paint=lambda axes: _paint(axes, answer, curves, sheet),
        runs=runs_of(family=family, stage="confirm"),
        heading=f"Which {knob.symbol} of {family} may be best",
    )


def sentence(curves: Sequence[Curve]) -> str:
    """How many datasets the family is better on, and which values may be best on all of them."""
    family, symbol = curves[0].family, curves[0].knob.symbol
    better = sum(curve.verdict.better for curve in curves)
    judged = [curve for curve in curves if curve.verdict.n_seeds >= 2]
    said = f"{family} beats its baseline on {better} of {counted(len(curves), 'dataset')}"
    if len(judged) < 2:
        return f"{said}; too few seeds to compare where it is best."
    shared = sorted(set.intersection(*(set(curve.verdict.optimum_set) for curve in judged)))
    if len(shared) > 2 and all(set(curve.verdict.optimum_set) >= _tried(curve) for curve in judged):
        return f"{said}; any {symbol} tried may be best on all of them."
    if all(curve.verdict.label == "WORSE" for curve in judged):
        return f"{said}; the baseline alone may be best on {'both' if len(curves) == 2 else 'all that could be judged'}."
    if shared:
        return f"{said}; {symbol} = {listed([plain(value) for value in shared], 'or')} may be best on all of them."
    return f"{said}; no {symbol} that was tried may be best on all of them, which alone is no claim of a shift."


def _tried(curve: Curve) -> set[float]:
    return {float(value) for value in curve.table[curve.knob.name]}


def paint_row(axes: Axes, y: float, at: Mapping[float, float], kept: Sequence[float], best: float | None) -> None:
    """The values tried, those that may be best, and the best mean."""
    stroke(axes, list(at.values()), [y] * len(at), marker="|", markersize=5, linestyle="none", color=MUTED, alpha=0.6, zorder=1)
    inside = [at[value] for value in kept if value in at]
    for here, following in pairwise(sorted(at)):  # not over a value that is ruled out
        if here in kept and following in kept:
            stroke(axes, [at[here], at[following]], [y, y], color=BEST, linewidth=1.4, zorder=2)
    stroke(axes, inside, [y] * len(inside), marker="o", markersize=6.5, linestyle="none", color=BEST, markerfacecolor=PAPER, zorder=3)
    if best is not None and best in at:
        mark(axes, at[best], y, "o", 7.5, color=BEST if best in kept else MUTED, markeredgewidth=0, zorder=4)


def paint_knob(axes: Axes, at: Mapping[float, float], symbol: str, sheet: Sheet) -> None:
    """The axis under rows of one knob."""
    axes.set_xlim(-0.06, 1.06)
    widths = {value: (6.6 * len(plain(value)) + 6.0) * 1.12 / sheet.inner_width for value in at}
    below(axes, {at[value]: plain(value) for value in sparse_labels(at, widths, ())}, symbol, size=LARGE, colour=INK)


def _paint(axes: Axes, answer: Answer, curves: Sequence[Curve], sheet: Sheet) -> None:
    knob = curves[0].knob
    tried = [sorted({*_tried(curve), *curve.lost}) for curve in curves]
    claimed = [published(answer, curve) for curve in curves]
    at = knob_positions(sorted({value for values in (*tried, *claimed) for value in values}), knob.scale)
    paint_knob(axes, at, knob.symbol, sheet)
    rows(axes, len(curves))
    for row, (curve, values, said) in enumerate(zip(curves, tried, claimed, strict=True)):
        verdict = curve.verdict
        row_title(axes, row + 0.36, shortened(curve.dataset, LONGEST), str(verdict.label), quiet=not verdict.better)
        y = row + 0.68
        baseline = verdict.question.baseline
        if baseline is not None and baseline in at:
            mark(axes, at[baseline], y, "s", 9, color=MUTED, markerfacecolor="none", markeredgewidth=1.1, zorder=5)
        paint_row(axes, y, {value: at[value] for value in values}, verdict.optimum_set, verdict.best)
        paint_published(axes, at, y, said)
