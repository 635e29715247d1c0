"""Studies on several real Ray nodes of this host, through the real command: nodes join, are killed, and are started on demand."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from studies.plan import screen_trials
from studies.spec import study_from
from studies.tracking.ledger import Ledger
from studies.workspace import study_files
from tests.object_store import object_store
from tests.ray_cluster import autoscaled_cluster, kill_node, ray_cluster
from tests.studies import builders
from tests.studies.conftest import train
from tests.studies.running.test_run import SMALL, ended, finish, read, start, wait_until, write

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SCREEN: dict[str, Any] = {
    **{key: value for key, value in SMALL.items() if key != "record"},
    "recipe": {"epochs": 8, "batch_size": 64},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1], "tau": 1}},
    "nuisance": {"lr": [0.05, 0.1]},
    "screen": {"searcher": "grid", "seeds": 2},
    "confirm": None,
    "tolerance": {"retries": 0, "failed_share": 0},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's trials, one after the other in this process."""
    workdir, spec = tmp_path_factory.mktemp("alone"), study_from(SCREEN)
    files = study_files(workdir, spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in screen_trials(spec):
            train(ledger, files, spec, planned)
    return workdir


def staged_rows(ledger: Ledger) -> list[tuple[str, str, int, int, dict[str, float]]]:
    """Every (stage, cell, seed, epoch, metrics): what two runs of one study are compared by."""
    return sorted(
        (trial.stage, trial.cell_id, trial.seed, row["epoch"], row["metrics"])
        for trial in ledger.trials()
        for row in ledger.epochs(trial.key)
    )


@pytest.mark.faults
def test_a_study_whose_nodes_join_and_die_ends_with_the_rows_of_one_machine(alone: Path, tmp_path: Path) -> None:
    """No retry is granted: a node that dies is no failure of its trials."""
    with ray_cluster() as cluster:
        first, second = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
        process = start("run", write(tmp_path, SCREEN), "--workdir", tmp_path, "--address", cluster.address, "--json")
        wait_until(lambda: ended(tmp_path, "small") >= 2, process)
        kill_node(first)
        wait_until(lambda: ended(tmp_path, "small") >= 5, process)
        kill_node(second)
        cluster.add_node(num_cpus=2)
        assert finish(process, 0, timeout=500)["complete"]
    with read(alone) as unbroken, read(tmp_path) as struck:
        assert staged_rows(struck) == staged_rows(unbroken)
        trials = struck.trials()
        assert len(trials) == 12
        assert {trial.status for trial in trials} == {"finished"}
        assert max(trial.attempts for trial in trials) > 1


def test_a_study_starts_on_a_head_without_workers_and_gets_them(alone: Path, tmp_path: Path) -> None:
    with autoscaled_cluster({"worker": {"CPU": 1}}) as address:
        process = start("run", write(tmp_path, SCREEN), "--workdir", tmp_path, "--address", address, "--json")
        assert finish(process, 0, timeout=500)["complete"]
    with read(alone) as unbroken, read(tmp_path) as scaled:
        assert staged_rows(scaled) == staged_rows(unbroken)


@pytest.mark.faults
def test_a_study_on_a_storage_goes_on_on_a_new_head_that_has_nothing_else(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first head dies, the second is stopped in order, the third ends the study; no one sees a work directory of another."""
    heads = [tmp_path / name for name in ("first", "second", "third")]
    for head in heads:
        head.mkdir()
    with object_store(monkeypatch) as url, ray_cluster() as cluster:
        lost = cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        options = ["--address", cluster.address, "--storage", url, "--json", "--workdir"]
        process = start("run", write(heads[0], SCREEN), *options, heads[0])
        wait_until(lambda: ended(heads[0], "small") >= 2, process)
        process.kill()
        process.communicate()
        process = start("resume", "small", *options, heads[1])
        wait_until(lambda: ended(heads[1], "small") >= 3, process)
        kill_node(lost)
        wait_until(lambda: ended(heads[1], "small") >= 4, process)
        process.send_signal(signal.SIGINT)
        assert not finish(process, 130, timeout=500)["complete"]
        shutil.rmtree(heads[1] / "small")
        process = start("resume", "small", *options, heads[2])
        assert finish(process, 0, timeout=500)["complete"]
    with read(alone) as unbroken, read(heads[2]) as last:
        assert staged_rows(last) == staged_rows(unbroken)
        assert sum(trial.attempts == 1 for trial in last.trials()) >= 4
    assert list((heads[2] / "small" / "checkpoints").glob("*.pt"))
