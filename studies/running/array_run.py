"""Trials of an array on their way: who joins and leaves it, and whose fault it is where an epoch raises.

What a trial does after an epoch is left to `trial_run`, as for a trial alone; who orders all this, to `array_loop`.
"""

from __future__ import annotations

import logging
import time

from margin_core.training.array import TrialArray
from studies.plan import PlannedTrial
from studies.running.causes import spoils_process
from studies.running.progress import Progress
from studies.running.trial_run import TrialRun, TrialSetting

logger = logging.getLogger(__name__)


class ArrayRun:
    """Trials that are trained side by side in this process.

    Args:
        setting: How they are run.
    """

    def __init__(self, setting: TrialSetting) -> None:
        self._setting = setting
        self._array = TrialArray()
        self._runs: dict[str, TrialRun] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def begin(self, trial_id: str, planned: PlannedTrial, phase: int | None = None) -> Progress | None:
        """Take a trial in, where its checkpoint left it or at its beginning; its end, where it comes to that at once.

        Args:
            trial_id: What it is called until it ends.
            planned: The trial.
            phase: At which epoch of its replicate's stream of batches it begins; by default, in the screen at the one that the array is at,
                and at 0 in the later stages and with ``own_order``, where the order of the data is to depend on the replicate alone.
        """
        if phase is None:
            joins = planned.stage == "screen" and not self._setting.own_order
            phase = self._array.phase(planned.replicate) if joins else 0
        run = self._runs[trial_id] = TrialRun(planned, self._setting, phase=phase)
        try:
            run.open()
            if not run.at_the_end:
                self._array.join(run.trial)
        except Exception as error:
            return self._failed(trial_id, error)
        return self._progress(trial_id) if run.at_the_end else None  # its end was not told before

    def drop(self, trial_id: str) -> None:
        """Let a trial go that is not to go on."""
        self._array.leave(self._runs.pop(trial_id).trial)

    def advance(self) -> dict[str, Progress]:
        """Train all trials for an epoch, or for about a second where nobody asks for every epoch and none of them ends."""
        until = time.monotonic() + (0.0 if self._setting.every_epoch else 1.0)
        ended: dict[str, Progress] = {}
        try:
            while self._runs and not ended:
                ended |= self._train_epoch()
                if time.monotonic() >= until or any(run.at_the_end for run in self._runs.values()):
                    break
        except Exception as error:
            return self._one_by_one(error)
        return ended | {trial_id: self._progress(trial_id) for trial_id in list(self._runs)}

    def leave(self) -> None:
        """Write checkpoints of all trials, where they are now, for whoever goes on with them."""
        for run in self._runs.values():
            run.leave()

    def _train_epoch(self) -> dict[str, Progress]:
        """Train each trial for an epoch; those that could not go on with their report."""
        ids = {run.trial: trial_id for trial_id, run in self._runs.items()}
        failed: dict[str, Progress] = {}
        for trial, report in self._array.run_epoch():
            try:
                self._runs[ids[trial]].take(report)
            except Exception as error:
                failed[ids[trial]] = self._failed(ids[trial], error)
        return failed

    def _progress(self, trial_id: str) -> Progress:
        run = self._runs[trial_id]
        try:
            progress = run.progress()
        except Exception as error:
            return self._failed(trial_id, error)
        if progress.status != "running":
            self._forget(trial_id)
        return progress

    def _failed(self, trial_id: str, error: Exception) -> Progress:
        run = self._forget(trial_id)
        return run.failed(error)

    def _forget(self, trial_id: str) -> TrialRun:
        run = self._runs.pop(trial_id)
        if run.is_open and run.trial in self._array:
            self._array.leave(run.trial)
        return run

    def _one_by_one(self, error: Exception) -> dict[str, Progress]:
        """What became of the trials of an epoch that raised: none can go on from where it is.

        Where memory was short or the GPU no longer works that is so for all. Else it is the fault of some, which shows when each goes on by
        itself from its checkpoint; the others then go on together.
        """
        runs, self._runs, self._array = self._runs, {}, TrialArray()
        if spoils_process(error) or len(runs) == 1:
            return {trial_id: run.failed(error) for trial_id, run in runs.items()}
        logger.error("an epoch of an array raised, and its trials go on from their checkpoints one by one", exc_info=error)
        ended: dict[str, Progress] = {}
        going_on: dict[str, TrialRun] = {}
        for trial_id, run in runs.items():
            self._runs, self._array = {trial_id: run}, TrialArray()
            try:
                self._array.join(run.open())
                ended |= self._train_epoch()
            except Exception as own:
                ended[trial_id] = run.failed(own)
            else:
                going_on |= self._runs
                for alone in list(self._array):
                    self._array.leave(alone)
        self._runs, self._array = going_on, TrialArray()
        for run in going_on.values():
            if not run.at_the_end:
                self._array.join(run.trial)
        return ended | {trial_id: self._progress(trial_id) for trial_id in going_on.copy()}
