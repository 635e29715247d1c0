"""An array as the driver sees it: its process, its trials, and how full the arrays of a stage have been.

What is done with it is decided by `array_loop`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from studies.placement import ArrayPlace
from studies.plan import PlannedTrial
from studies.running.array_actor import Order, Whereabouts
from studies.running.sources import ANY, Wanted
from studies.running.trial_run import planned_trial


@dataclass(eq=False)
class ArrayTrial:
    """A trial of an array, with what callbacks and schedulers read of one of Ray Tune's.

    Attributes:
        trial_id: What it is called; another time that it is tried it has another name.
        config: Its Ray config.
        array: The array that it is in.
        last_result: What was last heard of it.
        error_file: Where Ray's words lie, once its process has died.
    """

    trial_id: str
    config: dict[str, str]
    array: Array
    last_result: dict[str, Any] | None = None
    error_file: str | None = None

    @property
    def planned(self) -> PlannedTrial:
        """The trial itself."""
        return planned_trial(self.config)

    @property
    def epoch(self) -> int:
        """How many epochs it has reported."""
        return int((self.last_result or {}).get("epoch", 0))

    @property
    def temporary_state(self) -> SimpleNamespace:
        """Where Ray Tune has the process of a trial."""
        return SimpleNamespace(ray_actor=self.array.actor)


@dataclass(eq=False)
class Array:
    """A process that trains trials side by side.

    Attributes:
        number: Which one it is, from 1.
        actor: The process.
        answer: What it was asked, until it has answered; at first, where it is.
        where: Where it runs; None until it is up.
        trials: Those that it has.
        dropped: Those that it is to drop with its next order.
        since: When it was made, in seconds since 1970.
    """

    number: int
    actor: Any
    answer: Any
    where: Whereabouts | None = None
    trials: dict[str, ArrayTrial] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    since: float = field(default_factory=time.time)

    @property
    def idle(self) -> bool:
        """Whether it is up, and waits for an order."""
        return self.where is not None and self.answer is None

    @property
    def wanted(self) -> Wanted:
        """Which trials it could take beside its own."""
        planned = [trial.planned for trial in self.trials.values()]
        return Wanted(planned[0].dataset, {trial.replicate for trial in planned}) if planned else ANY

    def order(self, begun: list[ArrayTrial]) -> None:
        """Order it to train on, with some more trials."""
        self.answer = self.actor.advance.remote(Order(self.dropped, [(trial.trial_id, trial.config) for trial in begun]))
        self.dropped = []

    def place(self, places: int, cpu: float, gpu: float) -> ArrayPlace:
        """What ``status`` tells of it."""
        node = "" if self.where is None else f"{self.where.host} {self.where.address}"
        return ArrayPlace(self.number, node, self.since, len(self.trials), places, cpu, gpu)


class Suspects:
    """Trials that were in an array when it was lost, any of which may be why.

    One that was twice is tried by itself, until it is past where that was: a trial that takes its process down takes no neighbour with it
    so often that this one is given up too.
    """

    def __init__(self) -> None:
        self._struck: dict[str, tuple[int, int]] = {}

    def struck(self, key: str, epoch: int) -> None:
        """A trial's array was lost when it had reported so many epochs."""
        self._struck[key] = self._struck.get(key, (0, 0))[0] + 1, epoch

    def heard(self, key: str, epoch: int) -> None:
        """A trial has reported so many epochs."""
        if epoch > self._struck.get(key, (0, epoch))[1]:
            del self._struck[key]

    def alone(self, key: str) -> bool:
        """Whether a trial is to be tried by itself."""
        return self._struck.get(key, (0, 0))[0] > 1


class Fullness:
    """Adds up how full arrays were: in how much of the time of their places a trial was trained there.

    The tail, when there are no more trials to fill places with, does not count.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used = self._there = 0.0
        self._answered: dict[int, float] = {}
        self._ordered: dict[int, tuple[float, int, int]] = {}

    @property
    def share(self) -> float | None:
        """The share, in [0, 1]; None where there never was a trial left to wait for a place."""
        return self._used / self._there if self._there else None

    def ordered(self, array: int, trials: int, *, places: int, more: bool) -> None:
        """An array trains so many trials from now on, of the ``places`` that it is to fill; and there are ``more`` that wait, or none."""
        now = self._clock()
        if more:
            self._ordered[array] = now, trials, places
            self._there += (now - self._answered.get(array, now)) * places

    def answered(self, array: int) -> None:
        """An array waits for an order from now on."""
        now = self._answered[array] = self._clock()
        began, trials, places = self._ordered.pop(array, (now, 0, 0))
        self._used += (now - began) * trials
        self._there += (now - began) * places
