"""A study from start to end: its ledger, its mirror, its stages, and what is written when it is over.

`run_study` starts, continues and completes a study alike: it looks at what the ledger holds and runs what is missing.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies.answer import answer
from studies.claim import check_claim, claim, recorded_study
from studies.descriptors import describe_as_asked
from studies.findings import Answer
from studies.mirroring import results_of
from studies.running.address import keep_to_this_machine
from studies.spec import StudySpec
from studies.storage import Storage
from studies.stored import collect, copy_ledger, ledger_kept, recorded_storage
from studies.tracking.address import embedded_uri, without_credentials
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import MlflowMirror
from studies.warm_start import check_warm_start, take_warm_start
from studies.workspace import StudyError, StudyFiles, study_files

if TYPE_CHECKING:
    from studies.running.callback import Watcher


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended.

    Attributes:
        spec: The study file.
        files: Where everything lies.
        complete: Whether every stage is done.
        stopped: Why the study was stopped early for its failed trials, or empty.
        budget: Which bound of its budget it has reached, or empty.
        answer: What it found so far.
        tracking_uri: Where MLflow's record is, without credentials.
        mirror_error: What MLflow's record lacks and why, or empty.
    """

    spec: StudySpec
    files: StudyFiles
    complete: bool
    stopped: str
    budget: str
    answer: Answer
    tracking_uri: str
    mirror_error: str


def run_study(
    spec: StudySpec,
    *,
    workdir: Path,
    watcher: Watcher,
    address: str | None = None,
    tracking_uri: str | None = None,
    data_root: Path | None = None,
    storage: str | None = None,
    parent: str | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run what is missing of ``spec`` in ``workdir``; see `studies.preflight` for what to check before.

    Args:
        spec: The study file.
        workdir: Where it lies, or will lie.
        watcher: Sees it run.
        address: A Ray cluster, or None for one of its own.
        tracking_uri: An MLflow server, or None for the store in ``workdir``.
        data_root: Where datasets lie.
        storage: The URL of a storage, or None for the one that the ledger names, if it does. Trials keep their checkpoints there, and the
            ledger is copied there.
        parent: The name of the study in ``workdir`` that this one is a branch of.
        retry_failed: Whether trials that failed in an earlier run are tried again.

    Raises:
        StudyError: ``workdir`` holds a study of this name that cannot go on with this study file, another process runs it now, or there
            is no such parent.
    """
    files = study_files(workdir, spec.name)
    origin = None if parent is None else study_files(workdir, parent)
    check_claim(spec, files, origin)
    check_warm_start(spec, files)
    files.directory.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri or embedded_uri(workdir)
    complete, stopped, budget = False, "", ""
    storage = storage or recorded_storage(files)
    kept = None if storage is None else Storage(storage, spec.name)
    with sole_driver(files), ledger_kept(files, kept), Ledger(files.ledger) as ledger:
        claim(ledger, spec, origin)
        take_warm_start(spec, ledger, files)
        if kept is not None:
            ledger.set_meta("storage", kept.url)
            copy_ledger(files.ledger, kept)
        ledger.set_meta("ended_early", "")
        if retry_failed:
            ledger.retry_failed()
        keep_to_this_machine(address)
        from studies.running.driver import BudgetReachedError, StudyStopped, run_stages  # imports Ray: not for a call that is refused

        with MlflowMirror(files.ledger, spec, uri=uri, workdir=workdir) as mirror:
            try:
                complete = run_stages(spec, ledger, files.directory, address=address, data_root=data_root, storage=storage, watcher=watcher)
                if complete:
                    describe_as_asked(ledger, spec, data_root)
            except StudyStopped as error:
                stopped = str(error)
            except BudgetReachedError as error:
                budget = str(error)
            finally:
                ledger.interrupt_running()
                ledger.set_meta("ended_early", stopped or budget)
                found = answer(ledger)
                write_results(found, files)
                collect(files, kept, complete=complete, keep=_kept_checkpoints(found))
                ledger.set_meta("complete", "yes" if complete else "no")
                if complete:
                    _drop_checkpoints(found, files)
                problem = mirror.finish(results_of(found, files), complete=complete)
    return Outcome(spec, files, complete, stopped, budget, found, without_credentials(uri), problem)


def write_results(found: Answer, files: StudyFiles) -> None:
    """Write ``report.html`` and ``verdicts.json``."""
    from studies.reporting.report import render_report

    files.verdicts.write_text(json.dumps(found.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    files.report.write_text(render_report(found))


def recorded_spec(files: StudyFiles) -> StudySpec:
    """The study file that a ledger was made with, to go on with it.

    Raises:
        StudyError: The study's directory has not the study's name, so that going on would start anew beside it.
    """
    with Ledger(files.ledger, read_only=True) as ledger:
        spec = recorded_study(ledger)
    if files.directory.name != spec.name:
        raise StudyError(f"{files.directory} holds the study {spec.name!r}; rename it to {spec.name} to go on with it")
    return spec


@contextmanager
def sole_driver(files: StudyFiles) -> Iterator[None]:
    """Keep a second driver off the study; the lock goes with the process, however that ends."""
    with (files.directory / "driver.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(f"another process is running the study in {files.directory}") from error
        yield


def _drop_checkpoints(found: Answer, files: StudyFiles) -> None:
    """Keep the final checkpoints of the cells to export, and no others."""
    for checkpoint in files.checkpoints.glob("*"):
        if not checkpoint.name.startswith(_kept_checkpoints(found)):
            checkpoint.unlink()


def _kept_checkpoints(found: Answer) -> tuple[str, ...]:
    """What their names begin with."""
    return tuple(f"{winner.stage}-{winner.cell_id}-" for winner in found.winners)
