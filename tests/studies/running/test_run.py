"""Studies on the real Ray Tune, through the real command: whole, interrupted, killed and failing ones."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from studies.recorded import example_table, path_table
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED
from studies.workspace import study_files

pytestmark = pytest.mark.ray

SMALL: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "model": "mlp-16",
    "runner": "solo",  # whose numbers are the same to the last bit; test_fused_run has the other
    "recipe": {"epochs": 6, "batch_size": 64},
    "record": {"first_steps": 1, "class_counts": True, "examples": True},
    "nuisance": {"lr": {"low": 0.05, "high": 0.3, "scale": "log"}},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1, 2]}, "cos_face": {"m": [0, 0.2], "s": 10}},
    "screen": {"searcher": "sobol", "trials": 8},
    "confirm": {"families": 1, "seeds": 2, "values": {"gds": [0, 1, 2], "cos_face": [0, 0.1, 0.2]}},
}
WHOLE = {**SMALL, "zoom": {"points": 3, "seeds": 2}, "test": {"seeds": 2}}


def write(directory: Path, study: dict[str, Any]) -> Path:
    path = directory / f"{study['name']}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal starts it."""
    command = [sys.executable, "-m", "studies", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str], status: int, timeout: float = 240) -> dict[str, Any]:
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == status, err[-3000:]
    return dict(json.loads(out))


def run(*arguments: object, status: int = 0, timeout: float = 240) -> dict[str, Any]:
    return finish(start(*arguments, "--json"), status, timeout)


def read(workdir: Path, study: str = "small") -> Ledger:
    return Ledger(workdir / study / "ledger.sqlite", read_only=True)


