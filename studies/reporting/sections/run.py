"""What was run: trials by stage and ending, the recipe, what was changed on the way and what was held."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.section import Section


def section(answer: Answer) -> Section:
    """Tables, most of them to open."""
    statuses, stages = tables.trial_counts(answer)
    facts = {
        "statuses": statuses,
        "stages": stages,
        "recipe": tables.recipe(answer),
        "history": tables.history_rows(answer),
        "held": tables.held_rows(answer),
    }
    return Section("run", "What was run", template="run.html", facts=facts)
