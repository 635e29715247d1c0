"""The adapter between a `StoppingRule` and Ray Tune's scheduler interface."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from studies.early_stopping import Contestant, StoppingRule
from studies.running.driver_only import DriverOnly
from studies.running.trial_run import planned_trial

if TYPE_CHECKING:
    from studies.tracking.ledger import Ledger


class EarlyStopping(DriverOnly, FIFOScheduler):
    """Stops the trials that a rule says shall not go on.

    Ray Tune's own schedulers compare all trials with each other, whatever their dataset and seed, and forget what they have seen when a
    study is resumed.

    Args:
        rule: Says which.
        metric: The metric that it compares.
    """

    def __init__(self, rule: StoppingRule, metric: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = rule
        self._own_metric = metric

    def recall(self, ledger: Ledger, stage: str) -> None:
        """Tell the rule what a ledger already holds."""
        for trial in ledger.trials(stage):
            for row in ledger.epochs(trial.key):
                self._take(Contestant(trial.key, trial.cell_id, trial.dataset, trial.seed), row)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on after its last epoch."""
        planned = planned_trial(trial.config)
        mine = Contestant(planned.key, planned.cell.cell_id, planned.dataset, planned.replicate)
        stops = [self._take(mine, row) for row in result.get("rows", ())]
        return str(TrialScheduler.STOP if stops and stops[-1] else TrialScheduler.CONTINUE)

    def _take(self, trial: Contestant, row: dict[str, Any]) -> bool:
        return self._rule.stops(trial, row["epoch"], row["metrics"].get(self._own_metric, math.nan))
