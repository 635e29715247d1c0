"""The notes of what a store has: they name what is to be sent, one store's are not another's, and the store's own runs correct them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studies.plan import PlannedTrial, screen_trials
from studies.tracking.ledger import Ledger
from studies.tracking.page import RunsPage
from studies.tracking.sent import Note, Sent
from tests.studies import builders
from tests.studies.conftest import NewLedger

SPEC = builders.study()


@pytest.fixture
def ledger(new_ledger: NewLedger) -> Ledger:
    return new_ledger(SPEC)


@pytest.fixture
def trial() -> PlannedTrial:
    return screen_trials(SPEC)[0]


@pytest.fixture
def sent(ledger: Ledger) -> Iterator[Sent]:
    with Sent(ledger.path, "http://one") as notes:
        yield notes


def test_a_trial_is_pending_until_its_ending_was_sent(ledger: Ledger, sent: Sent, trial: PlannedTrial) -> None:
    assert sent.pending() == []
    ledger.start(trial)
    assert sent.pending() == [trial.key]
    sent.write(trial.key, Note("run", 0, "running"))
    assert sent.pending() == []
    ledger.report(trial.key, [builders.epoch(1, {"val_accuracy": 1.0})])
    assert sent.pending() == [trial.key]
    sent.write(trial.key, Note("run", 1, "running"))
    assert sent.pending() == []
    ledger.end(trial.key, "finished")
    assert sent.pending() == [trial.key]
    sent.write(trial.key, Note("run", 1, "finished"))
    assert sent.pending() == []


def test_notes_outlive_their_process_and_are_of_one_store(ledger: Ledger, sent: Sent, trial: PlannedTrial) -> None:
    builders.write(ledger, trial, {"val_accuracy": 1.0})
    sent.write(trial.key, Note("run", 1, "finished"))
    with Sent(ledger.path, "http://one") as again, Sent(ledger.path, "http://other") as other:
        assert (again.note(trial.key), again.pending()) == (Note("run", 1, "finished"), [])
        assert (other.note(trial.key), other.pending()) == (None, [trial.key])


def test_a_run_that_the_store_has_not_is_forgotten_and_one_that_was_never_noted_is_adopted(sent: Sent) -> None:
    for key in ("kept", "lost"):
        sent.write(key, Note(f"run of {key}", 3, "finished"))
    assert sent.adopt([("kept", "run of kept"), ("new", "run of new")]) == []
    assert sent.note("kept") == Note("run of kept", 3, "finished")
    assert sent.note("lost") is None
    assert sent.note("new") == Note("run of new", 0, "")


def test_of_several_runs_of_a_key_the_noted_one_stays_or_else_one(sent: Sent) -> None:
    sent.write("noted", Note("c", 3, "finished"))
    surplus = sent.adopt([("noted", "a"), ("noted", "c"), ("noted", "b"), ("new", "y"), ("new", "x")])
    assert sorted(surplus) == ["a", "b", "y"]
    assert (sent.note("noted"), sent.note("new")) == (Note("c", 3, "finished"), Note("x", 0, ""))
    assert sent.adopt([("noted", "c"), ("new", "x")]) == []


def test_the_store_that_a_ledger_was_last_sent_to_is_where_its_runs_are_shown(ledger: Ledger) -> None:
    assert RunsPage.of(ledger.path) is None
    for store in ("sqlite:////w/mlflow.db", "https://mlflow.example/team/"):
        with Sent(ledger.path, store) as notes:
            notes.write_experiment("7")
    assert RunsPage.of(ledger.path) == RunsPage("https://mlflow.example/team", "7", own=False)
    with Sent(ledger.path, "sqlite:////w/mlflow.db") as notes:
        notes.write_experiment("3")
    assert RunsPage.of(ledger.path) == RunsPage("http://127.0.0.1:5000", "3", own=True)
