"""The ledger: writing twice changes nothing, a killed writer loses nothing, and what cannot be read is told in one sentence."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from studies.plan import PlannedTrial, confirm_trials, screen_trials
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED, LedgerError, Status
from studies.tracking.schema import VERSION
from tests.studies.builders import STUDY, WITHOUT_SCREEN, epoch, study, write
from tests.studies.conftest import NewLedger


@pytest.fixture
def spec() -> StudySpec:
    return study()


@pytest.fixture
def ledger(new_ledger: NewLedger, spec: StudySpec) -> Ledger:
    return new_ledger(spec)


@pytest.fixture
def trial(spec: StudySpec) -> PlannedTrial:
    return screen_trials(spec)[0]


def status(ledger: Ledger, trial: PlannedTrial) -> tuple[Status, str, int]:
    (record,) = [record for record in ledger.trials() if record.key == trial.key]
    return record.status, record.reason, record.attempts


def test_a_trial_comes_back_as_it_was_written(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    (record,) = ledger.trials()
    assert (record.key, record.stage, record.cell_id) == (trial.key, "screen", trial.cell.cell_id)
    assert (record.dataset, record.family, record.seed, record.config) == ("digits", trial.cell.family, trial.replicate, trial.config)
    assert (record.status, record.reason, record.ended, record.attempts) == ("running", "", None, 1)
    assert ledger.cell(trial.cell.cell_id) == trial.cell.to_dict()


def test_a_trial_started_twice_is_one_trial_with_two_attempts(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    first = ledger.trials()[0].started
    ledger.start(trial)
    assert status(ledger, trial) == ("running", "", 2)
    assert [record.started for record in ledger.trials()] == [first]


def test_an_epoch_reported_twice_stays_as_it_was_first(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    ledger.report(trial.key, [epoch(1, {"val_accuracy": 90.0}), epoch(2, {"val_accuracy": 91.0})])
    ledger.report(trial.key, [epoch(2, {"val_accuracy": 0.0}), epoch(3, {"val_accuracy": 92.0})])
    assert [(row["epoch"], row["metrics"]["val_accuracy"]) for row in ledger.epochs(trial.key)] == [(1, 90.0), (2, 91.0), (3, 92.0)]
    assert [row["epoch"] for row in ledger.epochs(trial.key, after=2)] == [3]


def test_steps_are_kept_apart_from_epochs_and_come_with_theirs(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    rows = [
        {**epoch(number, {"val_accuracy": 90.0}), "steps": [{"step": step, "metrics": {"val_accuracy": float(step)}}]}
        for number, step in ((1, 7), (2, 14))
    ]
    ledger.report(trial.key, rows)
    ledger.report(trial.key, [{**rows[1], "steps": [{"step": 14, "metrics": {}}]}, epoch(3, {})])
    assert ledger.steps(trial.key) == [{"step": step, "epoch": step // 7, "metrics": {"val_accuracy": float(step)}} for step in (7, 14)]
    assert [row["step"] for row in ledger.steps(trial.key, after=1)] == [14]
    assert [row["epoch"] for row in ledger.epochs(trial.key)] == [1, 2, 3]


def test_class_counts_are_those_that_came_first(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    assert ledger.class_counts(trial.key) is None
    for counts in ([30, 3], [4, 40]):
        ledger.report(trial.key, [{**epoch(1, {}), "class_counts": counts}])
    assert ledger.class_counts(trial.key) == [30, 3]


def test_the_phase_at_which_a_trial_began_comes_with_its_first_epoch_and_is_copied_with_it(
    ledger: Ledger, trial: PlannedTrial, tmp_path: Path
) -> None:
    assert ledger.phase(trial.key) is None
    ledger.start(trial)
    assert ledger.phase(trial.key) == 0
    ledger.report(trial.key, [{**epoch(1, {}), "phase": 7}, epoch(2, {})])
    assert (ledger.phase(trial.key), ledger.trial(trial.key).phase) == (7, 7)
    with Ledger(tmp_path / "branch.sqlite") as branch:
        branch.copy_trials(ledger, [trial.key], "parent")
        assert branch.trial(trial.key).phase == 7


def test_the_test_split_chooses_nothing(ledger: Ledger, trial: PlannedTrial) -> None:
    write(ledger, trial, {"val_accuracy": 90.0, "test_accuracy": 91.0})
    with pytest.raises(ValueError, match="test_accuracy is measured on the test split, which never chooses"):
        ledger.screen_results("test_accuracy")


@pytest.mark.parametrize("first", ENDED)
@pytest.mark.parametrize("second", ENDED)
def test_the_first_ending_stands(ledger: Ledger, trial: PlannedTrial, first: Status, second: Status) -> None:
    ledger.start(trial)
    ledger.end(trial.key, first, "the first")
    ended = ledger.trials()[0].ended
    ledger.end(trial.key, second, "the second")
    assert status(ledger, trial) == (first, "the first", 1)
    assert ledger.trials()[0].ended == ended is not None


@pytest.mark.parametrize("ending", ENDED)
def test_a_trial_that_ended_is_not_started_again(ledger: Ledger, trial: PlannedTrial, ending: Status) -> None:
    ledger.start(trial)
    ledger.end(trial.key, ending, "why")
    ledger.start(trial)
    assert status(ledger, trial) == (ending, "why", 1)


def test_an_interrupted_trial_starts_again_and_may_then_end(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    ledger.interrupt_running()
    assert status(ledger, trial) == ("interrupted", "", 1)
    assert ledger.trials()[0].ended is None
    ledger.start(trial)
    assert status(ledger, trial) == ("running", "", 2)
    ledger.end(trial.key, "finished")
    ledger.interrupt_running()
    assert status(ledger, trial)[0] == "finished"


def test_a_cell_in_two_stages_and_seeds_is_written_once(ledger: Ledger, trial: PlannedTrial) -> None:
    for other in (trial, replace(trial, replicate=trial.replicate + 1), replace(trial, stage="confirm", replicate=0)):
        ledger.start(other)
    assert len(ledger.trials()) == 3
    assert [record.stage for record in ledger.trials("confirm")] == ["confirm"]
    assert len({record.cell_id for record in ledger.trials()}) == 1


def test_epochs_of_an_unknown_trial_are_refused_and_leave_nothing(ledger: Ledger, trial: PlannedTrial) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.report(trial.key, [epoch(1, {"val_accuracy": 1.0})])
    ledger.start(trial)
    assert ledger.epochs(trial.key) == []


def test_numbers_come_back_to_the_last_digit(ledger: Ledger, trial: PlannedTrial) -> None:
    metrics = {"third": 1 / 3, "tiny": 5e-324, "huge": 1.7976931348623157e308, "lost": math.nan, "far": -math.inf}
    write(ledger, trial, metrics)
    assert {name: repr(value) for name, value in ledger.epochs(trial.key)[0]["metrics"].items()} == {
        name: repr(value) for name, value in metrics.items()
    }


def test_rows_are_sorted_by_cell_seed_and_epoch_whatever_the_order_of_writing(new_ledger: NewLedger, spec: StudySpec) -> None:
    trials = [trial for first in screen_trials(spec)[:6] for trial in (first, replace(first, replicate=2000))]
    ledgers = [new_ledger(spec), new_ledger(spec)]
    for ledger, order in zip(ledgers, (trials, trials[::-1]), strict=True):
        for trial in order:
            ledger.start(trial)
        for trial in order:
            ledger.report(trial.key, [epoch(10, {"val_accuracy": 2.0}), epoch(9, {"val_accuracy": 1.0})])
    rows = ledgers[0].rows()
    assert rows == ledgers[1].rows()
    assert [row[:3] for row in rows] == sorted((trial.cell.cell_id, trial.replicate, number) for trial in trials for number in (9, 10))


def test_the_last_epoch_is_the_result_and_not_the_best(ledger: Ledger, trial: PlannedTrial) -> None:
    ledger.start(trial)
    ledger.report(trial.key, [epoch(number, {"val_accuracy": value}) for number, value in ((1, 80.0), (2, 99.0), (3, 91.0))])
    assert ledger.final_metrics().empty
    ledger.end(trial.key, "stopped", "by the scheduler")
    (row,) = ledger.final_metrics().to_dict("records")
    assert (row["key"], row["status"], row["epoch"], row["val_accuracy"], row["seconds"]) == (trial.key, "stopped", 3, 91.0, 6.0)


@pytest.mark.parametrize("lost", ["diverged", "failed"])
def test_the_metrics_of_a_lost_trial_are_hidden(ledger: Ledger, spec: StudySpec, lost: Status) -> None:
    good, bad, silent = screen_trials(spec)[:3]
    write(ledger, good, {"val_accuracy": 90.0})
    write(ledger, bad, {"val_accuracy": 99.0}, lost)
    ledger.start(silent)
    ledger.end(silent.key, "failed", "before its first epoch")
    table = ledger.final_metrics("screen").set_index("key")
    assert table["val_accuracy"].dropna().to_dict() == {good.key: 90.0}
    assert table["status"].to_dict() == {good.key: "finished", bad.key: lost, silent.key: "failed"}
    assert table["reason"][silent.key] == "before its first epoch"


def test_running_and_interrupted_trials_have_no_result(ledger: Ledger, spec: StudySpec) -> None:
    running, interrupted = screen_trials(spec)[:2]
    ledger.start(interrupted)
    ledger.interrupt_running()
    ledger.start(running)
    for trial in (running, interrupted):
        ledger.report(trial.key, [epoch(1, {"val_accuracy": 90.0})])
    assert ledger.final_metrics().empty
    assert [result.value for result in ledger.screen_results("val_accuracy")] == [None, None]


def test_an_empty_ledger_has_an_empty_table_with_its_columns(ledger: Ledger) -> None:
    table = ledger.final_metrics()
    assert len(table) == 0
    assert {"key", "stage", "cell_id", "dataset", "family", "seed", "status", "reason", "epoch", "seconds"} <= set(table.columns)
    assert ledger.screen_results("val_accuracy") == []
    assert ledger.rows() == []


def test_screen_results_are_means_over_the_seeds_that_ended_well(new_ledger: NewLedger) -> None:
    spec = study(screen={"searcher": "sobol", "trials": 3, "seeds": 3})
    ledger = new_ledger(spec)
    trials = screen_trials(spec)
    whole, partly, lost = (trials[3 * cell : 3 * cell + 3] for cell in range(3))
    for trial, value in zip(whole, (90.0, 91.0, 95.0), strict=True):
        write(ledger, trial, {"val_accuracy": value})
    write(ledger, partly[0], {"val_accuracy": 80.0})
    write(ledger, partly[1], {"val_accuracy": 10.0}, "diverged")
    for trial in lost:
        write(ledger, trial, {"val_accuracy": 10.0}, "failed")
    write(ledger, replace(whole[0], stage="confirm", replicate=0), {"val_accuracy": 0.0})
    results = {json.dumps(result.config, sort_keys=True): result for result in ledger.screen_results("val_accuracy")}
    values = [results[json.dumps(cell[0].config, sort_keys=True)].value for cell in (whole, partly, lost)]
    assert values == [92.0, 80.0, None]
    assert {result.dataset for result in results.values()} == {"digits"}
    assert {result.value for result in ledger.screen_results("val_nll")} == {None}


def test_facts_are_kept_and_replaced(ledger: Ledger) -> None:
    assert ledger.meta("colour") is None
    ledger.set_meta("colour", "red")
    ledger.set_meta("colour", "blue")
    assert ledger.meta("colour") == "blue"


def test_the_file_is_written_ahead_so_that_a_reader_never_waits(ledger: Ledger, trial: PlannedTrial) -> None:
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    writer = sqlite3.connect(ledger.path, isolation_level=None)
    ledger.start(trial)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE trials SET reason = 'half written'")
    with Ledger(ledger.path, read_only=True) as reader:
        assert [record.reason for record in reader.trials()] == [""]
    writer.execute("ROLLBACK")
    writer.close()


def test_a_reader_follows_a_writer_and_writes_nothing_itself(ledger: Ledger, spec: StudySpec) -> None:
    first, second = screen_trials(spec)[:2]
    with Ledger(ledger.path, read_only=True) as reader:
        write(ledger, first, {"val_accuracy": 90.0})
        assert [record.key for record in reader.trials()] == [first.key]
        write(ledger, second, {"val_accuracy": 91.0})
        assert len(reader.rows()) == 2
        with pytest.raises(LedgerError, match="readonly"):
            reader.start(second)


def test_a_full_disk_is_told_in_a_sentence_and_what_was_written_stays(ledger: Ledger, spec: StudySpec) -> None:
    first, second = screen_trials(spec)[:2]
    write(ledger, first, {"val_accuracy": 90.0})
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    ledger.start(second)
    with pytest.raises(LedgerError) as caught:
        ledger.report(second.key, [epoch(number, {"val_accuracy": 1.0 / number}) for number in range(1, 200)])
    assert str(caught.value) == (
        f"the ledger {ledger.path} cannot be written: database or disk is full; once it can be, the study goes on from it"
    )
    assert len(ledger.rows()) == 1
    ledger._connection.execute("PRAGMA max_page_count = 1000")
    write(ledger, second, {"val_accuracy": 91.0})
    assert [record.status for record in ledger.trials()] == ["finished", "finished"]


def test_a_ledger_opens_again_with_everything(new_ledger: NewLedger, spec: StudySpec, trial: PlannedTrial) -> None:
    ledger = new_ledger(spec)
    write(ledger, trial, {"val_accuracy": 90.0})
    rows = ledger.rows()
    ledger.close()
    for read_only in (True, False):
        with Ledger(ledger.path, read_only=read_only) as again:
            assert again.rows() == rows
            assert json.loads(again.meta("spec") or "") == spec.model_dump(mode="json")


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%41b", "Größe"])
def test_any_directory_name_will_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with Ledger(tmp_path / name / "ledger.sqlite") as ledger:
        ledger.set_meta("name", name)
    with Ledger(tmp_path / name / "ledger.sqlite", read_only=True) as reader:
        assert reader.meta("name") == name
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_ledger_of_another_release_is_told(ledger: Ledger) -> None:
    ledger.set_meta("schema_version", "99")
    ledger.close()
    for read_only in (True, False):
        with pytest.raises(LedgerError) as caught:
            Ledger(ledger.path, read_only=read_only)
        assert str(caught.value) == f"the ledger {ledger.path} has schema version 99, and this release reads 1 to {VERSION}"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database at all\n" * 100)
    with pytest.raises(LedgerError) as caught:
        Ledger(path, read_only=read_only)
    assert str(caught.value) == f"the ledger {path} cannot be opened: file is not a database"
    assert path.read_text().startswith("not a database")


def test_another_programs_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    for read_only in (True, False):
        with pytest.raises(LedgerError) as caught:
            Ledger(path, read_only=read_only)
        assert str(caught.value) == f"the ledger {path} cannot be opened: no such table: meta"


def test_a_ledger_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(LedgerError) as caught:
        Ledger(path, read_only=True)
    assert str(caught.value) == f"there is no ledger at {path}"
    assert not path.exists()


def test_an_unknown_cell_is_told(ledger: Ledger) -> None:
    with pytest.raises(LedgerError) as caught:
        ledger.cell("gds-0000000000")
    assert str(caught.value) == f"the ledger {ledger.path} has no cell 'gds-0000000000'"


def test_a_trial_is_found_by_its_key(ledger: Ledger, spec: StudySpec) -> None:
    for trial in screen_trials(spec)[:2]:
        ledger.start(trial)
    assert [ledger.trial(record.key) for record in ledger.trials()] == ledger.trials()
    with pytest.raises(LedgerError) as caught:
        ledger.trial("screen-gds-0000000000-0")
    assert str(caught.value) == f"the ledger {ledger.path} has no trial 'screen-gds-0000000000-0'"


WRITER = """
import json, sys
from pathlib import Path
from studies.plan import confirm_trials
from studies.spec import study_from
from studies.tracking.ledger import Ledger

