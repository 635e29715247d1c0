from __future__ import annotations

import fcntl
import json
import time
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from studies.cli import app
from studies.placement import ArrayPlace, Place, Placement, read_placement, write_placement
from studies.plan import screen_trials
from studies.workspace import study_files
from tests.studies import builders

PLACEMENT = Placement(
    [Place("screen-a-0", "node-1 10.0.0.1", 0.0, 1.0, 0.25), Place("screen-b-0", "", 1.0, 1.0, 0.25)], 2, {"GPU": 1.0}, {"GPU": 0.5}
)


def test_status_shows_where_trials_run_and_what_is_in_use_while_a_driver_runs_the_study(tmp_path: Path) -> None:
    spec = builders.study()
    files = study_files(tmp_path, spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        ledger.start(screen_trials(spec)[0])
    write_placement(files.directory, PLACEMENT)
    with (files.directory / "driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_placement(files) == PLACEMENT
        told = CliRunner().invoke(app, ["status", "--workdir", str(tmp_path)])
        data = json.loads(CliRunner().invoke(app, ["status", "--workdir", str(tmp_path), "--json"]).stdout)
    words = [line.split() for line in told.stdout.replace("│", " ").splitlines()]
    assert ["screen-a-0", "node-1", "10.0.0.1", "1", "0.25", time.strftime("%H:%M:%S", time.localtime(0.0))] in words
    assert ["screen-b-0", "starting", "1", "0.25", time.strftime("%H:%M:%S", time.localtime(1.0))] in words
    assert "in use on 2 nodes: 0.5 of 1 GPU" in told.stdout
    assert data["placement"]["trials"][0]["node"] == "node-1 10.0.0.1"


def test_status_shows_arrays_in_the_place_of_their_trials_and_how_full_they_were(tmp_path: Path) -> None:
    spec = builders.study()
    files = study_files(tmp_path, spec.name)
    files.directory.mkdir()
    builders.new_ledger(files.ledger, spec).close()
    arrays = [ArrayPlace(1, "node-1 10.0.0.1", 0.0, 30, 32, 1.0, 0.5), ArrayPlace(2, "", 1.0, 0, 32, 1.0, 0.5)]
    placement = replace(PLACEMENT, arrays=arrays, full=0.9731)
    write_placement(files.directory, placement)
    with (files.directory / "driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_placement(files) == placement
        told = CliRunner().invoke(app, ["status", "--workdir", str(tmp_path)]).stdout
        data = json.loads(CliRunner().invoke(app, ["status", "--workdir", str(tmp_path), "--json"]).stdout)
    words = [line.split() for line in told.replace("│", " ").splitlines()]
    since = [time.strftime("%H:%M:%S", time.localtime(at)) for at in (0.0, 1.0)]
    assert ["array", "1:", "30", "of", "32", "trials", "node-1", "10.0.0.1", "1", "0.5", since[0]] in words
    assert ["array", "2:", "0", "of", "32", "trials", "starting", "1", "0.5", since[1]] in words
    assert "the arrays' places were full for 97.3% of their time" in told and "screen-a-0" not in told
    assert data["placement"]["full"] == 0.9731


def test_where_no_driver_runs_the_study_what_one_wrote_means_nothing(tmp_path: Path) -> None:
    files = study_files(tmp_path, "small")
    files.directory.mkdir()
    assert read_placement(files) is None
    write_placement(files.directory, PLACEMENT)
    assert read_placement(files) is None
    (files.directory / "driver.lock").touch()
    assert read_placement(files) is None
