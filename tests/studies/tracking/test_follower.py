"""The process that shows a study in MLflow while it runs: a real one, ended, killed and left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from studies.plan import screen_trials
from studies.tracking.address import embedded_uri
from studies.tracking.asking import GivenUpError, Patience, connect
from studies.tracking.follower import Follower, follow
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import MlflowMirror
from tests.studies import builders

SPEC = builders.study(screen={"searcher": "sobol", "trials": 3, "seeds": 1}, confirm=None)
Caplog = pytest.LogCaptureFixture


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
    """Followers that this process has started and that have not ended."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            if "studies.tracking.follower" in process.cmdline():
                found.append(process)
    return found


def started() -> psutil.Process:
    assert eventually(lambda: len(processes()) == 1)
    return processes()[0]


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
    assert "secret" not in " ".join(started().cmdline())
    following.stop(60.0)
    assert not processes()


def test_trials_go_before_it(ledger: Ledger) -> None:
    follower = Follower(ledger.path, "http://127.0.0.1:9", None)
    follower.start()
    try:
        process = started()
        assert eventually(lambda: process.nice() == 19)
    finally:
        follower.stop(within=0.0)


def test_one_that_was_killed_is_followed_by_another(ledger: Ledger, caplog: Caplog) -> None:
    following = Follower(ledger.path, "http://127.0.0.1:9/", None)
    following.start()
    first = started()
    first.kill()
    assert eventually(lambda: any(process.pid != first.pid for process in processes()))
    following.stop(60.0)
    assert eventually(lambda: not processes())
    assert [record.message for record in caplog.records] == [
        "the process that shows the study in MLflow ended with status -9; the study goes on, and it is started again"
    ]


def test_one_that_cannot_be_started_is_told_and_holds_nothing_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: Caplog) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    following = Follower(ledger.path, "http://127.0.0.1:9/", None)
    following.start()
    assert eventually(lambda: "could not be started" in caplog.text)
    following.stop(60.0)


def test_a_study_that_cannot_be_finished_leaves_none_behind(ledger: Ledger, tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), MlflowMirror(ledger.path, SPEC, uri=embedded_uri(tmp_path), workdir=tmp_path):
        assert started().pid / 0
    assert eventually(lambda: not processes())


class Refusing(BaseHTTPRequestHandler):
    """A server that lets experiments be read, and nothing be searched."""

    def do_GET(self) -> None:
        self.answer(200, {"experiment": {"experiment_id": "1", "name": SPEC.name, "lifecycle_stage": "active", "tags": []}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.searched.set()  # type: ignore[attr-defined]
        self.answer(403, {"error_code": "PERMISSION_DENIED", "message": "no"})

    def answer(self, status: int, data: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_a_server_that_lets_nothing_be_searched_does_not_lock_the_ledger(ledger: Ledger) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.searched = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        patience = Patience(uri)

        def work() -> None:
            with suppress(GivenUpError):
                follow(ledger.path, uri, None, patience)

        following = threading.Thread(target=work)
        following.start()
        assert server.searched.wait(60)  # type: ignore[attr-defined]
        began = time.monotonic()
        write(ledger, 0)
        patience.give_up()
        following.join(60)
        server.shutdown()
    assert time.monotonic() - began < 20.0  # a lock is waited for through thirty seconds


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
    assert eventually(lambda: len(psutil.Process(driver.pid).children()) == 1)
    [process] = psutil.Process(driver.pid).children()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10.0)
