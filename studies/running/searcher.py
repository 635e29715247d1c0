"""The adapter between a `TrialSource` and Ray Tune's searcher interface."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from ray.tune.search import Searcher

from studies.plan import PlannedTrial
from studies.running.driver_only import DriverOnly
from studies.running.sources import TrialSource
from studies.running.trial_run import TrialSetting, encode


class SourceSearcher(DriverOnly, Searcher):
    """Hands a source's trials to Ray Tune, and Ray Tune's results to the source.

    A trial whose process died is handed out again, to go on from its checkpoint. Ray Tune can start a trial again by itself, but gives
    up at once where the process was one of an earlier trial that it wanted to use again.

    Args:
        source: Where the trials come from.
        setting: What every trial of the stage shares.
        retries: How often a trial whose process died is handed out again.
        at_once: Tells how many trials may run or wait to run at present; by default any number may.
    """

    def __init__(self, source: TrialSource, setting: TrialSetting, retries: int, at_once: Callable[[], float] = lambda: math.inf) -> None:
        super().__init__()
        self._at_once = at_once
        self._source = source
        self._setting = setting
        self.retries = retries
        self._running: dict[str, PlannedTrial] = {}
        self._again: deque[PlannedTrial] = deque()
        self._deaths: Counter[str] = Counter()

    def deaths(self, planned: PlannedTrial) -> int:
        """How often the process of a trial has died."""
        return self._deaths[planned.key]

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Nothing to take over: the source knows its metric."""
        return True

    def suggest(self, trial_id: str) -> dict[str, str] | None:
        """The next trial as a Ray config; FINISHED (a string, whatever Ray's annotation says) when there will be no more."""
        if self._running and len(self._running) >= self._at_once():
            return None
        planned = self._again.popleft() if self._again else self._source.next()
        if planned is None:  # what runs may have to be started again
            return cast("None", Searcher.FINISHED) if self._source.exhausted and not self._running else None
        self._running[trial_id] = planned
        return encode(planned, self._setting)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the source how the trial ended; ``error`` says that its process died."""
        planned = self._running.pop(trial_id, None)
        if planned is None:
            return
        self._deaths[planned.key] += error
        if error and self.deaths(planned) <= self.retries:
            self._again.append(planned)
            return
        bad = error or result is None or result.get("status") in ("failed", "diverged")
        self._source.tell(planned, None if bad or result is None else result.get(self._setting.metric))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a resumed study reads its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed study reads its ledger."""
