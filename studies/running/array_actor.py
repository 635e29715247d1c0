"""The process of an array: a thin shell around `array_run`, as `trainable` is around `trial_run`.

It does what it is ordered and answers; which trials it has is decided by `array_loop`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import ray

from studies.running.array_run import ArrayRun
from studies.running.progress import Progress
from studies.running.trial_run import TrialSetting, begun_at, planned_trial


@dataclass(frozen=True)
class Whereabouts:
    """Where a process runs.

    Attributes:
        node: The node, as Ray names it.
        address: Its address.
        host: Its host name.
    """

    node: str
    address: str
    host: str

    @property
    def names(self) -> tuple[str, str]:
        """What the node is called where nodes are told apart: by Ray, and by its address, as `trainable` has it."""
        return self.node, f"ip:{self.address}"


@dataclass(frozen=True)
class Order:
    """What an array is to do before it trains on.

    Attributes:
        dropped: Trials that are not to go on.
        begun: Trials that join: what each is called, and its Ray config.
    """

    dropped: list[str] = field(default_factory=list)
    begun: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What became of an order.

    Attributes:
        results: Of each trial that is here or has just ended.
        spoilt: Whether the process is no good any more.
    """

    results: dict[str, dict[str, Any]]
    spoilt: bool


class ArrayActor:
    """Trains the trials of an array.

    Args:
        setting: How they are run.
    """

    def __init__(self, setting: TrialSetting) -> None:
        self._metric = setting.metric
        self._run = ArrayRun(setting)

    def where(self) -> Whereabouts:
        """Where this process runs."""
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Whereabouts(ray.get_runtime_context().get_node_id(), address, os.uname().nodename)

    def advance(self, order: Order) -> Answer:
        """Follow an order, and train for one or more epochs."""
        for trial_id in order.dropped:
            self._run.drop(trial_id)
        found: dict[str, Progress] = {}
        for trial_id, config in order.begun:
            progress = self._run.begin(trial_id, planned_trial(config), begun_at(config))
            if progress is not None:
                found[trial_id] = progress
        trained = self._run.advance()
        node = ray.get_runtime_context().get_node_id()
        results = {trial_id: progress.result(self._metric, node) for trial_id, progress in (found | trained).items()}
        return Answer(results, spoilt=not len(self._run) and any(progress.spoilt for progress in trained.values()))

    def leave(self) -> None:
        """Write checkpoints of all trials, for whoever goes on with them."""
        self._run.leave()
