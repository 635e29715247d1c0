"""Studies of fused trials on the real Ray, through the real command: refilled, interrupted, killed, and with failing trials."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from margin_core.training import Cell, Trial
from studies.answer import answer
from studies.plan import PlannedTrial, screen_trials
from studies.spec import study_from
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED
from studies.workspace import study_files
from tests.ray_cluster import autoscaled_cluster, kill_node, ray_cluster
from tests.studies import builders
from tests.studies.conftest import train
from tests.studies.running.test_run import SMALL, _actors, _any_rows, ended, finish, read, run, start, wait_until, write

pytestmark = pytest.mark.ray

FUSED: dict[str, Any] = {
    **SMALL,
    "name": "fused",
    "runner": "fused",
    "resources": {"array": 4},
    "screen": {"searcher": "tpe", "trials": 16, "asha": {"grace_epochs": 1, "reduction": 2}},
}
GRID: dict[str, Any] = {
    **{key: value for key, value in FUSED.items() if key != "record"},
    "name": "grid",
    "recipe": {"epochs": 60, "batch_size": 16},
    "nuisance": {"lr": [0.1, 1e30]},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1], "hardest": "attached"}},
    "screen": {"searcher": "grid", "seeds": 2},
    "confirm": None,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A study with early stopping whose arrays are refilled, run without a break."""
    workdir = tmp_path_factory.mktemp("fused")
    return workdir, run("run", write(workdir, FUSED), "--workdir", workdir)


def assert_whole(ledger: Ledger) -> None:
    """Every trial has ended, with its epochs one after the other, and those that ran to their end have all of them."""
    for trial in ledger.trials():
        epochs = [row["epoch"] for row in ledger.epochs(trial.key)]
        assert trial.status in ENDED
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(epochs) == study_from(ledger.study_file()).recipe.epochs or trial.status in ("stopped", "diverged")


def alone(ledger: Ledger, key: str) -> list[float]:
    """The losses of a trial that is trained by itself, by what its record says of it."""
    record = ledger.trial(key)
    trial = Trial(Cell.from_dict(ledger.cell(record.cell_id)), study_seed=0, replicate=record.seed, phase=record.phase)
    return [trial.run_epoch().metrics["train_loss"] for _ in ledger.epochs(key)]


def losses(ledger: Ledger, key: str) -> list[float]:
    return [row["metrics"]["train_loss"] for row in ledger.epochs(key)]


