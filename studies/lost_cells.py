"""For each cell that lost replicates how many, of how many, and why: an outcome of the cell beside its mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.analysis.failure_rate import FailureRate, failure_rate
from studies.described import describe
from studies.failures import Cause, cause_in
from studies.tracking.records import ENDED, TrialRecord


@dataclass(frozen=True)
class LostCell:
    """A cell of which replicates diverged or failed.

    Attributes:
        stage: The stage that measured it.
        dataset: What the study calls the dataset.
        family: The loss family.
        cell_id: The cell.
        setting: Its values in words.
        ended: How many of its replicates have ended.
        diverged: How many of them diverged.
        failed: How many failed.
        causes: How many were lost by each cause.
        rate: The share that was lost, with an interval.
    """

    stage: str
    dataset: str
    family: str
    cell_id: str
    setting: str
    ended: int
    diverged: int
    failed: int
    causes: Mapping[Cause, int]
    rate: FailureRate

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "stage": self.stage,
            "dataset": self.dataset,
            "family": self.family,
            "cell_id": self.cell_id,
            "setting": self.setting,
            "ended": self.ended,
            "diverged": self.diverged,
            "failed": self.failed,
            "causes": dict(self.causes),
            "rate": self.rate.rate,
            "rate_interval": [self.rate.low, self.rate.high],
        }


def lost_cells(trials: Sequence[TrialRecord], *, alpha: float) -> list[LostCell]:
    """The cells that lost replicates, the greatest share first.

    Args:
        trials: The trials of a study.
        alpha: One minus the confidence of the intervals.
    """
    cells: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.status in ENDED:
            cells.setdefault((trial.stage, trial.cell_id), []).append(trial)
    found = []
    for (stage, cell_id), mine in cells.items():
        statuses = Counter(trial.status for trial in mine)
        diverged, failed = statuses["diverged"], statuses["failed"]
        if diverged + failed:
            causes: Counter[Cause] = Counter(cause_in(trial.reason) for trial in mine if trial.status == "failed")
            causes["diverged"] += diverged
            lost = {cause: count for cause, count in causes.items() if count}
            rate = failure_rate(diverged + failed, len(mine), alpha=alpha)
            first = mine[0]
            found.append(
                LostCell(stage, first.dataset, first.family, cell_id, describe(first.config), len(mine), diverged, failed, lost, rate)
            )
    return sorted(found, key=lambda cell: -cell.rate.rate)
