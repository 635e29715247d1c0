"""What the study says of published claims about its datasets."""

from __future__ import annotations

from studies.findings import Answer
from studies.published import check_claims, shipped_claims
from studies.reporting.section import Section


def section(answer: Answer) -> Section | None:
    """A table of the source papers' claims that the study can be asked about."""
    found = check_claims(shipped_claims(), answer)
    if not found:
        return None
    lead = (
        "What the source papers claim of these datasets, held against the verdicts above. Each claim stands at the study’s own level: of "
        "twenty that are true, one may be expected to seem refuted."
    )
    return Section("claims", "Published claims", lead, template="claims.html", facts={"claims": found})
