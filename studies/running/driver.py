"""The driver: takes a study through its stages on Ray Tune, resuming from whatever its ledger already holds."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studies.plan import Stage, confirm_trials, screen_trials
from studies.running.callback import LedgerCallback, StopRequest, Tolerance, Watcher
from studies.running.searcher import SourceSearcher
from studies.running.sources import ListedTrials, TpeTrials, TrialSource
from studies.running.trainable import TrialActor, TrialSetting
from studies.spec import StudySpec
from studies.tracking.ledger import ENDED, Ledger


class StudyStopped(RuntimeError):
    """A study ended early because too many of its trials failed; the message says why."""


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray, started here or joined at ``address``, for as long as the block lasts."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "86400"
    import ray

    here = address in (None, "local")
    options: dict[str, Any] = {"include_dashboard": False} if here else {}
    ray.init(address="local" if here else address, log_to_driver=False, logging_level=logging.ERROR, **options)
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what goes wrong is in the ledger, with its reason
    try:
        yield
    finally:
        ray.shutdown()


def run_stages(spec: StudySpec, ledger: Ledger, directory: Path, *, data_root: Path | None, watcher: Watcher) -> bool:
    """Run every stage of ``spec`` that the ledger does not hold whole.

    Needs a Ray session. Returns whether the study is complete; False after Ctrl-C, and a later call goes on from there.

    Raises:
        StudyStopped: Too many trials failed.
    """
    ledger.interrupt_running()
    stages: list[Stage] = []
    if spec.screen is not None:
        stages.append("screen")
    if spec.confirm is not None:
        stages.append("confirm")
    return all(_run_stage(spec, stage, ledger, directory, data_root, watcher) for stage in stages)


def trial_source(spec: StudySpec, stage: Stage, ledger: Ledger) -> TrialSource:
    """The trials of a stage that the ledger does not hold ended."""
    records = ledger.trials(stage)
    ended = {record.key for record in records if record.status in ENDED}
    if stage == "confirm":
        results = ledger.screen_results(spec.metric) if spec.screen is not None else []
        return ListedTrials(confirm_trials(spec, results), ended)
    if spec.screen is None or spec.screen.searcher != "tpe":
        return ListedTrials(screen_trials(spec), ended)
    table = ledger.final_metrics("screen")
    values = dict.fromkeys(ended, None) | (
        {} if spec.metric not in table else {row["key"]: row[spec.metric] for _, row in table.dropna(subset=[spec.metric]).iterrows()}
    )
    history: dict[str, dict[str, Any]] = {}
    for record in records:
        history.setdefault(record.dataset, {}).setdefault(record.cell_id, record.config)
    return TpeTrials(spec, {dataset: list(configs.values()) for dataset, configs in history.items()}, values)


def _run_stage(spec: StudySpec, stage: Stage, ledger: Ledger, directory: Path, data_root: Path | None, watcher: Watcher) -> bool:
    source = trial_source(spec, stage, ledger)
    ended = sum(record.status in ENDED for record in ledger.trials(stage))
    watcher.stage_started(stage, source.total, ended)
    if source.exhausted:
        return True
    stop = StopRequest(Tolerance(spec.tolerance, source.total))
    with _stopping_on_interrupt(stop):
        _fit(spec, stage, source, ledger, directory, data_root, watcher, stop)
    if stop.tolerance.exceeded:
        raise StudyStopped(stop.tolerance.exceeded)
    return not stop.interrupted


def _fit(
    spec: StudySpec,
    stage: Stage,
    source: TrialSource,
    ledger: Ledger,
    directory: Path,
    data_root: Path | None,
    watcher: Watcher,
    stop: StopRequest,
) -> None:
    from ray import tune

    asha = spec.screen.asha if spec.screen and stage == "screen" else None
    checkpoints = directory / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    setting = TrialSetting(
        study_seed=spec.seed,
        checkpoints=str(checkpoints.resolve()),
        data_root=str(data_root.resolve()) if data_root else None,
        threads=max(1, int(spec.resources.cpu)),
        device="cuda" if spec.resources.gpu > 0 else "cpu",
        metric=spec.metric,
        every_epoch=asha is not None,
        keep_final=stage == "confirm" or spec.confirm is None,
    )
    scheduler = None
    if asha is not None:
        scheduler = tune.schedulers.ASHAScheduler(
            time_attr="epoch",
            metric=spec.metric,
            mode="max" if spec.maximize else "min",
            max_t=spec.recipe.epochs,
            grace_period=asha.grace_epochs,
            reduction_factor=asha.reduction,
        )
    tuner = tune.Tuner(
        tune.with_resources(TrialActor, {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}),
        tune_config=tune.TuneConfig(
            search_alg=SourceSearcher(source, setting),
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=stage,
            storage_path=str((directory / "ray").resolve()),
            callbacks=[LedgerCallback(ledger, watcher, stop)],
            stop=stop,
            failure_config=tune.FailureConfig(max_failures=spec.tolerance.retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )
    tuner.fit()


@contextmanager
def _stopping_on_interrupt(stop: StopRequest) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the stage in order; a second one is Python's own KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if stop.interrupted:
            raise KeyboardInterrupt
        stop.interrupted = True

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
