"""A store in trouble: whatever happens on the way to a real MLflow server, the study does not wait and MLflow has everything once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studies.answer import answer
from studies.mirroring import results_of, send_study
from studies.plan import PlannedTrial, screen_trials
from studies.study import write_results
from studies.tracking.address import check_tracking_uri
from studies.tracking.asking import connect
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import MlflowMirror
from studies.tracking.records import ENDED
from studies.workspace import StudyFiles, study_files
from tests.studies import builders
from tests.studies.tracking.servers import MlflowServer, Proxy, Trouble, mlflow_server, postgres, postgres_programs

SPEC = builders.study(screen={"searcher": "sobol", "trials": 3, "seeds": 2}, confirm=None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    """A study of six trials: one diverged and one was cut short."""
    files = study_files(tmp_path, SPEC.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, SPEC) as ledger:
        ledger.set_meta("study_id", tmp_path.name)
        for place, trial in enumerate(screen_trials(SPEC)):
            write(ledger, trial, {1: "diverged", 5: "interrupted"}.get(place, "finished"))
        write_results(answer(ledger), files)
    return files


def write(ledger: Ledger, trial: PlannedTrial, status: str, epochs: int = 3) -> None:
    ledger.start(trial)
    ledger.report(trial.key, [builders.epoch(number, {"val_accuracy": 90.0 + number, "val_nll": 0.1}) for number in range(1, epochs + 1)])
    if status != "running":
        ledger.end(trial.key, status, "")  # type: ignore[arg-type]


def assert_whole_and_once(files: StudyFiles, uri: str, study: str = SPEC.name) -> None:
    """The store has each run of the study once, with each value once, the parameters, the tags and the status; and the report."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    with Ledger(files.ledger, read_only=True) as ledger:
        identity = ledger.meta("study_id")
        runs = client.search_runs([experiment.experiment_id], f"tags.study_id = '{identity}'", max_results=1000)
        keys = [run.data.tags["key"] for run in runs]
        cells = {f"{trial.stage}-{trial.cell_id}" for trial in ledger.trials() if trial.status in ENDED}
        assert sorted(keys) == sorted({"study", *cells, *(trial.key for trial in ledger.trials())})
        by_key = dict(zip(keys, runs, strict=True))
        for trial in ledger.trials():
            run = by_key[trial.key]
            assert run.data.params == {name: str(value) for name, value in trial.config.items()}
            assert run.data.tags["status"] == trial.status
            assert run.data.tags["mlflow.parentRunId"] == by_key["study"].info.run_id
            assert run.info.status == {"finished": "FINISHED", "diverged": "FAILED", "interrupted": "KILLED"}[trial.status]
            history = client.get_metric_history(run.info.run_id, "val_accuracy")
            assert [(point.step, repr(point.value)) for point in history] == [  # nan is equal to none
                (row["epoch"], repr(row["metrics"]["val_accuracy"])) for row in ledger.epochs(trial.key)
            ]
    for key in cells:
        steps = [point.step for point in client.get_metric_history(by_key[key].info.run_id, "n_seeds")]
        assert steps and len(set(steps)) == len(steps)
        assert len(by_key[key].inputs.dataset_inputs) == 1
    study = by_key["study"]
    assert study.info.status in ("FINISHED", "KILLED")
    assert {"report.html", "verdicts.json"} <= {artifact.path for artifact in client.list_artifacts(study.info.run_id)}


def some(*troubles: Trouble, share: float = 0.4) -> Callable[[int, str], Trouble]:
    """Trouble with some of the requests, the same in each run of the test."""
    chance = random.Random(3)
    return lambda number, path: chance.choice(troubles) if chance.random() < share else ""


def test_answers_that_are_lost_after_the_server_took_the_request_double_nothing(files: StudyFiles, server: MlflowServer) -> None:
    made: set[str] = set()

    def first_of_each_kind(number: int, path: str) -> Trouble:
        kind = path.partition("?")[0]
        fresh = kind not in made and "artifacts" not in kind
        made.add(kind)
        return "cut after" if fresh else ""

    with Proxy(server.port, first_of_each_kind) as proxy:
        assert send_study(files, SPEC, proxy.url) == ""
        assert_whole_and_once(files, server.url)
        before = len(proxy.seen)
        assert send_study(files, SPEC, proxy.url) == ""
    assert not [request for request in proxy.seen[before:] if "runs/create" in request or "log-batch" in request]


@pytest.mark.slow
@pytest.mark.parametrize("troubles", [("500", "429"), ("cut before", "cut after"), ("500", "429", "cut before", "cut after")])
def test_a_server_full_of_errors_gets_everything_once(files: StudyFiles, server: MlflowServer, troubles: tuple[Trouble, ...]) -> None:
    with Proxy(server.port, some(*troubles)) as proxy:
        assert send_study(files, SPEC, proxy.url) == ""
    assert_whole_and_once(files, server.url)


@pytest.mark.slow
def test_a_slow_server_is_waited_for_no_longer_than_said_and_gets_the_rest_later(files: StudyFiles, server: MlflowServer) -> None:
    with Ledger(files.ledger, read_only=True) as ledger:
        closing = results_of(answer(ledger), files)
    with Proxy(server.port, lambda number, path: "slow", slowness=10.0) as proxy:
        mirror = MlflowMirror(files.ledger, SPEC, uri=proxy.url, workdir=files.directory.parent)
        lacking = mirror.finish(closing, complete=False, last_wait=15.0)
    assert lacking == "6 trials missing there: it is too slow"
    assert send_study(files, SPEC, server.url) == ""
    assert_whole_and_once(files, server.url)


