"""The adapter between a `TrialSource` and Ray Tune's searcher interface."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from ray.tune.search import Searcher

from search_spaces import Outcome
from studies.failures import Cause, Policy
from studies.plan import PlannedTrial
from studies.running.attempts import Attempts
from studies.running.causes import cause_of_death, gist
from studies.running.notes import take_note
from studies.running.sources import ANY, TrialSource, Wanted
from studies.running.trial_run import TrialSetting, encode, note_name


class SourceSearcher(Searcher):
    """Hands a source's trials to Ray Tune, and Ray Tune's results to the source.

    A trial that failed is handed out again, to go on from its checkpoint, as often as the policy for the cause says. Ray Tune can start a
    trial again by itself, but gives up at once where the process was one of an earlier trial that it wanted to use again.

    Args:
        source: Where the trials come from.
        setting: What every trial of the stage shares.
        policies: What is done about failures of each cause.
        at_once: Tells how many trials may run or wait to run at present; by default any number may.
        phase_of: Tells at which epoch of its replicate's stream of batches a trial began, by its key, where it had begun before.
        room_beside: Tells whether a trial finds room on a node that is none of these, by their names.
        trade_off: Further metrics that the source is told, behind the setting's own.
    """

    def __init__(
        self,
        source: TrialSource,
        setting: TrialSetting,
        policies: Mapping[Cause, Policy],
        *,
        at_once: Callable[[], float] = lambda: math.inf,
        phase_of: Callable[[str], int | None] = lambda key: None,
        room_beside: Callable[[Collection[str]], bool] = lambda nodes: False,
        trade_off: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._trade_off = trade_off
        self._at_once = at_once
        self._phase_of = phase_of
        self._room_beside = room_beside
        self._source = source
        self._setting = setting
        self._attempts = Attempts(policies)
        self._running: dict[str, PlannedTrial] = {}
        self._handed_out = 0
        self._again: deque[PlannedTrial] = deque()
        self._declined: deque[PlannedTrial] = deque()
        self._blamed: dict[str, tuple[Cause, str]] = {}
        self._told: dict[str, tuple[bool, str]] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Nothing to take over: the source knows its metric."""
        return True

    @property
    def left(self) -> int:
        """How many trials there may be still to hand out."""
        fresh = 0 if self._source.exhausted else self._source.total - self._source.done - self._handed_out
        return fresh + len(self._again) + len(self._declined)

    @property
    def finished(self) -> bool:
        """Whether there will be no more trials: what runs may have to be started again."""
        return self._source.exhausted and not (self._running or self._again or self._declined)

    def suggest(self, trial_id: str, wanted: Wanted = ANY) -> dict[str, str] | None:
        """The next trial as a Ray config; FINISHED (a string, whatever Ray's annotation says) when there will be no more.

        Args:
            trial_id: What the trial is called until it ends.
            wanted: Which trials are asked for.
        """
        if self._running and len(self._running) >= self._at_once():
            return None
        planned = _first(self._again, wanted) or self._fresh(wanted) or _first(self._declined, wanted)
        if planned is None:
            return cast("None", Searcher.FINISHED) if self.finished else None
        self._running[trial_id] = planned
        left = self._attempts.left(planned.key)
        return encode(planned, self._setting, left if left and self._room_beside(left) else (), self._phase_of(planned.key))

    def _fresh(self, wanted: Wanted) -> PlannedTrial | None:
        planned = self._source.next(wanted)
        self._handed_out += planned is not None
        return planned

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the source how the trial ended; of one whose process died (``error``) the callback tells more, by `died`."""
        if error:
            return
        if result is not None and result.get("status") in ("failed", "diverged"):
            self.failed(trial_id, result)
            return
        planned = self._running.pop(trial_id, None)
        if planned is not None and result is not None and result.get("status") == "declined":
            self._declined.append(planned)
            return
        if planned is not None:
            self._source.tell(planned, self._outcome(result))

    def _outcome(self, result: Mapping[str, Any] | None) -> Outcome:
        """A trial that is still called running was ended by the scheduler, one that pauses is at the end of its segment."""
        if result is None:
            return Outcome(None)
        last = (result.get("rows") or [{"metrics": {}}])[-1]["metrics"]
        values = [result.get(self._setting.metric), *(last.get(name) for name in self._trade_off)]
        return Outcome.of(*values, stopped_after=result.get("epoch") if result.get("status", "failed") in ("running", "paused") else None)

    def blame(self, trial_id: str, cause: Cause, told: str) -> None:
        """Take note of why a trial's process is about to be killed."""
        self._blamed[trial_id] = cause, told

    def died(self, trial_id: str, words: str, node: str = "") -> tuple[bool, str]:
        """Take note that a trial's process died, in Ray's words; returns whether the trial is given up, and what to say of it.

        What the study itself or the process has said of it before counts more than Ray's words. A death counts once, however often it
        is told.
        """
        if trial_id not in self._told:
            planned = self._running.pop(trial_id)
            note = self._blamed.pop(trial_id, None) or take_note(note_name(planned, self._setting))
            cause, told = note or (cause_of_death(words), gist(words))
            self._told[trial_id] = self._count(planned, cause, told, node)
        return self._told[trial_id]

    def failed(self, trial_id: str, result: Mapping[str, Any]) -> tuple[bool, str]:
        """Take note that a trial failed or diverged by its own report; returns what `died` returns."""
        if trial_id not in self._told:
            planned = self._running.pop(trial_id)
            self._told[trial_id] = self._count(planned, result["cause"], result["reason"], result.get("node", ""))
        return self._told[trial_id]

    def _count(self, planned: PlannedTrial, cause: Cause, told: str, node: str) -> tuple[bool, str]:
        again, reason = self._attempts.again(planned.key, cause, told, node)
        if again:
            self._again.append(planned)
        else:
            self._source.tell(planned, Outcome(None))
        return not again, reason

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a resumed study reads its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed study reads its ledger."""


def _first(waiting: deque[PlannedTrial], wanted: Wanted) -> PlannedTrial | None:
    """Take the first trial that is wanted out of those that wait."""
    found = next((trial for trial in waiting if wanted.takes(trial)), None)
    if found is not None:
        waiting.remove(found)
    return found
