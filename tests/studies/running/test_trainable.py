from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from margin_core.training import Record
from studies.plan import screen_trials
from studies.running.trainable import TrialActor, TrialSetting, encode
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


def test_a_checkpoint_without_its_reports_is_not_gone_on_from(tmp_path: Path) -> None:
    reports(actor(tmp_path), 3)
    for history in tmp_path.glob("*.json"):
        history.write_text("[")
    assert [row["epoch"] for row in reports(actor(tmp_path), 4)] == [1, 2, 3, 4]


def test_what_a_study_records_comes_with_the_reports_and_comes_again(tmp_path: Path) -> None:
    record = Record(train=True, top_k=(3,), first_steps=2, every_steps=9)
    rows = actor(tmp_path, record=record).step()["rows"]
    assert [step["step"] for step in rows[0]["steps"]] == [1, 2, 9]
    for measured in (rows[0], *rows[0]["steps"]):
        assert {"val_accuracy", "val_top_3_accuracy", "train_accuracy", "train_top_3_accuracy"} < measured["metrics"].keys()
    again = actor(tmp_path, record=record).step()["rows"]
    assert again[0] == rows[0]
    assert [step["step"] for step in again[1]["steps"]] == [18]
