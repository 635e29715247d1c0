"""What the driver notes of where its trials run, for ``status`` to show; no part of the ledger."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from studies.placement import Place, Placement, write_placement
from studies.running.array import ArrayTrial
from studies.running.trial_run import planned_trial
from studies.sections import ResourceSection


class PlacementCallback(tune.Callback):
    """Writes now and then where the running trials are.

    Args:
        directory: The study's.
        resources: What each trial holds.
    """

    def __init__(self, directory: Path, resources: ResourceSection) -> None:
        self._directory = directory
        self._resources = resources
        self._places: dict[str, Place] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins; its node is told with its first report."""
        key, alone = planned_trial(trial.config).key, not isinstance(trial, ArrayTrial)
        cpu, gpu = (self._resources.cpu, self._resources.gpu) if alone else (0.0, 0.0)
        self._places[trial.trial_id] = Place(key, "", time.time(), cpu, gpu)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Take the node from what Ray Tune adds to each report."""
        place = self._places.get(trial.trial_id)
        if place is not None and not place.node:
            self._places[trial.trial_id] = replace(place, node=f"{result.get('hostname', '')} {result.get('node_ip', '')}".strip())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended."""
        self._places.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died."""
        self._places.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Write where the trials are now, with what the loop says of its ``arrays`` and how ``full`` they are, where it has any."""
        there = _of_machines(ray.cluster_resources())  # type: ignore[no-untyped-call]
        free = _of_machines(ray.available_resources())  # type: ignore[no-untyped-call]
        used = {name: round(amount - free.get(name, 0.0), 4) for name, amount in there.items()}
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
        with suppress(OSError):  # a full disk: it is no part of the record
            write_placement(
                self._directory, Placement(list(self._places.values()), nodes, there, used, info.get("arrays", []), info.get("full"))
            )


def _of_machines(resources: dict[str, float]) -> dict[str, float]:
    return {name: float(resources[name]) for name in ("CPU", "GPU") if name in resources}
