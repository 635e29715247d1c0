"""Kills trials that hang or have used up their time, so that their place is free for others.

Ray kills the process of an actor from outside, whatever it is doing, also where it holds Python's lock. The processes of a group go with
the actor that owns them, by way of its `post`. What becomes of the trial is then what becomes of any whose process has died.
"""

from __future__ import annotations

from typing import Any

import ray
from ray import tune

from studies.budget import TrialBudgetSection
from studies.running.deadlines import Deadlines
from studies.running.searcher import SourceSearcher
from studies.running.trial_run import planned_trial
from studies.tracking.ledger import Ledger


class LimitsCallback(tune.Callback):
    """Kills trials that are overdue.

    Args:
        limits: What each trial may take.
        ledger: Knows what a trial took before it was tried again.
        searcher: Is told why a process is killed, before it hears that it is gone.
    """

    def __init__(self, limits: TrialBudgetSection, ledger: Ledger, searcher: SourceSearcher) -> None:
        self._limits = limits
        self._ledger = ledger
        self._searcher = searcher
        self._deadlines = Deadlines(limits)
        self._trials: dict[str, Any] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, in a process that is there already."""
        planned = planned_trial(trial.config)
        spent = 0.0 if self._limits.hours is None else sum(row["seconds"] for row in self._ledger.epochs(planned.key))
        self._trials[trial.trial_id] = trial
        self._deadlines.began(trial.trial_id, planned.dataset, spent)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """A trial is heard of."""
        self._deadlines.heard(trial.trial_id, epochs=bool(result.get("rows")))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died."""
        self._forget(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill what is overdue."""
        for overdue in self._deadlines.overdue():
            actor = self._trials[overdue.trial_id].temporary_state.ray_actor
            if actor is not None:
                self._searcher.blame(overdue.trial_id, overdue.cause, overdue.told)
                ray.kill(actor)

    def _forget(self, trial: Any) -> None:
        self._trials.pop(trial.trial_id, None)
        self._deadlines.ended(trial.trial_id)
