"""Trials of two processes on the real Ray Train, through the real command: whole, stopped by the scheduler, killed and failing ones."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.studies.running.test_run import ended, finish, read, run, start, wait_until, write

pytestmark = pytest.mark.ray

TOGETHER: dict[str, Any] = {
    "name": "together",
    "datasets": ["digits"],
    "model": "mlp-16",
    "recipe": {"epochs": 40, "batch_size": 100, "processes": 2},
    "record": {"class_counts": True, "examples": True},
    "nuisance": {"lr": [0.1, 1e30]},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1]}},
    "screen": {"searcher": "grid"},
}
# Machines that others use at the same time take long to start so many processes.
PATIENCE = 560.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, run without a break."""
    workdir = tmp_path_factory.mktemp("whole")
    assert run("run", write(workdir, TOGETHER), "--workdir", workdir, timeout=PATIENCE)["complete"]
    return workdir


def workers(driver: int) -> list[psutil.Process]:
    """The processes that train, of a study's own Ray."""
    found = []
    for child in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.Error):
            if "RayTrainWorker" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
def test_a_study_of_trials_of_two_processes_ends_with_every_epoch_in_the_ledger(whole: Path) -> None:
    with read(whole, "together") as ledger:
        trials = ledger.trials()
        assert len(trials) == 6
        for trial in trials:
            assert trial.attempts == 1
            assert trial.status == ("diverged" if trial.config["lr"] == 1e30 else "finished")
            assert sum(ledger.class_counts(trial.key) or []) == 1079
            epochs = [row["epoch"] for row in ledger.epochs(trial.key)]
            assert epochs == list(range(1, len(epochs) + 1))
            assert len(epochs) == 40 or trial.status == "diverged"
    finished = {trial.key for trial in trials if trial.status == "finished"}
    assert {file.stem for file in (whole / "together" / "examples").iterdir()} == finished
    assert not (whole / "together" / "ray" / "train").exists()


@pytest.mark.slow
def test_its_exported_configuration_repeats_the_trial_to_the_last_digit(whole: Path) -> None:
    written = run("export", "together", "--workdir", whole)["exported"]["digits"]
    config = Path(written) / "config.yaml"
    assert yaml.safe_load(config.read_text())["cell"]["recipe"]["processes"] == 2
    repeated = run("run", config, timeout=PATIENCE)
    assert repeated["same"]
    assert repeated["metrics"]["val_accuracy"] == repeated["recorded"]["val_accuracy"]


@pytest.mark.slow
def test_asha_stops_trials_of_two_processes(tmp_path: Path) -> None:
    study = {**TOGETHER, "name": "halved", "nuisance": {"lr": {"low": 1e-4, "high": 0.3, "scale": "log"}}}
    study |= {"recipe": {**TOGETHER["recipe"], "epochs": 4}}
    study |= {"screen": {"searcher": "sobol", "trials": 8, "asha": {"grace_epochs": 1, "reduction": 2}}}
    assert run("run", write(tmp_path, study), "--workdir", tmp_path, timeout=PATIENCE)["complete"]
    with read(tmp_path, "halved") as ledger:
        trials = ledger.trials()
        assert {trial.status for trial in trials} == {"finished", "stopped"}
        assert all(len(ledger.epochs(trial.key)) == 4 for trial in trials if trial.status == "finished")
        assert all(len(ledger.epochs(trial.key)) < 4 for trial in trials if trial.status == "stopped")


@pytest.mark.slow
def test_trials_that_raise_are_failed_with_their_reason(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"not an IDX file")
    study = {**TOGETHER, "name": "broken", "datasets": ["mnist"], "tolerance": {"consecutive": 2, "failed_share": 1}}
    call = ("run", write(tmp_path, study), "--workdir", tmp_path, "--data-root", tmp_path / "data")
    assert run(*call, status=1, timeout=PATIENCE)["stopped"].startswith("2 trials in a row failed")
    with read(tmp_path, "broken") as ledger:
        reasons = [trial.reason for trial in ledger.trials() if trial.status == "failed"]
    assert len(reasons) == 2
    assert all(re.fullmatch(r"AssertionError in line \d+ of mnist\.py", reason) for reason in reasons)  # torchvision's, without words


@pytest.mark.faults
def test_a_trial_whose_worker_is_killed_is_started_again_and_ends_with_the_same_rows(whole: Path, tmp_path: Path) -> None:
    process = start("run", write(tmp_path, TOGETHER), "--workdir", tmp_path, "--json")
    wait_until(lambda: ended(tmp_path, "together") >= 1, process)
    workers(process.pid)[-1].kill()
    assert finish(process, 0, PATIENCE)["complete"]
    with read(whole, "together") as unbroken, read(tmp_path, "together") as struck:
        assert struck.rows() == unbroken.rows()
        assert sum(trial.attempts for trial in struck.trials()) == 7


@pytest.mark.faults
def test_a_study_whose_driver_is_killed_ends_with_the_rows_of_an_unbroken_one(whole: Path, tmp_path: Path) -> None:
    process = start("run", write(tmp_path, TOGETHER), "--workdir", tmp_path)
    wait_until(lambda: ended(tmp_path, "together") >= 1, process)
    process.kill()
    process.communicate()
    assert run("resume", "--workdir", tmp_path, timeout=PATIENCE)["complete"]
    with read(whole, "together") as unbroken, read(tmp_path, "together") as resumed:
        assert resumed.rows() == unbroken.rows()
