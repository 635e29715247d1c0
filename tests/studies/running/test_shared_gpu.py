"""Small models share a GPU: the node says it has one, and the trials, which hold a quarter of it each, compute on processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from studies.plan import screen_trials
from studies.running.trainable import TrialActor
from studies.running.trial_run import TrialSetting, encode
from tests.ray_cluster import ray_cluster
from tests.studies import builders

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Together(tune.Stopper):
    """Ends a run when four trials run at once, and remembers how much of the GPU is then left."""

    def __init__(self) -> None:
        self.most = 0
        self.left: float | None = None

    def note(self, running: int) -> None:
        self.most = max(self.most, running)
        if running >= 4 and self.left is None:
            self.left = ray.available_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.left is not None


class Counting(tune.Callback):
    """Tells how many trials run."""

    def __init__(self, together: Together) -> None:
        self._together = together

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._together.note(sum(trial.status == "RUNNING" for trial in trials))


def test_four_trials_run_at_once_on_one_gpu_of_which_each_holds_a_quarter(tmp_path: Path) -> None:
    setting = TrialSetting(0, str(tmp_path), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=True, keep_final=False)
    configs = [encode(trial, setting) for trial in screen_trials(builders.study(recipe={"epochs": 100_000}))[:6]]
    together = Together()
    with ray_cluster() as cluster:
        cluster.add_node(num_cpus=8, num_gpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            tune.Tuner(
                tune.with_resources(TrialActor, {"cpu": 0.5, "gpu": 0.25}),
                param_space=tune.grid_search(configs),
                run_config=tune.RunConfig(storage_path=str(tmp_path / "ray"), stop=together, callbacks=[Counting(together)], verbose=0),
            ).fit()
        finally:
            ray.shutdown()
    assert (together.most, together.left) == (4, 0.0)
