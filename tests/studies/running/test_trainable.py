from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from margin_core.training import Examples, Record
from studies.plan import screen_trials
from studies.running.trainable import TrialActor
from studies.running.trial_run import TrialSetting, encode
from tests.studies import builders

pytestmark = pytest.mark.ray


def actor(directory: Path, **changes: Any) -> TrialActor:
    """An actor at its first trial, outside Ray; it reports each epoch and saves a checkpoint after each."""
    directory.mkdir(exist_ok=True)
    setting: dict[str, Any] = {"study_seed": 0, "data_root": None, "threads": 1, "device": "cpu", "metric": "val_accuracy"}
    setting |= {"every_epoch": True, "keep_final": True, "checkpoint_seconds": 0.0, **changes}
    trial = screen_trials(builders.study(recipe={"epochs": 4}))[0]
    return TrialActor(config=encode(trial, TrialSetting(checkpoints=str(directory), **setting)))


def reports(trial: TrialActor, steps: int) -> list[dict[str, Any]]:
    rows = []
    for _ in range(steps):
        rows += trial.step()["rows"]
    return [{"epoch": row["epoch"], "metrics": row["metrics"]} for row in rows]


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_epochs_whose_reports_never_arrived_are_reported_again(tmp_path: Path, lost: int) -> None:
    whole = reports(actor(tmp_path / "whole"), 4)
    assert [row["epoch"] for row in whole] == [1, 2, 3, 4]
    reports(actor(tmp_path / "cut"), lost)  # checkpointed, and then the driver is gone
    again = actor(tmp_path / "cut")
    assert reports(again, max(1, 4 - lost)) == whole


@pytest.mark.parametrize("harm", ["torn", "gone"])
def test_where_the_last_checkpoint_is_broken_the_epochs_after_the_one_before_are_trained_again(tmp_path: Path, harm: str) -> None:
    whole = reports(actor(tmp_path / "whole"), 4)
    reports(actor(tmp_path / "cut"), 3)
    (last,) = (tmp_path / "cut").glob("*.pt")
    if harm == "torn":
        last.write_bytes(last.read_bytes()[:-100])
    else:  # the process was killed after it had put the former file aside
        last.unlink()
    again = actor(tmp_path / "cut")
    first = again.step()["rows"]
    assert [row["epoch"] for row in first] == [1, 2, 3]
    assert [{"epoch": row["epoch"], "metrics": row["metrics"]} for row in first] + reports(again, 1) == whole


@pytest.mark.parametrize("keep_final", [False, True])
def test_a_trial_that_ended_leaves_its_last_checkpoints_or_nothing(tmp_path: Path, keep_final: bool) -> None:
    reports(actor(tmp_path, keep_final=keep_final), 4)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == ([".before", ".json", ".pt"] if keep_final else [])


def test_a_checkpoint_without_its_reports_is_not_gone_on_from(tmp_path: Path) -> None:
    reports(actor(tmp_path), 3)
    for history in tmp_path.glob("*.json"):
        history.write_text("[")
    assert [row["epoch"] for row in reports(actor(tmp_path), 4)] == [1, 2, 3, 4]


def test_a_trial_that_cannot_save_its_checkpoint_goes_on_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = reports(actor(tmp_path / "whole"), 4)
    full = actor(tmp_path / "full")
    (tmp_path / "full").rmdir()
    (tmp_path / "full").write_text("a file, in which nothing can be saved")
    assert reports(full, 4) == whole
    assert "goes on without a checkpoint: " in caplog.text


def test_what_a_study_records_comes_with_the_reports_and_comes_again(tmp_path: Path) -> None:
    record = Record(train=True, top_k=(3,), first_steps=2, every_steps=9, class_counts=True)
    rows = actor(tmp_path, record=record).step()["rows"]
    assert [step["step"] for step in rows[0]["steps"]] == [1, 2, 9]
    for measured in (rows[0], *rows[0]["steps"]):
        assert {"val_accuracy", "val_top_3_accuracy", "train_accuracy", "train_top_3_accuracy"} < measured["metrics"].keys()
    again = actor(tmp_path, record=record).step()["rows"]
    assert again[0] == rows[0]
    assert [step["step"] for step in again[1]["steps"]] == [18]
    assert (len(rows[0]["class_counts"]), sum(rows[0]["class_counts"]), "class_counts" in again[1]) == (10, 1079, False)


def test_a_trial_that_runs_to_its_end_leaves_what_it_makes_of_each_test_example_and_another_does_not(tmp_path: Path) -> None:
    trained = actor(tmp_path, examples=str(tmp_path / "examples"))
    for _ in range(3):
        trained.step()
    assert not (tmp_path / "examples").exists()
    trained.step()
    [path] = (tmp_path / "examples").iterdir()
    assert path.name == f"{trained._planned.key}.npz"
    assert len(Examples.read(path).right) == 359
    again = actor(tmp_path, examples=str(tmp_path / "again"))  # its end did not reach the driver
    assert again.step()["status"] == "finished"
    assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
