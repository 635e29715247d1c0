"""What the screen saw: every configuration, its leaders, and the trade-off where it was asked for one."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.figures import screen_figure
from studies.reporting.section import Section
from studies.reporting.tables import fronts, screen_leaders


def section(answer: Answer) -> Section | None:
    """A panel for each screened dataset, and tables to open."""
    shown = [dataset for dataset in answer.datasets if (answer.screen["dataset"] == dataset).any()]
    if not shown:
        return None
    lead = (
        "Each dot is one configuration, the blue one its family’s best. The best of many is lucky as well as good, so these numbers "
        "choose and do not judge."
    )
    facts = {"screen_leaders": screen_leaders(answer), "fronts": fronts(answer)}
    figures = [screen_figure(answer, dataset) for dataset in shown]
    return Section("screen", "What the screen saw", lead, [("", figures)], template="screen.html", facts=facts)
