"""Trials of an array on their way, in this process: each does what it does alone, and one that raises raises for itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Trial
from studies.plan import PlannedTrial, Stage
from studies.running.array_run import ArrayRun
from studies.running.progress import Progress
from studies.running.trial_run import TrialRun, TrialSetting


def planned(family: str = "ce", *, stage: Stage = "screen", replicate: int = 0, model: str = "mlp-8", **recipe: Any) -> PlannedTrial:
    cell = Cell(DatasetConfig("digits"), model, family, {}, {}, Recipe(**{"epochs": 3, "batch_size": 100, **recipe}))
    return PlannedTrial(stage, cell, {}, replicate)


@pytest.fixture
def setting(tmp_path: Path) -> TrialSetting:
    setting = TrialSetting(0, str(tmp_path), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=True, keep_final=True)
    return replace(setting, checkpoint_seconds=0.0)


def losses(progress: Progress) -> list[float]:
    return [row["metrics"]["train_loss"] for row in progress.rows]


def alone(trial: PlannedTrial, setting: TrialSetting, folder: Path, phase: int = 0) -> list[float]:
    folder.mkdir()
    run = TrialRun(trial, replace(setting, checkpoints=str(folder)), phase=phase)
    found = []
    while not found or not run.trial.done:
        found += losses(run.advance())
    return found


def test_a_trial_reports_and_ends_as_it_does_alone(setting: TrialSetting, tmp_path: Path) -> None:
    trials = {"a": planned("ce"), "b": planned("gds"), "c": planned("cos_face", epochs=1)}
    array = ArrayRun(setting)
    assert [array.begin(trial_id, trial) for trial_id, trial in trials.items()] == [None] * 3
    answers = [array.advance() for _ in range(3)]
    assert [sorted(answer) for answer in answers] == [["a", "b", "c"], ["a", "b"], ["a", "b"]]
    assert answers[0]["c"].status == "finished"
    assert [answer["a"].status for answer in answers] == ["running", "running", "finished"]
    assert len(array) == 0
    for trial_id, trial in trials.items():
        mine = [loss for answer in answers if trial_id in answer for loss in losses(answer[trial_id])]
        assert mine == pytest.approx(alone(trial, setting, tmp_path / trial_id), rel=1e-4)


def test_a_trial_that_takes_a_free_place_begins_where_the_others_are_in_the_screen_alone(setting: TrialSetting, tmp_path: Path) -> None:
    array = ArrayRun(setting)
    array.begin("first", planned(epochs=4))
    array.advance()
    array.advance()
    array.begin("screened", planned("gds"))
    array.begin("confirmed", planned("gds", stage="confirm"))
    array.begin("other", planned("gds", replicate=1))
    rows = {trial_id: progress.rows[0] for trial_id, progress in array.advance().items()}
    assert [rows[name].get("phase", 0) for name in ("screened", "confirmed", "other")] == [2, 0, 0]
    replayed = Trial(planned("gds").cell, study_seed=0, replicate=0, phase=2).run_epoch()
    assert rows["screened"]["metrics"]["train_loss"] == pytest.approx(replayed.metrics["train_loss"], rel=1e-4)


def test_with_orders_of_their_own_all_trials_begin_at_the_beginning(setting: TrialSetting, tmp_path: Path) -> None:
    array = ArrayRun(replace(setting, own_order=True))
    array.begin("first", planned(epochs=4))
    array.advance()
    array.begin("screened", planned("gds"))
    row = array.advance()["screened"].rows[0]
    assert "phase" not in row
    assert [row["metrics"]["train_loss"]] == pytest.approx(alone(planned("gds"), setting, tmp_path / "alone")[:1], rel=1e-4)


def test_trials_whose_process_is_gone_go_on_from_their_checkpoints_at_their_own_phases(setting: TrialSetting) -> None:
    array = ArrayRun(setting)
    array.begin("old", planned(epochs=5))
    array.advance()
    array.begin("late", planned("gds", epochs=5))
    told = [array.advance() for _ in range(2)]
    again = ArrayRun(setting)
    again.begin("late again", planned("gds", epochs=5), 1)
    again.begin("old again", planned(epochs=5), 0)
    answer = again.advance()
    assert [row["epoch"] for row in answer["old again"].rows] == [1, 2, 3, 4]
    late = answer["late again"].rows
    assert [row["epoch"] for row in late] == [1, 2, 3]
    assert late[0] == told[0]["late"].rows[0]
    assert late[0]["phase"] == 1


def test_one_that_cannot_be_opened_fails_alone(setting: TrialSetting) -> None:
    array = ArrayRun(setting)
    missing = replace(planned(), cell=replace(planned().cell, dataset=DatasetConfig("mnist")))
    assert array.begin("good", planned()) is None
    failed = array.begin("bad", missing)
    assert failed is not None and (failed.status, failed.cause) == ("failed", "data")
    assert {trial_id: progress.status for trial_id, progress in array.advance().items()} == {"good": "running"}


def test_one_whose_end_was_not_told_is_told_of_without_training(setting: TrialSetting) -> None:
    array = ArrayRun(setting)
    array.begin("a", planned(epochs=1))
    assert array.advance()["a"].status == "finished"
    again = array.begin("a again", planned(epochs=1))
    assert again is not None and (again.status, [row["epoch"] for row in again.rows]) == ("finished", [1])
    assert array.advance() == {}


def test_where_an_epoch_raises_each_goes_on_from_its_checkpoint_by_itself_and_they_are_together_again(setting: TrialSetting) -> None:
    array = ArrayRun(setting)
    array.begin("a", planned(epochs=4))
    array.begin("b", planned("gds", epochs=4))
    array.advance()
    for trial in list(array._array):
        while not trial.done:  # behind the array's back, so that it raises
            trial.run_epoch()
        break
    answer = array.advance()
    assert [[row["epoch"] for row in answer[name].rows] for name in ("a", "b")] == [[1, 2], [1, 2]]
    assert len(array) == len(list(array._array)) == 2
    assert {progress.status for progress in (array.advance() and array.advance()).values()} == {"finished"}


def test_trials_that_leave_in_order_lose_nothing(setting: TrialSetting) -> None:
    seldom = replace(setting, checkpoint_seconds=3600.0)
    array = ArrayRun(seldom)
    array.begin("a", planned())
    array.begin("b", planned("gds"))
    for _ in range(2):
        array.advance()
    array.drop("b")
    array.leave()
    again = ArrayRun(seldom)
    again.begin("a", planned())
    assert [row["epoch"] for row in again.advance()["a"].rows] == [1, 2, 3]
