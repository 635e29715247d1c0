"""Ray Tune's schedulers of a stage: whose turn it is, and, by a `StoppingRule`, which trial ends early."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from studies.early_stopping import Contestant, StoppingRule
from studies.running.trial_run import planned_trial

if TYPE_CHECKING:
    from studies.tracking.ledger import Ledger


class InTurn(FIFOScheduler):
    """First come, first served, found without looking through all trials at each event as Ray Tune's own does.

    Args:
        room_for_all: Whether there is room for all trials that wait. An actor is then being started for each, and one that falls free
            takes the trial that has just come: of Ray Tune's choice, the oldest, it would end the actor that is nearly ready.
    """

    def __init__(self, *, room_for_all: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room_for_all = room_for_all
        self._waiting: deque[Any] = deque()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial waits."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """The trial that a free actor goes to."""
        while self._waiting and self._waiting[0].status != "PENDING":
            self._waiting.popleft()
        first = self._waiting[0] if self._waiting else None
        if self._room_for_all:
            self._waiting.clear()  # Ray Tune starts actors for them now
        return first


class EarlyStopping(InTurn):
    """Stops the trials that a rule says shall not go on.

    Ray Tune's own schedulers compare all trials with each other, whatever their dataset and seed, and forget what they have seen when a
    study is resumed.

    Args:
        rule: Says which.
        metric: The metric that it compares.
        room_for_all: As of `InTurn`.
    """

    def __init__(self, rule: StoppingRule, metric: str, *, room_for_all: bool) -> None:
        super().__init__(room_for_all=room_for_all)
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
