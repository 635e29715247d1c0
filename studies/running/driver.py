"""The driver: takes a study through its stages on Ray Tune, resuming from whatever its ledger already holds."""

from __future__ import annotations

import gc
import logging
import math
import os
import shutil
import signal
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search_spaces import Outcome
from studies.answer import stage_arms
from studies.branching import take_over
from studies.early_stopping import stopping_rule
from studies.extension import processor
from studies.failures import Cause, Policy, PolicySection
from studies.plan import STAGES, Stage, arm_trials, screen_trials
from studies.preflight import CallError
from studies.runner import Runner, recorded_runner
from studies.running.array_loop import ArrayLoop
from studies.running.bounded import BoundedTrials
from studies.running.callback import Guarded, LedgerCallback, StopRequest, Tolerance, Watcher
from studies.running.learning import LearningTrials
from studies.running.limits import LimitsCallback
from studies.running.loop import StageLoop
from studies.running.population import PopulationTrials, Settlement, end_former_members, reached
from studies.running.racing import RacingTrials
from studies.running.scheduler import EarlyStopping, InTurn
from studies.running.searcher import SourceSearcher
from studies.running.sources import ListedTrials, TrialSource
from studies.running.spending import SpendingCallback
from studies.running.trial_copies import TrialCopies
from studies.running.trial_run import TrialSetting
from studies.running.whereabouts import PlacementCallback
from studies.screen_section import LEARNING
from studies.spec import StudySpec
from studies.spending import Account
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED
from studies.warm_start import recorded_warm_start
from studies.workspace import StudyFiles

# Bytes of an actor whose trial runs in processes of Ray Train's.
ACTOR_MEMORY = 400 * 1024**2


class StudyStopped(RuntimeError):
    """A study ended early because too many of its trials failed; the message says why."""