def ended(workdir: Path, study: str) -> int:
    if not (workdir / study / "ledger.sqlite").is_file():
        return 0
    try:
        with read(workdir, study) as ledger:
            return sum(trial.status in ENDED for trial in ledger.trials())
    except ValueError:  # the file is there, its tables are not yet
        return 0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for ``condition`` while ``process`` lives."""
    while not condition():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The small study, run without a break."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, run("run", write(workdir, WHOLE), "--workdir", workdir)


def test_a_study_runs_to_verdicts_report_and_mlflow(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    assert outcome["complete"]
    assert outcome["mirror_error"] == ""
    with read(workdir) as ledger:
        trials = ledger.trials()
        assert {trial.status for trial in trials} == {"finished"}
        assert all(len(ledger.epochs(trial.key)) == 6 for trial in trials)
    stages = [trial.stage for trial in trials]
    assert stages.count("screen") <= 8
    assert stages.count("confirm") >= 2 * 4
    [verdict] = outcome["verdicts"]
    assert verdict["family"] in ("gds", "cos_face")
    assert "<svg" in (workdir / "small" / "report.html").read_text()
    assert json.loads((workdir / "small" / "verdicts.json").read_text())["verdicts"] == outcome["verdicts"]


def test_the_test_split_is_measured_once_by_the_last_stage_alone(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    with read(workdir) as ledger:
        measured = {
            (trial.stage, epoch["epoch"])
            for trial in ledger.trials()
            for epoch in ledger.epochs(trial.key)
            if any(name.startswith("test_") for name in epoch["metrics"])
        }
        cells = {trial.cell_id for trial in ledger.trials("test")}
    assert measured == {("test", 6)}
    [tested], [winner] = outcome["test"], outcome["winners"]
    assert tested["cell_id"] == winner["cell_id"] and tested["cell_id"] in cells and len(cells) <= 2
    assert tested["seeds"] == 2 and tested["metric"] == "test_accuracy"


def test_what_a_study_records_lies_in_its_ledger_and_beside_it(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, _ = whole
    table = example_table(study_files(workdir, "small"))
    with read(workdir) as ledger:
        for trial in ledger.trials():
            assert [step["step"] for step in ledger.steps(trial.key)] == [1]
            assert sum(ledger.class_counts(trial.key) or []) == 1079
            assert len(table[table["key"] == trial.key]) == 359
    assert table.groupby("key")["place"].apply(tuple).nunique() == 1
    assert len(path_table(study_files(workdir, "small"), by_step=True)) == table["key"].nunique()


def test_mlflow_holds_the_study_a_run_per_replicate_and_a_summary_per_cell(whole: tuple[Path, dict[str, Any]]) -> None:
    from studies.tracking.address import embedded_uri
    from studies.tracking.asking import connect

    workdir, _ = whole
    client = connect(embedded_uri(workdir))
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    kinds = [run.data.tags["kind"] for run in runs]
    with read(workdir) as ledger:
        trials = ledger.trials()
        final = ledger.epochs(trials[-1].key)[-1]["metrics"]
    assert kinds.count("study") == 1
    assert kinds.count("replicate") == len(trials)
    assert kinds.count("cell") == len({(trial.stage, trial.cell_id) for trial in trials})
    [study] = [run for run in runs if run.data.tags["kind"] == "study"]
    assert {item.path for item in client.list_artifacts(study.info.run_id)} == {"figures", "report.html", "verdicts.json"}
    [last] = [run for run in runs if run.data.tags["key"] == trials[-1].key]
    assert last.data.metrics["val_accuracy"] == final["val_accuracy"]
    assert last.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert last.data.tags["seed"] == str(trials[-1].seed)
    history = client.get_metric_history(last.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]
    summaries = [run for run in runs if run.data.tags["kind"] == "cell" and run.data.tags["stage"] == "confirm"]
    for summary in summaries:
        metrics = summary.data.metrics
        assert metrics["n_seeds"] == 2
        assert metrics["val_accuracy_ci_low"] <= metrics["val_accuracy_mean"] <= metrics["val_accuracy_ci_high"]


def test_a_finished_study_run_again_repeats_nothing(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    with read(workdir) as ledger:
        before = [(trial.key, trial.attempts) for trial in ledger.trials()]
    again = run("run", workdir / "small.yaml", "--workdir", workdir)
    assert again["verdicts"] == outcome["verdicts"]
    with read(workdir) as ledger:
        assert [(trial.key, trial.attempts) for trial in ledger.trials()] == before


def test_a_study_that_another_process_runs_is_refused(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, _ = whole
    with (workdir / "small" / "driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start("resume", "--workdir", workdir)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "another process is running the study" in err


def test_a_changed_study_file_under_the_same_name_is_refused(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, _ = whole
    process = start("run", workdir / "small.yaml", "--workdir", workdir, "--set", "seed=7")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "  seed: was 0, is 7\n" in err
    assert err.endswith("--branch NAME\n")


def test_an_exported_configuration_repeats_its_trial_to_the_last_digit(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    written = run("export", "small", "--workdir", workdir)["exported"]["digits"]
    files = ["README.md", "args.yaml", "config.yaml", "loss.yaml", "model.safetensors", "reproduce.sh", "requirements.txt"]
    files += ["verdict.json", "weights"]
    assert sorted(path.name for path in Path(written).iterdir()) == files
    repeated = run("run", Path(written) / "config.yaml")
    assert repeated["same"]
    assert repeated["metrics"]["val_accuracy"] == repeated["recorded"]["val_accuracy"]
    assert json.loads((Path(written) / "verdict.json").read_text())["winner"] == outcome["winners"][0]


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_study_cut_short_and_resumed_ends_with_the_rows_of_an_unbroken_one(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, blow: signal.Signals
) -> None:
    process = start("run", write(tmp_path, WHOLE), "--workdir", tmp_path, "--json")
    wait_until(lambda: ended(tmp_path, "small") >= 6, process)
    if blow == signal.SIGINT:
        os.killpg(process.pid, blow)  # what Ctrl-C in a terminal sends: to the driver and to all it started
        assert not finish(process, 130)["complete"]
    else:
        process.kill()
        process.communicate()
    with read(tmp_path) as ledger:
        partial = ledger.rows()
    outcome = run("resume", "--workdir", tmp_path)
    assert outcome["complete"]
    with read(whole[0]) as unbroken, read(tmp_path) as resumed:
        assert 0 < len(partial) < len(unbroken.rows())
        assert resumed.rows() == unbroken.rows()
        assert {trial.status for trial in resumed.trials()} == {"finished"}
    assert outcome["verdicts"] == whole[1]["verdicts"]


def test_killed_workers_are_started_again_and_diverged_trials_are_results(tmp_path: Path) -> None:
    study = {
        **SMALL,
        "name": "struck",
        "recipe": {"epochs": 60, "batch_size": 16},
        "nuisance": {"lr": [0.1, 1e30]},
        "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1], "hardest": "attached"}},
        "screen": {"searcher": "grid"},
        "confirm": None,
    }
    process = start("run", write(tmp_path, study), "--workdir", tmp_path, "--json")
    wait_until(lambda: _any_rows(tmp_path, "struck"), process)
    struck: list[psutil.Process] = []
    wait_until(lambda: bool(struck.extend(_actors(process)) or struck), process)
    for actor in struck:
        actor.kill()
    outcome = finish(process, 0)
    assert outcome["complete"]
    with read(tmp_path, "struck") as ledger:
        trials = {(trial.family, trial.config["lr"], trial.config.get("gds.lam")): trial for trial in ledger.trials()}
        assert len(trials) == 6
        assert max(trial.attempts for trial in trials.values()) > 1
        for (_, lr, _), trial in trials.items():
            assert trial.status == ("diverged" if lr == 1e30 else "finished")
            epochs = [row["epoch"] for row in ledger.epochs(trial.key)]
            assert epochs == list(range(1, len(epochs) + 1))
            assert len(epochs) == 60 or trial.status == "diverged"
            assert ("not finite" in trial.reason) == (trial.status == "diverged")


def test_a_worker_that_dies_between_two_trials_costs_neither_of_them(tmp_path: Path) -> None:
    study = {**SMALL, "name": "between", "recipe": {"epochs": 1}, "families": {"gds": {"lam": [0, 1], "tau": [1, 2]}}, "confirm": None}
    study |= {"screen": {"searcher": "grid", "seeds": 3}, "nuisance": {"lr": 0.1}, "tolerance": {"retries": 1, "failed_share": 0}}
    process = start("run", write(tmp_path, study), "--workdir", tmp_path, "--json")
    wait_until(lambda: ended(tmp_path, "between") >= 2, process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # every actor ends its trial; what it says waits for the driver, which will give it another trial
    struck = _actors(process)
    for actor in struck:
        actor.kill()
    process.send_signal(signal.SIGCONT)
    assert struck
    assert finish(process, 0)["complete"]
    with read(tmp_path, "between") as ledger:
        trials = ledger.trials()
    assert len(trials) == 12
    assert {trial.status for trial in trials} == {"finished"}


def test_trials_that_raise_stop_the_study_with_their_reason_and_status_1(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"not an IDX file")
    study = {**SMALL, "name": "broken", "datasets": ["mnist"], "tolerance": {"consecutive": 3, "failed_share": 1}}
    outcome = run("run", write(tmp_path, study), "--workdir", tmp_path, "--data-root", tmp_path / "data", status=1)
    assert not outcome["complete"]
    assert outcome["stopped"].startswith("3 trials in a row failed")
    with read(tmp_path, "broken") as ledger:
        reasons = [trial.reason for trial in ledger.trials() if trial.status == "failed"]
    assert len(reasons) >= 3
    assert all(reasons)


def test_tpe_with_asha_stops_trials_early_and_screens_every_family(tmp_path: Path) -> None:
    study = {
        **SMALL,
        "name": "halved",
        "recipe": {"epochs": 9, "batch_size": 64},
        "screen": {"searcher": "tpe", "trials": 14, "asha": {"grace_epochs": 1, "reduction": 3}},
        "confirm": None,
    }
    outcome = run("run", write(tmp_path, study), "--workdir", tmp_path)
    assert outcome["complete"]
    with read(tmp_path, "halved") as ledger:
        trials = ledger.trials()
        assert {trial.status for trial in trials} == {"finished", "stopped"}
        for trial in trials:
            if trial.status == "stopped":
                assert "by the scheduler" in trial.reason
                assert len(ledger.epochs(trial.key)) < 9
            assert all(name.split(".")[0] in (trial.family, "family", "lr") for name in trial.config)
    assert outcome["winners"][0]["stage"] == "screen"


def _actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The trial actors of a study's own Ray."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            title = " ".join(child.cmdline())  # an actor's title names the method that it runs
            if title.startswith(("ray::TrialActor", "ray::ResourceTrainable", "ray::ArrayActor")):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _any_rows(workdir: Path, study: str) -> bool:
    try:
        with read(workdir, study) as ledger:
            return bool(ledger.rows())
    except ValueError:
        return False
