"""Several processes that train trials together, one trial after the other, as one run of Ray Train.

Ray Train starts them, joins them to a process group of torch's and notices when one dies; how a trial goes is left to `trial_run`. A
group outlives its trials, since starting one takes seconds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

import ray
from ray import train
from ray.exceptions import RayActorError
from ray.train.torch import TorchTrainer, get_device
from ray.util.placement_group import get_current_placement_group

from studies.running.memory import guard_memory
from studies.running.post import Post
from studies.running.progress import Progress
from studies.running.trial_run import TrialRun, note_name, planned_trial, trial_setting

# How long an answer is waited for before a look at whether the processes live, and how long an end in order may take, in seconds.
PATIENCE, END = 1.0, 60.0


class Group:
    """Processes that are reserved, started and kept until `close`.

    Args:
        processes: How many.
        cpu: Processors for each.
        gpu: GPUs for each.
        scratch: Where Ray Train may write for as long as the group lasts, or None for this machine's temporary folder.
    """

    def __init__(self, processes: int, *, cpu: float, gpu: float, scratch: str | None) -> None:
        # By default Ray Train looks every two seconds at whether all are well.
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        if scratch is not None:
            os.makedirs(scratch, exist_ok=True)
        self._folder = tempfile.mkdtemp(prefix="margin-train-", dir=scratch)
        self._post: Any = ray.remote(num_cpus=0)(Post).options(lifetime="detached").remote(processes)
        here = ray.get_runtime_context()
        owner = here.current_actor if here.get_actor_id() else None
        trainer = TorchTrainer(
            _work,
            train_loop_config={"post": self._post, "owner": owner},
            scaling_config=train.ScalingConfig(
                num_workers=processes, use_gpu=gpu > 0.0, resources_per_worker={"CPU": cpu, **({"GPU": gpu} if gpu > 0.0 else {})}
            ),
            run_config=train.RunConfig(name="group", storage_path=self._folder),
        )
        self._asked = self._begun = False
        self._ended: Future[None] = Future()
        # A thread that does not keep its process: where that is to end, Ray ends the rest.
        threading.Thread(target=self._fit, args=(trainer,), daemon=True).start()

    def _fit(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
            self._ended.set_result(None)
        except BaseException as error:
            self._ended.set_exception(error)

    def advance(self, order: dict[str, Any]) -> Progress:
        """Begin the trial of an order, a Ray config, or go on with it, where that is empty; what the first process reports.

        A report without epochs says that the group waits for its processes, for which there may be no room yet.

        Raises:
            ConnectionError: Where a process has died. The group is then over, and its resources are free.
        """
        if not self._asked:
            ray.get(self._post.order.remote(order))
            self._asked = True
        while True:
            over = self._ended.done()
            progress: Progress | None = ray.get(self._post.next_answer.remote(PATIENCE))
            if progress is not None:
                self._asked = False
                return progress
            if not over and not self._begun:
                self._begun = ray.get(self._post.begun.remote())
                return Progress([], "running")
            if over:
                reason = str(self._ended.exception() or "it has ended").strip().splitlines()[-1]
                raise ConnectionError(f"a process of the trial's group is gone: {reason}")

    def close(self) -> None:
        """End the processes, and wait until what was reserved for them is free."""
        self._post.order.remote(None)
        wait([self._ended], timeout=END)
        with suppress(RayActorError):
            ray.get(self._post.free.remote())
            ray.kill(self._post)
        shutil.rmtree(self._folder, ignore_errors=True)


def _work(config: dict[str, Any]) -> None:
    """What each process does: the trials that it is ordered to."""
    post, rank = config["post"], train.get_context().get_world_rank()
    run: TrialRun | None = None
    if rank == 0 and config["owner"] is not None:
        post.watch.remote(config["owner"], get_current_placement_group())
    while (order := ray.get(post.next_order.remote(rank))) is not None:
        if order:
            setting = trial_setting(order)
            if setting.memory_gib is not None:
                guard_memory(setting.memory_gib, note_name(planned_trial(order), setting))
            run = TrialRun(planned_trial(order), setting, get_device() if setting.device == "cuda" else None)
        assert run is not None
        progress = run.advance()
        if rank == 0 or progress.status == "failed":
            ray.get(post.answer.remote(progress))
        if progress.status == "failed":
            raise RuntimeError(progress.reason)  # the others may wait for this process: Ray Train ends them
    if rank == 0 and run is not None:
        run.leave()
