"""The process that shows a study in MLflow while it runs: a real one, ended, killed and left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from studies.plan import screen_trials
from studies.tracking import follower
from studies.tracking.address import embedded_uri
from studies.tracking.asking import GivenUpError, Patience, connect
from studies.tracking.follower import Follower, follow
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import MlflowMirror
from tests.studies import builders

SPEC = builders.study(screen={"searcher": "sobol", "trials": 3, "seeds": 1}, confirm=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with builders.new_ledger(tmp_path / "ledger.sqlite", SPEC) as ledger:
        ledger.set_meta("study_id", "one")
        yield ledger


def write(ledger: Ledger, place: int) -> None:
    trial = screen_trials(SPEC)[place]
    ledger.start(trial)
    ledger.report(trial.key, [builders.epoch(1, {"val_accuracy": 90.0})])
    ledger.end(trial.key, "finished")


def eventually(what: Callable[[], bool], within: float = 60.0) -> bool:
    until = time.monotonic() + within
    while not what() and time.monotonic() < until:
        time.sleep(0.05)
    return what()


def replicates(uri: str) -> list[str]:
    client = connect(uri)
    experiment = client.get_experiment_by_name(SPEC.name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return sorted(run.data.tags["key"] for run in runs if run.data.tags["kind"] == "replicate")


def processes() -> list[psutil.Process]:
    alive = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if "studies.tracking.follower" in process.cmdline()]


def test_what_a_running_study_reports_is_sent_and_the_driver_sends_the_rest_once(ledger: Ledger, tmp_path: Path) -> None:
    uri, patience = embedded_uri(tmp_path), Patience(embedded_uri(tmp_path))
    connect(uri).search_experiments()  # makes its tables, which takes a while

    def work() -> None:
        with suppress(GivenUpError):
            follow(ledger.path, uri, None, patience)

    following = threading.Thread(target=work)
    following.start()
    try:
        for sent in (1, 2):
            write(ledger, sent - 1)
            assert eventually(lambda sent=sent: len(replicates(uri)) == sent)  # type: ignore[misc]
    finally:
        patience.give_up()
        following.join(30)
    assert not following.is_alive()
    write(ledger, 2)
    assert MlflowMirror(ledger.path, SPEC, uri=uri, workdir=tmp_path).finish(complete=True) == ""
    assert replicates(uri) == sorted(trial.key for trial in ledger.trials())


def test_it_ends_when_it_is_told_and_its_command_line_holds_no_password(ledger: Ledger) -> None:
    following = Follower(ledger.path, "http://ada:secret@127.0.0.1:9/", None)
    following.start()
    [process] = processes()
    assert "secret" not in " ".join(process.cmdline())
    following.stop(60.0)
    assert not processes()


def test_one_that_was_killed_is_followed_by_another(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_LONGEST_PAUSE", 0.1)
    following = Follower(ledger.path, "http://127.0.0.1:9/", None)
    following.start()
    [first] = processes()
    first.kill()
    assert eventually(lambda: any(process.pid != first.pid for process in processes()))
    following.stop(60.0)
    assert eventually(lambda: not processes())


DRIVER = """
import os, sys, time
from pathlib import Path
from studies.tracking.follower import Follower
Follower(Path(sys.argv[1]), "http://127.0.0.1:9/", None).start()
print("started", flush=True)
time.sleep(600)
"""


def test_it_goes_with_a_driver_that_is_killed(ledger: Ledger) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(ledger.path)], env=env, stdout=subprocess.PIPE)
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"started\n"
    [process] = psutil.Process(driver.pid).children()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10.0)
