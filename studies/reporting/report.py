"""The report of a study: one HTML file that needs nothing else, for a person who did not run the study.

It puts an `Answer` into the template `templates/report.html`. Sentences come from `studies.reporting.sentences`, rows from
`studies.reporting.tables` and pictures from `studies.reporting.figures`; equal answers give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.figures import curve_figure, gains_figure, goes_beyond, screen_figure
from studies.reporting.sentences import curve_sentence, curves_of, gains_sentence, headline, screen_sentence, shift_sentence
from studies.reporting.shift_figure import shift_figure
from studies.reporting.topology import topology_section
from studies.reporting.wording import LABELS, MEANINGS, SHIFT_MEANING, metric_words


@dataclass(frozen=True)
class Panel:
    """A figure with the words around it.

    Attributes:
        title: Over the figure.
        label: The verdict beside the title, or empty.
        svg: The figure.
        sentence: What it shows.
    """

    title: str
    label: str
    svg: str
    sentence: str


def render_report(answer: Answer) -> str:
    """The report as one self-contained HTML text.

    A study that has not finished, or of which nothing ended well, has a report too: it says what is missing.
    """
    words, rows = metric_words(answer.spec), tables.verdict_rows(answer)
    statuses, stages = tables.trial_counts(answer)
    lost, more_lost = tables.lost_rows(answer)
    lost_cells, more_lost_cells = tables.lost_cell_rows(answer)
    return _template().render(
        spec=answer.spec,
        words=words,
        confidence=tables.confidence_words(answer),
        sesoi=f"{answer.spec.smallest_effect:g}{words.points}",
        facts=tables.facts(answer),
        notes=tables.notes(answer),
        headlines=[(dataset, headline(answer, dataset)) for dataset in answer.datasets],
        rows=rows,
        meanings={**MEANINGS, "SHIFT": SHIFT_MEANING},
        shown_labels=[label for label in LABELS if any(row["label"] == label for row in rows)],
        no_verdicts=tables.no_verdicts(answer),
        curves=_curves(answer, "curve"),
        zooms=_curves(answer.closer(), "zoom"),
        tested=tables.tested_rows(answer),
        any_lost=any(curve.lost for curve in answer.curves),
        any_beyond=goes_beyond(answer),
        shifts=[
            Panel(shift.family, "SHIFT" if shift.verdict.shift else "", shift_figure(shift, name=f"shift-{place}"), shift_sentence(shift))
            for place, shift in enumerate(answer.shifts)
        ],
        topology=topology_section(answer, Panel),
        gains=_gains(answer),
        gains_note=tables.gains_note(answer),
        screens=_screens(answer),
        screen_leaders=tables.screen_leaders(answer),
        fronts=tables.fronts(answer),
        winners=tables.winner_rows(answer),
        statuses=statuses,
        stages=stages,
        recipe=tables.recipe(answer),
        held=tables.held_rows(answer),
        history=tables.history_rows(answer),
        lost=lost,
        more_lost=more_lost,
        lost_cells=lost_cells,
        more_lost_cells=more_lost_cells,
        method=tables.method(answer),
    )


def _curves(answer: Answer, name: str) -> list[tuple[str, list[Panel]]]:
    groups = []
    for place, dataset in enumerate(answer.datasets):
        panels = [
            Panel(
                curve.family,
                str(curve.verdict.label),
                curve_figure(answer, curve, name=f"{name}-{place}-{index}"),
                curve_sentence(answer, curve),
            )
            for index, curve in enumerate(curves_of(answer, dataset))
        ]
        if panels:
            groups.append((dataset, panels))
    return groups


def _gains(answer: Answer) -> list[Panel]:
    shown = [
        dataset
        for dataset in answer.datasets
        if any(curve.contender is not None and curve.contender.gain is not None for curve in curves_of(answer, dataset))
    ]
    return [
        Panel(dataset, "", gains_figure(answer, dataset, name=f"gains-{place}"), gains_sentence(answer, dataset))
        for place, dataset in enumerate(shown)
    ]


def _screens(answer: Answer) -> list[Panel]:
    shown = [dataset for dataset in answer.datasets if (answer.screen["dataset"] == dataset).any()]
    return [
        Panel(dataset, "", screen_figure(answer, dataset, name=f"screen-{place}"), screen_sentence(answer, dataset))
        for place, dataset in enumerate(shown)
    ]


@cache
def _template() -> Template:
    loader = PackageLoader("studies.reporting", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["typeset"] = _typeset
    return environment.get_template("report.html")


def _typeset(text: str) -> str:
    """Keep a symbol and its value on one line."""
    return text.replace(" = ", "\u00a0=\u00a0").replace(" %", "\u00a0%")
