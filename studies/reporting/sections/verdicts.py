"""The verdicts in a table: a row for each dataset and family."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting import tables
from studies.reporting.section import Section
from studies.reporting.wording import LABELS


def section(answer: Answer) -> Section:
    """Every verdict, or why there is none."""
    rows = tables.verdict_rows(answer)
    shown = [label for label in LABELS if any(row["label"] == label for row in rows)]
    lead = (
        "Is any value of a family’s knob better than cross-entropy (ce), and which values may be best? The gain is that of one setting, "
        f"measured seed by seed against ce, with its {tables.confidence_words(answer)} interval; it is told of a setting that was chosen "
        "before the seeds that measure it."
    )
    return Section(
        "verdicts",
        "Verdicts",
        lead if rows else tables.no_verdicts(answer),
        template="verdicts.html",
        facts={"rows": rows, "labels": shown},
    )
