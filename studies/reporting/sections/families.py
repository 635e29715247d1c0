"""Families compared over datasets: what the fixed setting of each gains over cross-entropy, a row for each dataset."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from studies.analysis import Gain
from studies.findings import Answer, Curve
from studies.reporting.figures import gain_mark, gain_track, window_of_gains
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.strokes import below, row_title, rows, shortened
from studies.reporting.surface import Sheet
from studies.reporting.tables import gains_note
from studies.reporting.wording import counted, gain_words, is_none, metric_words, number

ROW, LONGEST = 44, 24
Measured = tuple[Curve, Gain]


def section(answer: Answer) -> Section | None:
    """A panel for each family whose gain was measured on several datasets; all have one axis."""
    measured = [(curve, curve.contender.gain) for curve in answer.curves if curve.contender and curve.contender.gain]
    families = dict.fromkeys(curve.family for curve, _ in measured)
    several = {family: mine for family in families if len(mine := [entry for entry in measured if entry[0].family == family]) > 1}
    if not several:
        return None
    lead = f"The same gains family by family, on one axis: does a family help everywhere, or on some data only? {gains_note(answer)}"
    return Section("families", "Families across datasets", lead, [("", [figure(answer, mine) for mine in several.values()])])


def figure(answer: Answer, measured: Sequence[Measured]) -> Figure:
    """One family's gains, a row for each dataset."""
    family = measured[0][0].family
    told = "; ".join(f"{curve.dataset} {gain_words(gain)}" for curve, gain in measured)
    return Figure(
        name=file_name("families", family),
        title=family,
        sentence=sentence(answer, measured),
        alt=f"Difference of {family} from cross-entropy in {metric_words(answer.spec).name}, by dataset: {told}.",
        sheet=Sheet(width=330, height=48 + ROW * len(measured), left=4, right=4, top=2, bottom=46),
        paint=lambda axes: _paint(axes, answer, measured),
        runs=runs_of(family=family, stage="confirm"),
        heading=f"Gains of {family} over ce",
    )


def sentence(answer: Answer, measured: Sequence[Measured]) -> str:
    """On how many datasets the family helps, harms, and cannot be told apart."""
    family, total = measured[0][0].family, counted(len(measured), "dataset")
    apart = [gain for _, gain in measured if gain.different]
    helps = sum((gain.mean > 0) == answer.spec.maximize for gain in apart)
    clauses = [f"{family} does better than cross-entropy on {helps} of {total}"] if helps else []
    if worse := len(apart) - helps:
        clauses.append(f"{'worse' if helps else f'{family} does worse than cross-entropy'} on {worse}{'' if helps else f' of {total}'}")
    if unclear := len(measured) - len(apart) - sum(is_none(gain) for _, gain in measured):
        clauses.append(
            f"cannot be told from it on {unclear}" if clauses else f"{family} cannot be told from cross-entropy on any of {total}"
        )
    if itself := sum(is_none(gain) for _, gain in measured):
        clauses.append(f"is cross-entropy itself on {itself}" if clauses else f"{family} is cross-entropy itself on {itself} of {total}")
    return f"{', '.join(clauses)}."


def _paint(axes: Axes, answer: Answer, measured: Sequence[Measured]) -> None:
    window = window_of_gains(answer, [curve.contender.gain for curve in answer.curves if curve.contender and curve.contender.gain])
    axes.set_xlim(*window.limits)
    rows(axes, len(measured))
    points = metric_words(answer.spec).points
    title = f"difference from ce{points and f',{points}'.replace('°', ' °')}"
    below(axes, {tick: number(tick, window.decimals, signed=True) for tick in window.ticks}, title)
    for row, (curve, gain) in enumerate(measured):
        row_title(axes, row + 0.38, shortened(curve.dataset, LONGEST), gain_words(gain), quiet=not gain.different)
        gain_track(axes, row + 0.7, window, answer.spec.smallest_effect)
        gain_mark(axes, row + 0.7, gain, window)
