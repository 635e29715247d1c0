"""Which trials were lost, why, and how large a share of each cell."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.section import Section


def section(answer: Answer) -> Section | None:
    """Two tables, or nothing where no trial was lost."""
    lost, more_lost = tables.lost_rows(answer)
    if not lost:
        return None
    cells, more_cells = tables.lost_cell_rows(answer)
    lead = "A diverged trial is a result of its cell; a failed one is a fault of the machine or the code. Neither enters a mean."
    facts = {"lost": lost, "more_lost": more_lost, "lost_cells": cells, "more_lost_cells": more_cells}
    return Section("lost", "Lost trials", lead, template="lost.html", facts=facts)
