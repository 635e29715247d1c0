"""What the driver does with Ray Tune's events: write the ledger, tell the watcher, and see when to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ray import tune

from studies.plan import PlannedTrial
from studies.running.searcher import SourceSearcher
from studies.running.trial_run import planned_trial
from studies.sections import ToleranceSection
from studies.spending import Account
from studies.tracking.ledger import Ledger
from studies.tracking.records import Status

SECONDS = 1.0


class Watcher(Protocol):
    """Sees a study run, as a progress display does."""

    def stage_started(self, stage: str, total: int, ended: int) -> None:
        """A stage begins, ``ended`` of its ``total`` trials being there from an earlier run."""

    def trial_started(self, trial: PlannedTrial) -> None:
        """A trial starts, or starts again."""

    def trial_reported(self, trial: PlannedTrial, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reached ``epoch``."""

    def trial_ended(self, trial: PlannedTrial, status: str, reason: str, metrics: dict[str, float]) -> None:
        """A trial has ended, with the metrics of its last epoch."""


class Tolerance:
    """Counts failures and says when there are too many of them.

    Args:
        limits: The study's tolerance.
        total: Trials of the stage.
    """

    def __init__(self, limits: ToleranceSection, total: int) -> None:
        self._limits = limits
        self._total = total
        self._failed = 0
        self._in_a_row = 0
        self.exceeded = ""

    def count(self, status: str, reason: str) -> None:
        """Count an ended trial."""
        failed = status == "failed"
        self._failed += failed
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._in_a_row >= self._limits.consecutive:
            self.exceeded = f"{self._in_a_row} trials in a row failed, the last with: {reason}"
        elif self._failed > self._limits.failed_share * self._total:
            self.exceeded = f"{self._failed} of {self._total} trials failed, more than the tolerated {self._limits.failed_share:.0%}"


class StopRequest(tune.Stopper):
    """Ends a stage in order; what runs stays resumable.

    That is asked for by Ctrl-C, an exceeded tolerance, a budget that is used up or an event that cannot be dealt with.

    Attributes:
        error: What was raised by the event that could not be dealt with, or None.
    """

    def __init__(self, tolerance: Tolerance, account: Account) -> None:
        self.tolerance = tolerance
        self.account = account
        self.interrupted = False
        self.error: Exception | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Whether the stage shall end now."""
        return self.interrupted or bool(self.tolerance.exceeded) or bool(self.account.used_up()) or self.error is not None


class Guarded(tune.Callback):
    """Hands events on to callbacks, until one of them raises; then the stage ends.

    Ray Tune would take some of what is raised for the failure of a trial. And no later event may be recorded where one is missing: it comes
    again, with what the trial's checkpoint has, when the study goes on.

    Args:
        callbacks: Are told each event in turn.
        stop: Is told what one raises.
    """

    def __init__(self, callbacks: Sequence[tune.Callback], stop: StopRequest) -> None:
        self._callbacks = callbacks
        self._stop = stop
        self._handed_on = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Hand it on."""
        self._tell("on_trial_start", iteration=iteration, trials=trials, trial=trial, **info)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Hand it on."""
        self._tell("on_trial_result", iteration=iteration, trials=trials, trial=trial, result=result, **info)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Hand it on."""
        self._tell("on_trial_complete", iteration=iteration, trials=trials, trial=trial, **info)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Hand it on."""
        self._tell("on_trial_error", iteration=iteration, trials=trials, trial=trial, **info)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Hand it on about once a second; Ray Tune comes by here all the time."""
        if time.monotonic() - self._handed_on < SECONDS:
            return
        self._handed_on = time.monotonic()
        self._tell("on_step_end", iteration=iteration, trials=trials, **info)

    def _tell(self, name: str, **event: Any) -> None:
        try:
            for callback in self._callbacks:
                if self._stop.error is None:
                    getattr(callback, name)(**event)
        except Exception as error:
            self._stop.error = error


class LedgerCallback(tune.Callback):
    """Writes every event of a stage to the ledger, in the driver, before anything else is done with it."""

    def __init__(self, ledger: Ledger, searcher: SourceSearcher, watcher: Watcher, stop: StopRequest) -> None:
        self._ledger = ledger
        self._searcher = searcher
        self._watcher = watcher
        self._stop = stop
        self._started: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the start; of a trial that may be declined where it is, its first report tells."""
        if "elsewhere" not in trial.config:
            self._start(trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Record the epochs of a report."""
        if trial.trial_id not in self._started and result.get("status") != "declined":
            self._start(trial)
        if result.get("rows"):
            planned = planned_trial(trial.config)
            self._ledger.report(planned.key, result["rows"])
            last = result["rows"][-1]
            self._watcher.trial_reported(planned, last["epoch"], last["metrics"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the end: as the trial said, or as the scheduler or a stop request made it."""
        last = trial.last_result or {}
        status, reason = last.get("status", "running"), last.get("reason", "")
        if status == "declined":
            return
        if status in ("failed", "diverged"):
            given_up, reason = self._searcher.failed(trial.trial_id, last)
            if not given_up and status == "diverged":
                self._ledger.forget_epochs(planned_trial(trial.config).key)
            status = status if given_up else "interrupted"
        if status == "running":
            status, reason = (
                ("interrupted", "") if self._stop.stop_all() else ("stopped", f"by the scheduler after epoch {last.get('epoch', 0)}")
            )
        self._end(trial, status, reason)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial whose process died: interrupted, or failed if it is given up."""
        # Ray writes its words here at once; the exception itself is where it can be had only some time later.
        cause = Path(trial.error_file).read_text() if trial.error_file else ""
        address = (trial.last_result or {}).get("node_ip", "")
        given_up, reason = self._searcher.died(trial.trial_id, cause, f"ip:{address}" if address else "")
        self._end(trial, "failed" if given_up else "interrupted", reason)

    def _start(self, trial: Any) -> None:
        planned = planned_trial(trial.config)
        self._started.add(trial.trial_id)
        self._ledger.start(planned)
        self._watcher.trial_started(planned)

    def _end(self, trial: Any, status: Status, reason: str) -> None:
        planned = planned_trial(trial.config)
        self._started.discard(trial.trial_id)
        self._ledger.end(planned.key, status, reason)
        if status not in ("interrupted", "paused"):
            self._stop.tolerance.count(status, reason)
        rows = (trial.last_result or {}).get("rows") or [{"metrics": {}}]
        self._watcher.trial_ended(planned, status, reason, rows[-1]["metrics"])
