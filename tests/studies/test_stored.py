from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from studies.plan import screen_trials
from studies.storage import Storage, StorageError
from studies.stored import collect, copy_ledger, fetch_ledger, ledger_kept, recorded_storage
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files
from tests.studies import builders

SPEC = builders.study()
TRIALS = screen_trials(SPEC)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage((tmp_path / "kept").as_uri(), SPEC.name)


def files(place: Path) -> StudyFiles:
    found = study_files(place, SPEC.name)
    found.directory.mkdir(parents=True)
    return found


def new_ledger(place: Path, trials: int, study_id: str = "one") -> StudyFiles:
    found = files(place)
    with builders.new_ledger(found.ledger, SPEC) as ledger:
        ledger.set_meta("study_id", study_id)
        builders.write_all(ledger, TRIALS[:trials], builders.accuracy)
    return found


def ended(found: StudyFiles) -> int:
    with Ledger(found.ledger, read_only=True) as ledger:
        return len(ledger.final_metrics())


def test_a_ledger_that_is_written_to_meanwhile_is_copied_as_it_is_at_one_moment(tmp_path: Path, storage: Storage) -> None:
    here = new_ledger(tmp_path / "here", 3)
    with closing(sqlite3.connect(here.ledger, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM epochs")  # not committed, hence not there
        copy_ledger(here.ledger, storage)
        writer.execute("ROLLBACK")
    there = study_files(tmp_path / "there", SPEC.name)
    assert fetch_ledger(there, storage)
    with Ledger(here.ledger, read_only=True) as one, Ledger(there.ledger, read_only=True) as other:
        assert one.rows() == other.rows()
        assert len(other.rows()) == 3


@pytest.mark.parametrize(("local", "kept", "fetched"), [(2, 3, True), (3, 3, False), (3, 2, False)])
def test_a_ledger_is_fetched_only_where_the_storage_has_more_of_it(
    tmp_path: Path, storage: Storage, local: int, kept: int, fetched: bool
) -> None:
    copy_ledger(new_ledger(tmp_path / "elsewhere", kept).ledger, storage)
    here = new_ledger(tmp_path / "here", local)
    assert fetch_ledger(here, storage) == fetched
    assert ended(here) == max(local, kept)
    replaced = here.ledger.with_name("ledger.sqlite.replaced")
    assert replaced.exists() == fetched
    if fetched:
        with Ledger(replaced, read_only=True) as ledger:
            assert len(ledger.final_metrics()) == local


def test_the_ledger_of_another_study_is_refused_and_nothing_is_replaced(tmp_path: Path, storage: Storage) -> None:
    copy_ledger(new_ledger(tmp_path / "elsewhere", 3, "another").ledger, storage)
    here = new_ledger(tmp_path / "here", 1)
    with pytest.raises(StorageError, match="holds another study of this name"):
        fetch_ledger(here, storage)
    assert ended(here) == 1


def test_the_storage_gets_the_ledger_now_and_then_and_at_the_end(tmp_path: Path, storage: Storage) -> None:
    here, there = new_ledger(tmp_path / "here", 1), study_files(tmp_path / "there", SPEC.name)
    moment = threading.Event()
    with ledger_kept(here, storage, seconds=0.01), Ledger(here.ledger) as ledger:
        while not fetch_ledger(there, storage):
            moment.wait(0.01)
        assert ended(there) == 1
        builders.write_all(ledger, TRIALS[1:4], builders.accuracy)
    assert fetch_ledger(there, storage)
    assert ended(there) == 4


def test_a_storage_that_does_not_take_the_last_copy_is_told(tmp_path: Path, storage: Storage) -> None:
    here = new_ledger(tmp_path / "here", 1)
    kept = ledger_kept(here, storage)
    kept.__enter__()
    (tmp_path / "kept").mkdir(exist_ok=True)
    (tmp_path / "kept" / SPEC.name).touch()
    with pytest.raises(StorageError, match=r"did not take the ledger .* resume sends it again"):
        kept.__exit__(None, None, None)


def test_a_study_knows_its_storage(tmp_path: Path) -> None:
    assert recorded_storage(study_files(tmp_path, SPEC.name)) is None
    here = new_ledger(tmp_path, 1)
    assert recorded_storage(here) is None
    with Ledger(here.ledger) as ledger:
        ledger.set_meta("storage", "s3://bucket/here")
    assert recorded_storage(here) == "s3://bucket/here"


@pytest.mark.parametrize("complete", [False, True])
def test_what_trials_left_comes_home_and_a_complete_study_leaves_the_checkpoints_to_keep(
    tmp_path: Path, storage: Storage, complete: bool
) -> None:
    here, sent = files(tmp_path / "here"), tmp_path / "sent"
    sent.write_text("contents")
    for name in ("checkpoints/confirm-a-0.pt", "checkpoints/confirm-b-0.pt", "examples/confirm-a-0.npz"):
        storage.put(sent, name)
    collect(here, storage, complete=complete, keep=["confirm-a-"])
    assert [file.name for file in here.examples.iterdir()] == ["confirm-a-0.npz"]
    assert storage.names("checkpoints") == ["confirm-a-0.pt"] + ([] if complete else ["confirm-b-0.pt"])
    assert (here.checkpoints / "confirm-a-0.pt").exists() == complete
