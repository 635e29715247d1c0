"""How the report is to be read."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.section import Section


def section(answer: Answer) -> Section:
    """What the numbers rest on, as far as it applies."""
    return Section("method", "How to read this", template="method.html", facts={"method": tables.method(answer)})
