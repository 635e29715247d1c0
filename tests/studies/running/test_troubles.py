"""Trials that hang, take too much memory or raise, on the real Ray, through the real command: each cause as the study file says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studies.failures import cause_in
from tests.ray_cluster import ray_cluster
from tests.studies.running.test_run import finish, read, write
from tests.studies.running.troubled import troubled

pytestmark = [pytest.mark.ray, pytest.mark.faults]

STUDY: dict[str, Any] = {
    "name": "troubled",
    "datasets": ["digits"],
    "model": "troubled",
    "recipe": {"epochs": 5, "batch_size": 64},
    "nuisance": {"lr": [0.1, 0.2]},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1]}},
    "screen": {"searcher": "grid"},
    "budget": {"trial": {"silent_hours": 0.006, "memory_gib": 1.75}},
    "tolerance": {"retries": 0, "failed_share": 1},
}


FUSED: dict[str, Any] = {
    **STUDY,
    "runner": "fused",
    "model": "mlp-16",
    "families": {"ce": {"label_smoothing": 0}, "troubled": {"strength": [0.5, 1]}},
    "budget": {"trial": {"silent_hours": 0.006}},
}


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "studies", *map(str, arguments), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def run(folder: Path, study: dict[str, Any], *kinds: str, status: int = 0) -> dict[str, Any]:
    """Run a study of which some trials get into trouble; its work directory is ``folder``."""
    folder.mkdir(exist_ok=True)
    return finish(start(troubled(folder, *kinds), "run", write(folder, study), "--workdir", folder), status, timeout=500)


def test_trials_in_trouble_are_killed_and_tried_again_and_end_with_the_rows_of_others(tmp_path: Path) -> None:
    study = {**STUDY, "failures": {"hang": {"tries": 3}, "memory": {"tries": 3}}}  # for one trial may meet two troubles of a cause
    assert run(tmp_path / "calm", study)["complete"]
    assert run(tmp_path / "struck", study, "hang", "stop", "memory", "cuda")["complete"]
    with read(tmp_path / "calm", "troubled") as calm, read(tmp_path / "struck", "troubled") as struck:
        assert struck.rows() == calm.rows()
        trials = struck.trials()
        assert {trial.status for trial in trials} == {"finished"}
        assert sum(trial.attempts for trial in trials) == 6 + 4


@pytest.mark.parametrize(
    ("kind", "cause", "told"),
    [
        ("hang", "hang", "nothing was heard of it for 2"),
        ("memory", "memory", "GiB, and budget.trial.memory_gib is 1.75"),
        ("cuda", "memory", "OutOfMemoryError: CUDA out of memory."),
        ("code", "code", "ZeroDivisionError: the code is wrong"),
    ],
)
def test_a_trial_that_is_given_up_at_once_has_its_cause_in_the_ledger_and_the_others_finish(
    tmp_path: Path, kind: str, cause: str, told: str
) -> None:
    study = {**STUDY, "failures": {"hang": {"tries": 1}, "memory": {"tries": 1}}}
    outcome = run(tmp_path, study, kind)
    assert outcome["complete"]
    with read(tmp_path, "troubled") as ledger:
        [failed] = [trial for trial in ledger.trials() if trial.status == "failed"]
        assert [trial.status for trial in ledger.trials()].count("finished") == 5
    assert cause_in(failed.reason) == cause
    assert told in failed.reason
    [lost] = outcome["lost"]
    assert (lost["cell_id"], lost["failed"], lost["causes"], lost["rate"]) == (failed.cell_id, 1, {cause: 1}, 1.0)


def test_a_process_of_a_group_that_hangs_takes_its_trial_to_another_group(tmp_path: Path) -> None:
    study = {**STUDY, "recipe": {**STUDY["recipe"], "processes": 2}, "nuisance": {"lr": 0.1}, "families": {"gds": {"lam": [0, 1]}}}
    study |= {"budget": {"trial": {"silent_hours": 0.015}}}
    assert run(tmp_path / "calm", study)["complete"]
    assert run(tmp_path / "struck", study, "hang")["complete"]
    with read(tmp_path / "calm", "troubled") as calm, read(tmp_path / "struck", "troubled") as struck:
        assert struck.rows() == calm.rows()
        assert sorted(trial.attempts for trial in struck.trials()) == [1, 2]


def test_what_befalls_an_array_costs_none_of_its_trials(tmp_path: Path) -> None:
    assert run(tmp_path / "calm", FUSED)["complete"]
    assert run(tmp_path / "struck", FUSED, "hang", "stop", "cuda", "code")["complete"]
    with read(tmp_path / "calm", "troubled") as calm, read(tmp_path / "struck", "troubled") as struck:
        assert {trial.status for trial in struck.trials()} == {"finished"}
        assert max(trial.attempts for trial in struck.trials()) > 1
        for trial in calm.trials():
            told = [[row["metrics"]["train_loss"] for row in ledger.epochs(trial.key)] for ledger in (calm, struck)]
            assert told[1] == pytest.approx(told[0], rel=1e-3)
    assert not list((tmp_path / "struck" / "troubles").iterdir())  # each of them came


@pytest.mark.parametrize("study", [STUDY, FUSED], ids=["solo", "fused"])
def test_what_fails_on_one_node_is_tried_again_on_another_one_and_ends_well_there(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = troubled(tmp_path, "sick")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])  # a package that declares a model is installed on every node
    with ray_cluster() as cluster:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        file = write(tmp_path, {**study, "budget": {}})
        process = start(environment, "run", file, "--workdir", tmp_path, "--address", cluster.address)
        assert finish(process, 0, timeout=500)["complete"]
    with read(tmp_path, "troubled") as ledger:
        trials = ledger.trials()
    assert {trial.status for trial in trials} == {"finished"}
    assert {trial.attempts for trial in trials} == {1, 2}
