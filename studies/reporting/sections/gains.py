"""What each family gains over cross-entropy, dataset by dataset."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.figures import gains_figure
from studies.reporting.section import Section
from studies.reporting.sentences import curves_of
from studies.reporting.tables import gains_note
from studies.reporting.wording import metric_words


def section(answer: Answer) -> Section | None:
    """A panel for each dataset on which some gain was measured."""
    shown = [
        dataset
        for dataset in answer.datasets
        if any(curve.contender is not None and curve.contender.gain is not None for curve in curves_of(answer, dataset))
    ]
    if not shown:
        return None
    sesoi = f"{answer.spec.smallest_effect:g}{metric_words(answer.spec).points}"
    lead = (
        f"One setting of each family against ce on the same seeds. {gains_note(answer)} "
        f"The grey band is the smallest effect of interest, ± {sesoi}."
    )
    return Section("gains", "Gain over cross-entropy", lead, [("", [gains_figure(answer, dataset) for dataset in shown])])
