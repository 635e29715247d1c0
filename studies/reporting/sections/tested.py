"""What the test split said of the chosen settings, beside what each stage said before."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.section import Section
from studies.reporting.tables import tested_rows


def section(answer: Answer) -> Section | None:
    """A table of the datasets that were tested."""
    if not answer.tested:
        return None
    lead = (
        "What each stage said of the chosen setting, each on its own seeds, and at last the test split, which chose nothing. Where a stage "
        "picked it, mean and gain are too good by the luck of the draw."
    )
    return Section("test", "On the test split", lead, template="test.html", facts={"tested": tested_rows(answer)})