spec = study_from(json.loads(sys.argv[2]))
with Ledger(Path(sys.argv[1])) as ledger:
    for trial in confirm_trials(spec):
        ledger.start(trial)
        print("start", trial.key, flush=True)
        for epoch in range(1, 4):
            metrics = {"val_accuracy": trial.replicate + epoch / 7}
            ledger.report(trial.key, [{"epoch": epoch, "at": 0.0, "seconds": 0.1, "metrics": metrics}])
            print("epoch", trial.key, epoch, flush=True)
        ledger.end(trial.key, "finished")
        print("end", trial.key, flush=True)
print("all", flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_committed(tmp_path: Path) -> None:
    data = {**STUDY, **WITHOUT_SCREEN, "confirm": {**STUDY["confirm"], "seeds": 1000}}
    path = tmp_path / "ledger.sqlite"
    command = [sys.executable, "-c", WRITER, str(path), json.dumps(data)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        said += [line for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL
    assert "all\n" not in said
    words = [line.split() for line in said]
    with Ledger(path, read_only=True) as reader:
        assert {key for kind, key, *_ in words if kind == "start"} <= {record.key for record in reader.trials()}
    with Ledger(path) as ledger:
        records = {record.key: record.status for record in ledger.trials()}
        epochs = {(key, row["epoch"]) for key in records for row in ledger.epochs(key)}
        assert {(key, int(rest[0])) for kind, key, *rest in words if kind == "epoch"} <= epochs
        assert {records[key] for kind, key, *_ in words if kind == "end"} == {"finished"}
        # The trial that was cut short goes on from here.
        ledger.interrupt_running()
        plan = confirm_trials(study(**data))
        missing = [trial for trial in plan if records.get(trial.key) != "finished"]
        write(ledger, missing[0], {"val_accuracy": 1.0})
        assert status(ledger, missing[0])[0] == "finished"
