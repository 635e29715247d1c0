"""Whether the best value of a knob moves with the data."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.section import Section
from studies.reporting.shift_figure import shift_figure


def section(answer: Answer) -> Section | None:
    """A panel for each family with curves on several datasets."""
    if not answer.shifts:
        return None
    lead = (
        "Where each dataset’s best value may be: the line where its curve may turn, half a step of the grid allowed for, and rings at the "
        "values that may be best. Only SHIFT is a claim."
    )
    return Section(
        "shift",
        "Does the best value move with the data?",
        lead,
        [("", [shift_figure(shift, answer.topology.trends) for shift in answer.shifts])],
    )
