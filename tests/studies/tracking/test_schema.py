"""Ledgers of earlier releases, as they wrote them, with the verdicts and exports that they wrote beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from studies.answer import open_answer
from studies.claim import recorded_study
from studies.cli import app
from studies.export import ExportedTrial, export_study
from studies.reporting.report import render_report
from studies.study import write_results
from studies.tracking.ledger import Ledger
from studies.tracking.records import LedgerError
from studies.tracking.schema import VERSION
from studies.workspace import StudyFiles
from tests.studies import builders

STORED = builders.STORED
ALL = sorted(entry.name for entry in STORED.iterdir())

Load = Callable[[str], StudyFiles]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Makes the study of a stored ledger, in a work directory of its own."""

    return lambda name: builders.stored_study(name, tmp_path)


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """For each table its columns."""
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    connection.close()
    return found


def test_every_version_but_the_present_one_is_stored() -> None:
    assert {int(name.split("-")[1]) for name in ALL} >= set(range(1, VERSION))


@pytest.mark.parametrize("name", ALL)
def test_an_old_ledger_has_the_verdicts_that_were_written_beside_it(load: Load, name: str) -> None:
    files = load(name)
    found = open_answer(files.directory)
    write_results(found, files)
    assert files.verdicts.read_text() == (STORED / name / "verdicts.json").read_text()
    assert "<svg" in render_report(found)
    assert found.counts["trials"].sum() >= 14


@pytest.mark.parametrize("name", ALL)
def test_an_old_ledger_is_exported_as_it_was(load: Load, name: str) -> None:
    # The stored files are those of earlier releases, which left out what had its default and knew nothing of the first epoch.
    stored = {path.parent.name: read_trial(path) for path in (STORED / name).glob("*/config.yaml")}
    exported = {dataset: read_trial(path / "config.yaml") for dataset, path in export_study(load(name), data_root=None).items()}
    assert {dataset: replace(trial, first_epoch={}) for dataset, trial in exported.items()} == stored
    assert {dataset: trial.cell.cell_id for dataset, trial in exported.items()} == {
        dataset: trial.cell.cell_id for dataset, trial in stored.items()
    }
    assert stored and all(trial.first_epoch for trial in exported.values())


def read_trial(path: Path) -> ExportedTrial:
    return ExportedTrial.from_dict(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", ALL)
def test_reading_an_old_ledger_leaves_it_as_it_is(load: Load, name: str) -> None:
    files = load(name)
    before = hashlib.sha256(files.ledger.read_bytes()).hexdigest()
    status = CliRunner().invoke(app, ["status", "--workdir", str(files.directory.parent), "--json"])
    assert status.exit_code == 0
    assert sum(row["trials"] for row in json.loads(status.stdout)["trials"]) >= 14
    with Ledger(files.ledger, read_only=True) as ledger:
        key = ledger.trials("confirm")[0].key
        assert (ledger.steps(key), ledger.class_counts(key), ledger.changes()) == ([], None, [])
        with pytest.raises(LedgerError, match="readonly"):
            ledger.end(key, "failed")
    assert hashlib.sha256(files.ledger.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("name", ALL)
def test_an_old_ledger_that_is_gone_on_with_has_the_tables_of_a_new_one_and_its_own_rows(load: Load, name: str, tmp_path: Path) -> None:
    files = load(name)
    Ledger(tmp_path / "new.sqlite").close()
    with Ledger(files.ledger, read_only=True) as old:
        rows, trials = old.rows(), old.trials()
    with Ledger(files.ledger) as ledger:
        assert ledger.meta("schema_version") == str(VERSION)
        assert (ledger.rows(), ledger.trials()) == (rows, trials)
        ledger.report(
            trials[0].key, [{"epoch": 1, "at": 0.0, "seconds": 0.0, "metrics": {}, "steps": [{"step": 9, "metrics": {"a": 1.0}}]}]
        )
        assert ledger.steps(trials[0].key) == [{"step": 9, "epoch": 1, "metrics": {"a": 1.0}}]
    assert tables(files.ledger) == tables(tmp_path / "new.sqlite")


@pytest.mark.parametrize("name", ALL)
def test_what_a_searcher_suggested_before_there_was_a_table_for_it_is_told_by_the_order_of_its_trials(load: Load, name: str) -> None:
    with Ledger(load(name).ledger, read_only=True) as ledger:
        order: dict[str, list[object]] = {}
        for trial in ledger.trials("screen"):
            order.setdefault(trial.dataset, []).append(trial.config)
        assert ledger.suggestions() == (order if recorded_study(ledger).screen.searcher == "tpe" else {})  # type: ignore[union-attr]
        assert sum(map(len, order.values())) == 12


def test_a_copy_of_an_old_ledger_is_upgraded_whole_or_not_at_all(load: Load, tmp_path: Path) -> None:
    files = load("version-1")
    connection = sqlite3.connect(files.ledger)
    connection.execute("CREATE TABLE changes (number INTEGER)")  # in the way of the last step
    connection.close()
    shutil.copy(files.ledger, tmp_path / "before.sqlite")
    with pytest.raises(ValueError, match="already exists"):
        Ledger(files.ledger)
    assert tables(files.ledger) == tables(tmp_path / "before.sqlite")
