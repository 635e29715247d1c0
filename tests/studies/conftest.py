"""Ledgers of small studies, and one small study that was really trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from margin_core.training import Examples, Trial
from studies.plan import PlannedTrial, confirm_trials
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files
from tests.studies import builders

NewLedger = Callable[[StudySpec], Ledger]


@pytest.fixture
def new_ledger(tmp_path: Path) -> Iterator[NewLedger]:
    """Opens an empty ledger of a study, closed when the test is over."""
    with ExitStack() as stack:

        def opened(spec: StudySpec) -> Ledger:
            place = tmp_path / f"{len(list(tmp_path.iterdir()))}-{spec.name}"
            place.mkdir()
            return stack.enter_context(builders.new_ledger(place / "ledger.sqlite", spec))

        yield opened


def train(ledger: Ledger, files: StudyFiles, spec: StudySpec, planned: PlannedTrial) -> None:
    """Run a trial in this process and record it as a study does."""
    ledger.start(planned)
    trial = Trial(planned.cell, study_seed=spec.seed, replicate=planned.replicate, record=spec.record.record())
    while not trial.done:
        report = trial.run_epoch()
        ledger.report(planned.key, [{**builders.epoch(report.epoch, report.metrics), "steps": [asdict(step) for step in report.steps]}])
    if spec.record.examples:
        Examples.of(trial).write(files.examples / f"{planned.key}.npz")
    trial.save(files.checkpoints / f"{planned.key}.pt")
    ledger.end(planned.key, "finished")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """A whole study whose trials were really trained, without Ray; not to be written to."""
    spec = builders.study(
        **{
            **builders.WITHOUT_SCREEN,
            "name": "real",
            "recipe": {"epochs": 3, "batch_size": 64},
            "families": {"ce": {"label_smoothing": 0}, "cos_face": {"s": 20}},
            "datasets": builders.TWO_DATASETS,
            "confirm": {"families": 1, "seeds": 2, "values": {"cos_face": [0.1]}},
        }
    )
    files = study_files(tmp_path_factory.mktemp("runs"), spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in confirm_trials(spec):
            train(ledger, files, spec, planned)
    return files


@pytest.fixture
def trained(trained_once: StudyFiles, tmp_path: Path) -> StudyFiles:
    """A copy of the trained study, in a work directory of its own."""
    files = study_files(tmp_path / "runs", "real")
    shutil.copytree(trained_once.directory, files.directory)
    return files
