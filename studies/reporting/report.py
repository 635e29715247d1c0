"""The report of a study: one HTML file that needs nothing else, for a person who did not run the study.

It lays the sections of `studies.reporting.sections` out on the page ``templates/report.html``, under the study's name and the answer in a
sentence for each dataset. Equal answers give equal bytes.
"""

from __future__ import annotations

from functools import cache, partial

from jinja2 import Environment, PackageLoader, StrictUndefined

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.notes import notes
from studies.reporting.sections import sections_of
from studies.reporting.sentences import headline
from studies.reporting.topology import MEANINGS as TOPOLOGY_MEANINGS
from studies.reporting.wording import MEANINGS, SHIFT_MEANING, metric_words


def render_report(answer: Answer) -> str:
    """The report as one self-contained HTML text.

    A study that has not finished, or of which nothing ended well, has a report too: it says what is missing.
    """
    words, sections = metric_words(answer.spec), sections_of(answer)
    figures = [figure for section in sections for figure in section.figures]
    shared = {
        "spec": answer.spec,
        "words": words,
        "confidence": tables.confidence_words(answer),
        "meanings": {**TOPOLOGY_MEANINGS, **MEANINGS, "SHIFT": SHIFT_MEANING},
        "drawings": {figure.name: figure.svg(f"f{place}") for place, figure in enumerate(figures)},
        "runs": partial(answer.runs_page.showing, spec=answer.spec) if answer.runs_page else None,
    }
    bodies = [
        _templates().get_template(f"sections/{section.template}").render(section=section, **section.facts, **shared) for section in sections
    ]
    return (
        _templates()
        .get_template("report.html")
        .render(
            facts=tables.facts(answer),
            notes=notes(answer),
            headlines=[(dataset, headline(answer, dataset)) for dataset in answer.datasets],
            sections=list(zip(sections, bodies, strict=True)),
            **shared,
        )
    )


@cache
def _templates() -> Environment:
    loader = PackageLoader("studies.reporting", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["typeset"] = _typeset
    return environment


def _typeset(text: str) -> str:
    """Keep a symbol and its value on one line."""
    return text.replace(" = ", "\u00a0=\u00a0").replace(" %", "\u00a0%")
