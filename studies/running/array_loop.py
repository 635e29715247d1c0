"""The loop over a stage whose trials are fused: arrays of trials, each in a process of its own, in the place of Ray Tune's `StageLoop`.

Searcher, scheduler and callbacks are those of trials that run alone. A trial that ends, is stopped or fails frees its place, which the next
trial has before the array trains on. What a process does is left to `array_actor`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune.schedulers import TrialScheduler

from studies.running.array import Array, ArrayTrial, Fullness, Suspects
from studies.running.array_actor import Answer, ArrayActor
from studies.running.callback import SECONDS, Guarded, StopRequest
from studies.running.causes import cause_of_death, gist
from studies.running.searcher import SourceSearcher
from studies.running.trial_run import TrialSetting

# Processes in a row that may die before they are up.
_STILLBORN = 5


class ArrayLoop:
    """Runs the trials that a searcher hands out until there are no more.

    Args:
        directory: Where Ray's words about processes that died are kept.
        setting: What the trials share.
        places: How many trials an array holds at most.
        room: Tells for how many arrays there is room now.
        grows: Whether there may be more room when it is asked for.
        searcher: Hands out the trials.
        scheduler: Says which trial ends early.
        callbacks: Are told the events.
        stop: Ends the stage early.
    """

    def __init__(
        self,
        directory: Path,
        setting: TrialSetting,
        places: int,
        room: Callable[[], int],
        searcher: SourceSearcher,
        scheduler: TrialScheduler,
        callbacks: Guarded,
        stop: StopRequest,
        *,
        grows: bool,
    ) -> None:
        self._directory = directory
        self._setting = setting
        self._places = places
        self._ask_room = room
        self._grows = grows
        self._searcher = searcher
        self._scheduler = scheduler
        self._callbacks = callbacks
        self._stop = stop
        self._arrays: list[Array] = []
        self._fullness = Fullness()
        self._suspects = Suspects()
        self._room, self._looked = room(), time.monotonic()
        self._names, self._numbers = count(1), count(1)
        self._stillborn = 0

    @property
    def full(self) -> float | None:
        """In how much of the time of the arrays' places a trial was trained there, up to the tail; None where all was tail."""
        return self._fullness.share

    def run(self) -> None:
        """Run the stage, and free what it held."""
        try:
            while not self._over:
                if not self._stop.stop_all():
                    self._make_arrays()
                    self._order_idle()
                self._tell_step()  # while arrays train
                self._hear()
            self._leave()
        finally:
            for array in self._arrays:
                ray.kill(array.actor)

    @property
    def _trials(self) -> list[ArrayTrial]:
        return [trial for array in self._arrays for trial in array.trials.values()]

    @property
    def _over(self) -> bool:
        """Whether all is done, or shall end and each array has told what it last did."""
        if self._stop.stop_all():
            return not any(array.trials and array.answer is not None for array in self._arrays)
        return self._searcher.finished

    # Arrays

    def _make_arrays(self) -> None:
        """Start as many arrays as there is room and work for."""
        left = self._searcher.left
        if self._grows and time.monotonic() - self._looked >= SECONDS:
            self._room, self._looked = self._ask_room(), time.monotonic()
        most = max(self._room, math.ceil((len(self._trials) + left) / self._places)) if self._grows else self._room
        busy = sum(bool(array.trials) for array in self._arrays)
        while len(self._arrays) < min(most, busy + left):
            setting = self._setting
            made: Any = ray.remote(ArrayActor).options(num_cpus=setting.cpu, num_gpus=setting.gpu)
            actor: Any = made.remote(setting)
            self._arrays.append(Array(next(self._numbers), actor, actor.where.remote()))

    def _order_idle(self) -> None:
        """Fill the arrays that wait, and let them train on; end those that there is nothing left for."""
        share = self._share()
        for array in list(self._arrays):
            if array.idle:
                self._order(array, share)
            if not array.trials and not self._searcher.left and (array.idle or array.where is None):
                self._end(array)

    def _share(self) -> int:
        """How many trials each array has, so that none is idle while others are full."""
        trials = len(self._trials) + self._searcher.left
        return min(self._places, math.ceil(trials / max(1, min(self._room, len(self._arrays)))))

    def _order(self, array: Array, share: int) -> None:
        begun: list[ArrayTrial] = []
        while len(array.trials) < share and not self._apart(array) and (trial := self._next(array)) is not None:
            array.trials[trial.trial_id] = trial
            begun.append(trial)
        if not array.trials:
            return
        array.order(begun)
        self._fullness.ordered(array.number, len(array.trials), places=max(share, len(array.trials)), more=self._searcher.left > 0)
        for trial in begun:
            self._tell("on_trial_start", trial)

    def _next(self, array: Array) -> ArrayTrial | None:
        """The next trial for an array, or None where there is none for it now."""
        assert array.where is not None
        trial_id = f"{next(self._names):05d}"
        config = self._searcher.suggest(trial_id, array.wanted)
        if not isinstance(config, dict):
            return None
        trial = ArrayTrial(trial_id, config, array)
        barred = not set(json.loads(config.get("elsewhere", "[]"))).isdisjoint(array.where.names)
        if barred or (array.trials and self._suspects.alone(trial.planned.key)):
            self._searcher.on_trial_complete(trial_id, {"status": "declined"})
            return None
        return trial

    def _apart(self, array: Array) -> bool:
        """Whether an array has a trial that is tried by itself."""
        return any(self._suspects.alone(trial.planned.key) for trial in array.trials.values())

    def _end(self, array: Array) -> None:
        self._arrays.remove(array)
        ray.kill(array.actor)

    # What is heard of them

    def _hear(self) -> None:
        """Wait until an array has answered, and take what it says; not for longer than a second, for there is more to be seen to."""
        waiting = {array.answer: array for array in self._arrays if array.answer is not None}
        if not waiting:
            time.sleep(SECONDS)  # the only trial that is left is not to be tried on the nodes that are there
            return
        for answer in ray.wait(list(waiting), timeout=SECONDS)[0]:
            array, waiting[answer].answer = waiting[answer], None
            try:
                told = ray.get(answer)
            except RayError as error:
                self._died(array, error)
                continue
            if isinstance(told, Answer):
                self._take(array, told)
            else:
                array.where, self._stillborn = told, 0

    def _take(self, array: Array, told: Answer) -> None:
        assert array.where is not None
        self._fullness.answered(array.number)
        if told.spoilt:
            self._suspect(array)
        for trial_id, result in told.results.items():
            result |= {"hostname": array.where.host, "node_ip": array.where.address}
            self._take_result(array, array.trials[trial_id], result)
        if told.spoilt:
            self._end(array)

    def _take_result(self, array: Array, trial: ArrayTrial, result: dict[str, Any]) -> None:
        self._tell("on_trial_result", trial, result=result)
        trial.last_result = result
        if not result["done"]:
            self._suspects.heard(trial.planned.key, trial.epoch)
            if self._scheduler.on_trial_result(None, trial, result) != TrialScheduler.STOP:  # type: ignore[arg-type]  # a stub of Ray Tune's
                return
            array.dropped.append(trial.trial_id)
        del array.trials[trial.trial_id]
        self._tell("on_trial_complete", trial)
        self._searcher.on_trial_complete(trial.trial_id, result)

    def _died(self, array: Array, error: RayError) -> None:
        """The process of an array is gone, and its trials are to go on from their checkpoints."""
        self._arrays.remove(array)
        ray.kill(array.actor)  # where it was the call that raised, the process lives
        if array.where is None:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise ChildProcessError(f"{_STILLBORN} processes for arrays died before they were up, the last with: {gist(str(error))}")
        if cause_of_death(str(error)) != "node":
            self._suspect(array)
        words = self._directory / f"array-{array.number}.txt"
        with suppress(OSError):  # a full disk, which the ledger tells
            words.parent.mkdir(parents=True, exist_ok=True)
            words.write_text(str(error))
        for trial in array.trials.values():
            trial.error_file = str(words) if words.exists() else None
            self._tell("on_trial_error", trial)
            self._searcher.on_trial_complete(trial.trial_id, error=True)

    def _suspect(self, array: Array) -> None:
        for trial in array.trials.values():
            self._suspects.struck(trial.planned.key, trial.epoch)

    def _leave(self) -> None:
        """Let trials that have not ended leave their checkpoints."""
        left = [array.actor.leave.remote() for array in self._arrays if array.trials]
        for done in left:
            with suppress(RayError):
                ray.get(done)
        for trial in self._trials:
            self._tell("on_trial_complete", trial)

    def _tell(self, event: str, trial: ArrayTrial, **info: Any) -> None:
        getattr(self._callbacks, event)(iteration=0, trials=[], trial=trial, **info)

    def _tell_step(self) -> None:
        setting = self._setting
        arrays = [array.place(self._places, setting.cpu, setting.gpu) for array in self._arrays]
        self._callbacks.on_step_end(iteration=0, trials=self._trials, arrays=arrays, full=self.full)
