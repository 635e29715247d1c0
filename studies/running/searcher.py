"""The adapter between a `TrialSource` and Ray Tune's searcher interface."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from ray.tune.search import Searcher

from search_spaces import Outcome
from studies.plan import PlannedTrial
from studies.running.driver_only import DriverOnly
from studies.running.sources import TrialSource
from studies.running.trial_run import TrialSetting, encode

NODES_LOST = 20  # times that a trial may lose its node


def lost_node(cause: str) -> bool:
    """Whether a process died with its node, and not by itself, by the words in which Ray tells its death.

    Of a death by itself the node tells. A node that took its leave, was preempted or missed its health checks has died; one that fell
    silent a moment ago Ray does not know to be dead yet, and calls its processes unavailable.
    """
    return "its node has died" in cause or "is unavailable" in cause


class SourceSearcher(DriverOnly, Searcher):
    """Hands a source's trials to Ray Tune, and Ray Tune's results to the source.

    A trial whose process died is handed out again, to go on from its checkpoint. Ray Tune can start a trial again by itself, but gives
    up at once where the process was one of an earlier trial that it wanted to use again.

    A trial that lost its node is handed out again too, and that is no failure of its own: a node that may be taken back at any time is
    lost many times in the life of a study. The bound on it is for a trial that takes its node down with it.

    Args:
        source: Where the trials come from.
        setting: What every trial of the stage shares.
        retries: How often a trial whose process died is handed out again.
        at_once: Tells how many trials may run or wait to run at present; by default any number may.
        trade_off: Further metrics that the source is told, behind the setting's own.
    """

    def __init__(
        self,
        source: TrialSource,
        setting: TrialSetting,
        retries: int,
        *,
        at_once: Callable[[], float] = lambda: math.inf,
        trade_off: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._trade_off = trade_off
        self._at_once = at_once
        self._source = source
        self._setting = setting
        self.retries = retries
        self._running: dict[str, PlannedTrial] = {}
        self._again: deque[PlannedTrial] = deque()
        self._deaths: Counter[str] = Counter()
        self._lost_nodes: Counter[str] = Counter()
        self._told: dict[str, tuple[bool, str]] = {}

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
        """Tell the source how the trial ended; of one whose process died (``error``) the callback tells more, by `died`."""
        if error:
            return
        planned = self._running.pop(trial_id, None)
        if planned is not None:
            self._source.tell(planned, self._outcome(result or {}))

    def _outcome(self, result: dict[str, Any]) -> Outcome:
        """A trial that is still called running was ended by the scheduler."""
        status = result.get("status", "failed")
        if status in ("failed", "diverged"):
            return Outcome(None)
        last = (result.get("rows") or [{"metrics": {}}])[-1]["metrics"]
        values = [result.get(self._setting.metric), *(last.get(name) for name in self._trade_off)]
        return Outcome.of(*values, stopped_after=result.get("epoch") if status == "running" else None)

    def died(self, trial_id: str, cause: str) -> tuple[bool, str]:
        """Take note that a trial's process died, in Ray's words; returns whether the trial is given up, and what to say of it.

        A death counts once, however often it is told.
        """
        if trial_id not in self._told:
            self._told[trial_id] = self._count(self._running.pop(trial_id), cause)
        return self._told[trial_id]

    def _count(self, planned: PlannedTrial, cause: str) -> tuple[bool, str]:
        if lost_node(cause):
            count, limit, what = self._lost_nodes, NODES_LOST, "its node was lost"
        else:
            count, limit, what = self._deaths, self.retries, "its process died"
        count[planned.key] += 1
        again = count[planned.key] <= limit
        if again:
            self._again.append(planned)
        else:
            self._source.tell(planned, Outcome(None))
        return not again, f"{what} in attempt {count[planned.key]} of {limit + 1}: {_gist(cause)}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a resumed study reads its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed study reads its ledger."""


def _gist(cause: str) -> str:
    """The sentence of Ray's that tells why, without the advice after it."""
    sentence = next((line for line in cause.splitlines() if line.startswith("The actor ") and "because" in line), cause)
    return " ".join(sentence.partition("Some common causes")[0].split())[:200] or "Ray does not tell why"
