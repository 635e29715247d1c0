"""Which cell to export for each dataset, and why."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.section import Section
from studies.reporting.tables import winner_rows


def section(answer: Answer) -> Section | None:
    """A table of winners with the command that exports them."""
    rows = winner_rows(answer)
    return Section("export", "What to export", template="export.html", facts={"winners": rows}) if rows else None