def test_a_server_that_is_away_is_no_reason_to_wait_and_what_is_missing_is_told(files: StudyFiles, tmp_path: Path) -> None:
    away = MlflowServer(tmp_path)
    with pytest.raises(ConnectionError, match="no MLflow server answers"):
        check_tracking_uri(away.url)
    lacking = MlflowMirror(files.ledger, SPEC, uri=away.url, workdir=tmp_path).finish(complete=True, last_wait=1.0)
    assert lacking.startswith("6 trials missing there: MlflowException: API request to http://127.0.0.1")


@pytest.mark.faults
def test_a_server_that_is_killed_while_a_study_runs_gets_everything_when_it_is_back(files: StudyFiles, tmp_path: Path) -> None:
    answered = threading.Event()
    with mlflow_server(tmp_path) as server:

        def plan(number: int, path: str) -> Trouble:
            if "log-batch" in path:
                answered.set()
            return ""

        with Proxy(server.port, plan) as proxy:
            mirror = MlflowMirror(files.ledger, SPEC, uri=proxy.url, workdir=tmp_path)
            mirror.start()
            assert answered.wait(300)
            server.kill()
            with Ledger(files.ledger) as ledger:
                write(ledger, screen_trials(SPEC)[5], "finished", epochs=5)
                results = results_of(answer(ledger), files)
            server.start()
            assert mirror.finish(results, complete=True, last_wait=120.0) == ""
        assert_whole_and_once(files, server.url)


DRIVER = """
import json, os, signal, sys
from pathlib import Path
from studies.mirroring import send_study
from studies.spec import study_from
from studies.tracking import sent
from studies.workspace import StudyFiles

count = int(sys.argv[4])

def killed(self, key, note, write=sent.Sent.write):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, key, note)

sent.Sent.write = killed
send_study(StudyFiles(Path(sys.argv[1])), study_from(json.loads(sys.argv[2])), sys.argv[3])
"""


@pytest.mark.faults
@pytest.mark.parametrize("note", [1, 2, 3, 16])
def test_a_driver_killed_between_an_answer_and_its_note_doubles_nothing(files: StudyFiles, server: MlflowServer, note: int) -> None:
    spec = json.dumps(SPEC.model_dump(mode="json"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, str(files.directory), spec, server.url, str(note)], env=env, capture_output=True, timeout=500
    )
    assert driver.returncode == -signal.SIGKILL, driver.stderr
    assert send_study(files, SPEC, server.url) == ""
    assert_whole_and_once(files, server.url)


@pytest.mark.faults
def test_the_run_of_a_driver_that_was_killed_is_mended(files: StudyFiles, server: MlflowServer) -> None:
    trial = screen_trials(SPEC)[5]
    with Ledger(files.ledger) as ledger:
        ledger.start(trial)  # it runs, as far as the ledger and MLflow know, and then nobody tells that it does not
        mirror = MlflowMirror(files.ledger, SPEC, uri=server.url, workdir=files.directory)
        assert mirror.finish(complete=False, last_wait=120.0) == ""
        assert status_of(server, ledger, trial) == "RUNNING"
    assert send_study(files, SPEC, server.url) == ""
    with Ledger(files.ledger) as ledger:
        assert status_of(server, ledger, trial) == "KILLED"
        write(ledger, trial, "finished", epochs=4)
    assert send_study(files, SPEC, server.url) == ""
    assert_whole_and_once(files, server.url)


def status_of(server: MlflowServer, ledger: Ledger, trial: PlannedTrial) -> str:
    client = connect(server.url)
    experiment = client.get_experiment_by_name(SPEC.name)
    assert experiment is not None
    wanted = f"tags.study_id = '{ledger.meta('study_id')}' and tags.key = '{trial.key}'"
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    return str(run.info.status)


@pytest.mark.slow
@pytest.mark.skipif(postgres_programs() is None, reason="needs PostgreSQL: apt-get install postgresql")
def test_a_server_on_postgresql_gets_everything_once(files: StudyFiles, tmp_path: Path) -> None:
    pytest.importorskip("psycopg2", reason="needs psycopg2: pip install psycopg2-binary")
    with postgres(tmp_path / "postgres") as database, mlflow_server(tmp_path, database) as server:
        with Proxy(server.port, some("500", "cut after")) as proxy:
            assert send_study(files, SPEC, proxy.url) == ""
        assert_whole_and_once(files, server.url)


@pytest.mark.slow
def test_a_study_is_sent_to_a_second_server_too_and_to_one_that_lost_its_database(
    files: StudyFiles, server: MlflowServer, tmp_path: Path
) -> None:
    assert send_study(files, SPEC, server.url) == ""
    with mlflow_server(tmp_path) as second:
        assert send_study(files, SPEC, second.url) == ""
        assert_whole_and_once(files, second.url)
        second.kill()
        for file in tmp_path.glob("server.db*"):
            file.unlink()
        second.start()
        assert send_study(files, SPEC, second.url) == ""
        assert_whole_and_once(files, second.url)
    assert_whole_and_once(files, server.url)
