"""A trial as Ray Tune runs it: a thin shell around `trial_run`, in this process or in several that a `group` holds.

An actor outlives its trial, also one that raised, and is used again for the next one (a new actor costs seconds, a reused one hundredths).
What is done with the reports is left to `studies.running.callback`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from studies.running.memory import guard_memory
from studies.running.notes import leave_note
from studies.running.progress import Progress
from studies.running.trial_run import TrialRun, begun_at, note_name, planned_trial, trial_setting

if TYPE_CHECKING:
    from studies.running.group import Group


# How long a process waits before it declines a trial that is to run on another node, in seconds.
DECLINE = 1.0


class TrialActor(tune.Trainable):
    """Runs one trial after another; each call of `step` is one report of one or more epochs."""

    _group: Group | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process, or in the same group of processes."""
        self._take(new_config)
        return True

    def _take(self, config: dict[str, Any]) -> None:
        self._planned = planned_trial(config)
        self._setting = trial_setting(config)
        self._run: TrialRun | None = None
        self._order: dict[str, Any] = config
        self._phase = begun_at(config) or 0
        self._nodes = _names_of_this_node()
        self._elsewhere = not set(self._nodes).isdisjoint(json.loads(config.get("elsewhere", "[]")))

    def step(self) -> dict[str, Any]:
        """Train one or more epochs and report them, with the status once the trial has ended.

        Raises:
            ConnectionError: Where a process of a group has died: to Ray Tune as if this one had.
            ChildProcessError: Where the trial has failed in a way after which this process is no good for another one: Ray Tune ends it.
        """
        if self._elsewhere:
            time.sleep(DECLINE)
            return {"rows": [], "status": "declined", "reason": "", "done": True}
        if self._planned.cell.recipe.processes > 1:
            return self._result(self._advance_group())
        if self._run is None:
            if self._setting.memory_gib is not None:
                guard_memory(self._setting.memory_gib, note_name(self._planned, self._setting))
            self._run = TrialRun(self._planned, self._setting, phase=self._phase)
        progress = self._run.advance()
        if progress.spoilt and progress.cause is not None:
            leave_note(note_name(self._planned, self._setting), progress.cause, progress.reason)
            raise ChildProcessError(progress.reason)
        return self._result(progress)

    def _advance_group(self) -> Progress:
        if self._group is None:
            from studies.running.group import Group  # imports Ray Train: not for trials of one process

            setting = self._setting
            self._group = Group(self._planned.cell.recipe.processes, cpu=setting.cpu, gpu=setting.gpu, scratch=setting.scratch)
        progress = self._group.advance(self._order)
        self._order = {}
        if progress.status == "failed":  # one process may have raised, while others wait for it
            self.cleanup()
        return progress

    def cleanup(self) -> None:
        """Leave a trial that has not ended where it can be gone on with, and give the group's resources back."""
        if self._run is not None:
            self._run.leave()
        if self._group is not None:
            self._group.close()
            self._group = None

    def _result(self, progress: Progress) -> dict[str, Any]:
        return progress.result(self._setting.metric, self._nodes[0] if self._nodes else "")


def _names_of_this_node() -> tuple[str, ...]:
    """What this node is called: by Ray, and by its address, which is all that is known of where a process died."""
    if not ray.is_initialized():
        return ()
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return ray.get_runtime_context().get_node_id(), f"ip:{address}"