def test_a_fused_study_runs_to_its_end_and_tells_how_full_its_arrays_were(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    assert outcome["complete"] and outcome["mirror_error"] == ""
    with read(workdir, "fused") as ledger:
        assert_whole(ledger)
        statuses = {trial.status for trial in ledger.trials("screen")}
        assert statuses == {"finished", "stopped"}
        for trial in ledger.trials():
            assert [step["step"] for step in ledger.steps(trial.key)] == [1]
            assert sum(ledger.class_counts(trial.key) or []) == 1079
    placement = json.loads((workdir / "fused" / "placement.json").read_text())
    assert all(array["places"] == 4 for array in placement["arrays"])


def test_later_stages_have_the_numbers_and_the_verdict_of_trials_by_themselves(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    workdir, outcome = whole
    spec, files = study_from(FUSED), study_files(tmp_path, "fused")
    files.directory.mkdir()
    with read(workdir, "fused") as fused, builders.new_ledger(files.ledger, spec) as solo:
        solo.copy_trials(fused, [trial.key for trial in fused.trials("screen")], "fused")
        confirmed = fused.trials("confirm")
        assert len(confirmed) >= 2 * 4 and {trial.phase for trial in confirmed} == {0}
        for trial in confirmed:
            cell = Cell.from_dict(fused.cell(trial.cell_id))
            train(solo, files, spec, PlannedTrial("confirm", cell, trial.config, trial.seed))
            assert losses(fused, trial.key) == pytest.approx(losses(solo, trial.key), rel=1e-3)
        verdicts = answer(solo).to_dict()["verdicts"]
    assert [(each["family"], each["label"]) for each in outcome["verdicts"]] == [(each["family"], each["label"]) for each in verdicts]


def test_a_trial_that_took_a_free_place_is_repeated_by_itself_from_its_record(whole: tuple[Path, dict[str, Any]]) -> None:
    with read(whole[0], "fused") as ledger:
        refilled = [trial for trial in ledger.trials("screen") if trial.phase > 0]
        assert refilled
        for trial in refilled[:3]:
            assert losses(ledger, trial.key) == pytest.approx(alone(ledger, trial.key), rel=1e-3)


@pytest.mark.slow
def test_with_orders_of_their_own_trials_that_took_free_places_are_as_by_themselves(tmp_path: Path) -> None:
    run("run", write(tmp_path, FUSED), "--workdir", tmp_path, "--set", "screen.order=own", "--set", "confirm=null")
    with read(tmp_path, "fused") as ledger:
        trials = ledger.trials("screen")
        ends = sorted(trial.ended for trial in trials)
        refilled = [trial for trial in trials if trial.started > ends[0]]
        assert refilled
        assert {trial.phase for trial in trials} == {0}
        for trial in refilled[:3]:
            assert losses(ledger, trial.key) == pytest.approx(alone(ledger, trial.key), rel=1e-3)


@pytest.mark.slow
def test_a_trial_that_fails_among_good_ones_fails_alone(tmp_path: Path) -> None:
    study = {**GRID, "name": "mixed", "recipe": {"epochs": 3, "batch_size": 64}, "nuisance": {"lr": 0.1}, "record": {"examples": True}}
    (tmp_path / "mixed").mkdir()
    keys = [trial.key for trial in screen_trials(study_from(study))]
    (tmp_path / "mixed" / "examples" / f"{keys[2]}.npz").mkdir(parents=True)  # where a file is to be written
    outcome = run("run", write(tmp_path, {**study, "tolerance": {"failed_share": 0.5}}), "--workdir", tmp_path)
    assert outcome["complete"]
    with read(tmp_path, "mixed") as ledger:
        assert {trial.key: trial.status for trial in ledger.trials()} == {key: "failed" if key == keys[2] else "finished" for key in keys}
        assert ledger.trial(keys[2]).reason.startswith("its data or files failed in attempt 2 of 2")


@pytest.mark.faults
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_fused_study_cut_short_goes_on_and_loses_nothing_that_was_reported(tmp_path: Path, blow: signal.Signals) -> None:
    process = start("run", write(tmp_path, FUSED), "--workdir", tmp_path, "--json")
    wait_until(lambda: ended(tmp_path, "fused") >= 6, process)
    if blow == signal.SIGINT:
        os.killpg(process.pid, blow)
        assert not finish(process, 130)["complete"]
    else:
        process.kill()
        process.communicate()
    with read(tmp_path, "fused") as ledger:
        told = [(trial.key, trial.phase, ledger.epochs(trial.key)) for trial in ledger.trials()]
    outcome = run("resume", "--workdir", tmp_path)
    assert outcome["complete"]
    with read(tmp_path, "fused") as ledger:
        assert_whole(ledger)
        for key, phase, epochs in told:
            assert ledger.epochs(key)[: len(epochs)] == epochs
            assert ledger.trial(key).phase == phase or not epochs
        for trial in ledger.trials("confirm"):
            assert losses(ledger, trial.key) == pytest.approx(alone(ledger, trial.key), rel=1e-3)


@pytest.mark.faults
@pytest.mark.slow
def test_arrays_on_nodes_that_join_and_die_lose_no_trial(tmp_path: Path) -> None:
    """No retry is granted: a node that dies is no failure of its trials."""
    study = {**GRID, "tolerance": {"retries": 0, "failed_share": 0}}
    with ray_cluster() as cluster:
        first = cluster.add_node(num_cpus=1)
        process = start("run", write(tmp_path, study), "--workdir", tmp_path, "--address", cluster.address, "--json")
        wait_until(lambda: _any_rows(tmp_path, "grid"), process)
        cluster.add_node(num_cpus=1)
        kill_node(first)
        assert finish(process, 0, timeout=500)["complete"]
    with read(tmp_path, "grid") as ledger:
        assert_whole(ledger)
        trials = ledger.trials()
        assert len(trials) == 12 and max(trial.attempts for trial in trials) > 1
        assert {trial.status for trial in trials} == {"finished", "diverged"}


@pytest.mark.slow
def test_arrays_start_on_a_head_without_workers_and_get_them(tmp_path: Path) -> None:
    with autoscaled_cluster({"worker": {"CPU": 1}}) as address:
        process = start("run", write(tmp_path, GRID), "--workdir", tmp_path, "--address", address, "--json")
        assert finish(process, 0, timeout=500)["complete"]
    with read(tmp_path, "grid") as ledger:
        assert_whole(ledger)
        assert Counter(trial.status for trial in ledger.trials()) == {"finished": 6, "diverged": 6}


@pytest.mark.faults
def test_an_array_whose_process_is_killed_is_made_anew_and_its_trials_go_on(tmp_path: Path) -> None:
    process = start("run", write(tmp_path, GRID), "--workdir", tmp_path, "--json")
    wait_until(lambda: _any_rows(tmp_path, "grid"), process)
    struck: list[psutil.Process] = []
    wait_until(lambda: bool(struck.extend(_actors(process)) or struck), process)
    for actor in struck:
        actor.kill()
    assert finish(process, 0)["complete"]
    with read(tmp_path, "grid") as ledger:
        assert_whole(ledger)
        trials = ledger.trials()
        assert len(trials) == 12 and max(trial.attempts for trial in trials) == 2
        for trial in trials:
            assert trial.status == ("diverged" if trial.config["lr"] == 1e30 else "finished")