class BudgetReachedError(Exception):
    """A study ended in order because its budget is used up; the message says which bound."""


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray, started here or joined at ``address``, for as long as the block lasts.

    Raises:
        CallError: Where there is no cluster to join, it does not let this process in, or Ray does not start here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    here = address in (None, "local")
    options: dict[str, Any] = {"include_dashboard": False} if here else {}
    try:
        ray.init(address="local" if here else address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except ConnectionError as error:
        token = "InvalidAuthToken" in f"{error} {error.__cause__}"
        hint = "it asks for a token: set RAY_AUTH_MODE=token, with the cluster's token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
        raise CallError(f"cannot join the Ray cluster at {address!r}: {hint if token else str(error).partition('. ')[0]}") from error
    except Exception as error:
        if "timed out during startup" not in str(error):  # Ray has no class of its own for it
            raise
        raise CallError("Ray did not come up in the time that it gives itself; the machine is too busy, or short of memory") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what goes wrong is in the ledger, with its reason
    try:
        yield
    finally:
        with _no_collection():
            ray.shutdown()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect all garbage, and let no thread collect any in the block.

    A thread that frees an object reference while Ray shuts down makes Ray end the whole process, and any thread can be the one whose
    allocation starts a collection.
    """

    class Mark:
        own: Mark

    gc.disable()
    mark = Mark()
    mark.own = mark
    dead = weakref.ref(mark)
    del mark
    while dead() is not None:  # a collection does nothing while another thread is at one
        gc.collect()
    try:
        yield
    finally:
        gc.enable()


def run_stages(
    spec: StudySpec,
    ledger: Ledger,
    directory: Path,
    *,
    address: str | None,
    data_root: Path | None,
    storage: str | None,
    watcher: Watcher,
) -> bool:
    """Run every stage of ``spec`` that the ledger does not hold whole.

    Ray is started, or joined at ``address``, only if there is a trial to run. Returns whether the study is complete; False after
    Ctrl-C, and a later call goes on from there.

    Raises:
        StudyStopped: Too many trials failed.
        BudgetReachedError: The study's budget is used up, and trials are missing.
    """
    ledger.interrupt_running()
    stages = [stage for stage in STAGES if getattr(spec, stage) is not None]
    running = False
    with ExitStack() as session:
        account = session.enter_context(Account(ledger, spec))
        run = _Run(spec, ledger, directory, address, data_root, storage, watcher, account, recorded_runner(spec, ledger))
        for stage in stages:
            take_over(spec, stage, ledger, StudyFiles(directory))
            source = _bounded(run, stage)
            watcher.stage_started(stage, source.total, source.done)
            if source.exhausted and not source.used_up:
                continue
            if reason := source.used_up or account.used_up():
                raise BudgetReachedError(reason)
            if not running:
                session.enter_context(ray_session(address))
                running = True
            if not _run_stage(run, stage, source):
                return False
    return True


@dataclass(frozen=True)
class _Run:
    """What the stages of one run of a study share."""

    spec: StudySpec
    ledger: Ledger
    directory: Path
    address: str | None
    data_root: Path | None
    storage: str | None
    watcher: Watcher
    account: Account
    runner: Runner

    @property
    def here(self) -> bool:
        """Whether Ray was started on this machine, for this run."""
        return self.address in (None, "local")


def _bounded(run: _Run, stage: Stage) -> BoundedTrials:
    """The trials of a stage that are missing, as far as the study's budget allows."""
    begun = [trial for trial in run.ledger.trials() if not trial.copied_from]
    unfinished = [trial.key for trial in begun if trial.stage == stage and trial.status not in ENDED]
    settlement = Settlement(run.ledger, run.directory / "checkpoints", TrialCopies(run.storage, run.spec.name), run.watcher)
    source = trial_source(run.spec, stage, run.ledger, settlement)
    return BoundedTrials(source, [trial.key for trial in begun], unfinished, run.spec.budget.trials)


def trial_source(spec: StudySpec, stage: Stage, ledger: Ledger, settlement: Settlement | None = None) -> TrialSource:
    """The trials of a stage that the ledger does not hold ended; a ``settlement`` is made after the generations of populations."""
    records = ledger.trials(stage)
    ended = {record.key for record in records if record.status in ENDED}
    if stage != "screen":
        return ListedTrials(arm_trials(spec, stage, stage_arms(spec, stage, ledger)), ended)
    if spec.screen is not None and spec.screen.pbt is not None:
        return PopulationTrials(spec, reached(spec, ledger, records), ended, settlement)
    if spec.screen is None or (spec.screen.searcher not in LEARNING and spec.screen.racing is None):
        return ListedTrials(screen_trials(spec), ended)
    outcomes = _outcomes(spec, ledger)
    if spec.screen.racing is not None:
        return RacingTrials(spec, outcomes)
    earlier = recorded_warm_start(ledger)
    return LearningTrials(spec, ledger.suggestions(), outcomes, earlier.cells if earlier else {}, ledger.suggest)


def _outcomes(spec: StudySpec, ledger: Ledger) -> dict[str, Outcome]:
    """What came of the screen's trials that have ended."""
    table = ledger.final_metrics("screen")
    rows = table.reindex(columns=["key", "status", "epoch", *(name for name, _ in spec.objectives)]).itertuples(index=False)
    return {key: Outcome.of(*values, stopped_after=int(epoch) if status == "stopped" else None) for key, status, epoch, *values in rows}


def _run_stage(run: _Run, stage: Stage, source: BoundedTrials) -> bool:
    stop = StopRequest(Tolerance(run.spec.tolerance, source.total), run.account)
    with _stopping_on_interrupt(stop):
        _fit(run, stage, source, stop)
    run.account.count(0)
    if stop.tolerance.exceeded:
        raise StudyStopped(stop.tolerance.exceeded)
    if stop.interrupted:
        return False
    if isinstance(source.source, PopulationTrials) and source.exhausted:
        end_former_members(run.ledger)
    whole = source.exhausted and all(trial.status in ENDED for trial in run.ledger.trials(stage))
    if reason := source.used_up or ("" if whole else run.account.used_up()):
        raise BudgetReachedError(reason)
    return True


def _fit(run: _Run, stage: Stage, source: BoundedTrials, stop: StopRequest) -> None:
    spec, setting = run.spec, _setting(run, stage)
    fused = run.runner.kind == "fused"
    # Ray Train reserves what several processes take, all or nothing, in a placement group of its own. What is reserved here is then for an
    # actor that does nothing but pass reports on, so there must be no more of them than such groups.
    needs: dict[str, float] = (
        {"memory": ACTOR_MEMORY} if spec.recipe.processes > 1 else {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
    )
    searcher = SourceSearcher(
        source,
        setting,
        _policies(spec, fused),
        at_once=_at_once(spec, run.here) if not fused else lambda: math.inf,
        phase_of=run.ledger.phase,
        room_beside=lambda nodes: spec.recipe.processes == 1 and slots(spec, nodes) > 0,
        trade_off=[name for name, _ in spec.objectives[1:]],
    )
    rule = stopping_rule(spec) if stage == "screen" else None
    scheduler = InTurn(room_for_all=run.here)
    if rule is not None:
        scheduler = EarlyStopping(rule, spec.metric, room_for_all=run.here)
        scheduler.recall(run.ledger, stage)
    callbacks = Guarded(
        [
            LedgerCallback(run.ledger, searcher, run.watcher, stop),
            LimitsCallback(spec.budget.trial, run.ledger, searcher),
            SpendingCallback(run.account),
            PlacementCallback(run.directory, spec.resources),
        ],
        stop,
    )
    if fused:
        room, places = _room(spec, run.here), spec.resources.array
        ArrayLoop(run.directory / "ray", setting, places, room, searcher, scheduler, callbacks, stop, grows=not run.here).run()
    else:
        waiting = _waiting(spec, source.source, run.here)
        StageLoop(stage, run.directory / "ray", needs, searcher, scheduler, callbacks, stop, waiting).run()
    if stop.error is not None:
        raise stop.error
    shutil.rmtree(str(setting.scratch), ignore_errors=True)  # what groups that were killed have left


def _setting(run: _Run, stage: Stage) -> TrialSetting:
    """What the trials of a stage share; the directory of their checkpoints is made."""
    spec, checkpoints = run.spec, run.directory / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    threads, device = processor(spec)
    return TrialSetting(
        study_seed=spec.seed,
        checkpoints=str(checkpoints.resolve()),
        data_root=str(run.data_root.resolve()) if run.data_root else None,
        threads=threads,
        device=device,
        metric=spec.metric,
        every_epoch=stage == "screen" and stopping_rule(spec) is not None,
        keep_final=stage in ("confirm", "zoom") or spec.confirm is None,
        record=spec.record.record(),
        examples=str(StudyFiles(run.directory).examples.resolve()) if spec.record.examples else None,
        cpu=spec.resources.cpu,
        gpu=spec.resources.gpu,
        scratch=str((run.directory / "ray" / "train").resolve()),
        storage=run.storage,
        study=spec.name,
        memory_gib=spec.budget.trial.memory_gib,
        own_order=spec.screen is not None and spec.screen.order == "own",
    )


def _at_once(spec: StudySpec, here: bool) -> Callable[[], float]:
    """Tells how many trials may run or wait to run at present.

    On this machine as many as there is room for: each takes over the actor of the one before it, and Ray is not asked for others that would
    never be started. Of a cluster more is asked, so that it grows.
    """
    if spec.recipe.processes > 1:
        return lambda: slots(spec) + (not here)
    room = max(1, slots(spec))
    return lambda: room if here else math.inf


def _policies(spec: StudySpec, fused: bool) -> dict[Cause, Policy]:
    """What is done about failures; in an array that may have been a neighbour's, so that a trial is tried once more, by itself."""
    policies = spec.failures.policies(spec.tolerance)
    if fused:
        more: tuple[tuple[Cause, PolicySection], ...] = (("memory", spec.failures.memory), ("hang", spec.failures.hang))
        policies |= {cause: replace(policies[cause], tries=policies[cause].tries + 1) for cause, asked in more if asked.tries is None}
    return policies


def _room(spec: StudySpec, here: bool) -> Callable[[], int]:
    """Tells for how many arrays there is room at present; on this machine that stays as it is."""
    room = max(1, slots(spec))
    return lambda: room if here else max(1, slots(spec))


def _waiting(spec: StudySpec, source: TrialSource, here: bool) -> int:
    """How many trials may wait for an actor; a searcher that learns should not be asked further ahead than there are slots."""
    room = max(1, slots(spec))
    return room if here or isinstance(source, LearningTrials) else max(16, 2 * room)


def slots(spec: StudySpec, beside: Collection[str] = ()) -> int:
    """How many trials of a study there is room for at once, on all nodes that are there now but those that are named."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in alive if not {node["NodeID"], f"ip:{node['NodeManagerAddress']}"} & set(beside)]
    needs = [(name, need) for name, need in (("CPU", spec.resources.cpu), ("GPU", spec.resources.gpu)) if need > 0.0]
    return int(sum(min(int(node.get(name, 0.0) / need) for name, need in needs) for node in nodes) // spec.recipe.processes)


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
