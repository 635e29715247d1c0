"""Where metrics disagree: the curves on which another metric than the study's own would have another value best."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from studies.disagreement import MetricChoice
from studies.findings import Answer
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.sections.forest import paint_knob, paint_row
from studies.reporting.strokes import row_title, rows
from studies.reporting.surface import Sheet
from studies.reporting.windows import knob_positions
from studies.reporting.wording import METRICS, MetricWords, counted, listed, plain

ROW = 44


def section(answer: Answer) -> Section | None:
    """A panel for each curve on which some metric rules out what the study's own metric has best."""
    curves = dict.fromkeys((choice.dataset, choice.family) for choice in answer.choices)
    by_curve = [[each for each in answer.choices if (each.dataset, each.family) == curve] for curve in curves]
    judged = [choices for choices in by_curve if len(choices) > 1 and choices[0].metric == answer.spec.metric]
    if not judged:
        return None
    apart = [choices for choices in judged if against(choices)]
    if not apart:
        said = f"On none of {counted(len(judged), 'curve')} does another metric rule out the value that {_named(judged[0][0])} has best."
        return Section("metrics", "Do the metrics agree?", said)
    lead = (
        f"Which values may be best by each metric, on the {len(apart)} of {counted(len(judged), 'curve')} where some metric rules out the "
        f"one that {_named(judged[0][0])} has best, each at the confidence of the curve’s verdict, and verdicts go by "
        f"{_named(judged[0][0])} alone."
    )
    return Section("metrics", "Do the metrics agree?", lead, [("", [figure(choices) for choices in apart])])


def against(choices: Sequence[MetricChoice]) -> list[MetricChoice]:
    """The metrics that rule out what the first of them has best."""
    best = choices[0].best
    return [each for each in choices[1:] if best in each.tried and best not in each.optimum_set]


def figure(choices: Sequence[MetricChoice]) -> Figure:
    """One curve, a row for each metric."""
    first = choices[0]
    sheet = Sheet(width=330, height=44 + ROW * len(choices), left=4, right=4, top=2, bottom=42)
    told = "; ".join(f"{_named(each)} {listed([plain(value) for value in each.optimum_set], 'or')}" for each in choices)
    return Figure(
        name=file_name("metrics", first.dataset, first.family),
        title=f"{first.family} on {first.dataset}",
        sentence=sentence(choices),
        alt=f"Which {first.knob.symbol} of {first.family} may be best on {first.dataset}, by metric: {told}.",
        sheet=sheet,
        paint=lambda axes: _paint(axes, choices, sheet),
        runs=runs_of(first.dataset, first.family, "confirm"),
    )


def sentence(choices: Sequence[MetricChoice]) -> str:
    """Which metrics rule out the study's own best value, and what they have instead."""
    first = choices[0]
    told = [f"{_named(each)} ({plain(each.best)} instead)" for each in against(choices)]
    return f"{first.knob.symbol} = {plain(first.best)}, best by {_named(first)}, is ruled out by {listed(told)}."


def _named(choice: MetricChoice) -> str:
    return METRICS.get(choice.metric, MetricWords(choice.metric)).name


def _paint(axes: Axes, choices: Sequence[MetricChoice], sheet: Sheet) -> None:
    values = sorted({value for each in choices for value in each.tried})
    at = knob_positions(values, choices[0].knob.scale)
    paint_knob(axes, at, choices[0].knob.symbol, sheet)
    rows(axes, len(choices))
    ruled_out = against(choices)
    for row, each in enumerate(choices):
        row_title(axes, row + 0.36, _named(each), "disagrees" if each in ruled_out else "")
        paint_row(axes, row + 0.68, {value: at[value] for value in each.tried}, each.optimum_set, each.best)
