"""Paths of knobs and of the learning rate: what they train, and that going on from another trial's checkpoint is training the path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.training import Cell, CheckpointError, Recipe, Setting, Trial


def path(start: float, *then: tuple[float, float]) -> Schedule:
    return Schedule("path", start, then=then)


def trial(family: str, knobs: dict[str, Setting], lr: float | Schedule = 0.1, weight: float | Schedule = 0.1, **recipe: object) -> Trial:
    settings = {"epochs": 6, "batch_size": 128, "momentum": 0.9, "ema": 0.9, "warm_up": 1, **recipe}
    cell = Cell(DatasetConfig("digits"), "mlp-16", family, knobs, {"sample_margin": weight}, Recipe(lr=lr, **settings))  # type: ignore[arg-type]
    return Trial(cell, study_seed=3, replicate=1)


def states(trial: Trial) -> dict[str, torch.Tensor]:
    return {**trial.model.state_dict(prefix="model."), **trial.loss.state_dict(prefix="loss.")}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_going_on_from_the_trial_of_a_shorter_path_is_training_the_longer_one_to_the_last_bit(optimizer: str, tmp_path: Path) -> None:
    first = trial("gds", {"lam": 0.5}, optimizer=optimizer)
    for _ in range(2):
        first.run_epoch()
    first.save(tmp_path / "first.pt")
    second = trial("gds", {"lam": path(0.5, (2 / 6, 1.5))}, path(0.1, (2 / 6, 0.05)), optimizer=optimizer)
    second.load(tmp_path / "first.pt", cell_id=first.cell.cell_id)
    for _ in range(2):
        second.run_epoch()
    second.save(tmp_path / "second.pt")
    longer = {"lam": path(0.5, (2 / 6, 1.5), (4 / 6, 1.0))}
    third = trial("gds", longer, path(0.1, (2 / 6, 0.05)), path(0.1, (4 / 6, 0.3)), optimizer=optimizer)
    third.load(tmp_path / "second.pt", cell_id=second.cell.cell_id)
    whole = trial("gds", longer, path(0.1, (2 / 6, 0.05)), path(0.1, (4 / 6, 0.3)), optimizer=optimizer)
    reports = [whole.run_epoch().metrics for _ in range(6)]
    assert [third.run_epoch().metrics for _ in range(2)] == reports[4:]
    mine, theirs = states(third), states(whole)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert [report["knob.lam"] for report in reports] == [0.5, 0.5, 1.5, 1.5, 1.0, 1.0]
    assert [third.knobs_after(epoch * third.steps_per_epoch)["knob.lam"] for epoch in (1, 3, 5)] == [0.5, 1.5, 1.0]


def test_a_scale_that_was_trained_stays_when_a_trial_goes_on_after_its_ratio_has_jumped(tmp_path: Path) -> None:
    knobs: dict[str, Setting] = {"eta": 0.1, "ratio": path(10.0, (1 / 6, 4.0))}
    straight = trial("two_scale", knobs)
    for _ in range(3):
        straight.run_epoch()
    straight.save(tmp_path / "trial.pt")
    again = trial("two_scale", knobs)
    again.load(tmp_path / "trial.pt")
    assert again.run_epoch().metrics == straight.run_epoch().metrics


def test_a_checkpoint_of_another_cell_is_taken_only_when_that_cell_is_named(tmp_path: Path) -> None:
    first = trial("gds", {"lam": 0.5})
    first.run_epoch()
    first.save(tmp_path / "first.pt")
    with pytest.raises(CheckpointError, match="is of another trial"):
        trial("gds", {"lam": 1.0}).load(tmp_path / "first.pt")


def test_a_learning_rate_along_a_path_is_what_the_schedule_takes_its_part_of() -> None:
    recipe = Recipe(epochs=4, lr=path(0.2, (0.5, 0.8)))
    plain = Recipe(epochs=4, lr=0.2)
    for progress in (0.0, 0.3, 0.49):
        assert recipe.learning_rate(progress) == plain.learning_rate(progress)
    for progress in (0.5, 0.7, 1.0):
        assert recipe.learning_rate(progress) == pytest.approx(4.0 * plain.learning_rate(progress))


def test_a_cell_with_paths_is_written_and_read_and_has_a_name_of_its_own() -> None:
    cell = trial("gds", {"lam": path(0.5, (0.5, 1.5))}, path(0.1, (0.5, 0.05))).cell
    assert Cell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell
    others = [trial("gds", {"lam": 0.5}).cell, trial("gds", {"lam": path(0.5, (0.25, 1.5))}, path(0.1, (0.5, 0.05))).cell]
    assert len({cell.cell_id, *(other.cell_id for other in others)}) == 3


@pytest.mark.parametrize(
    ("lr", "sentence"),
    [(path(0.1, (0.5, 0.0)), "lr must be > 0"), (Schedule("linear", 0.1, 0.2), "lr must be > 0"), (-1.0, "lr must be > 0, got -1.0")],
)
def test_a_learning_rate_that_is_no_number_above_0_and_no_path_of_such_is_refused(lr: float | Schedule, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Recipe(epochs=4, lr=lr)


def test_every_value_of_a_path_is_checked_and_whole_numbers_may_jump() -> None:
    with pytest.raises(ValueError, match=r"gds: lam must be >= 0, got -1\.0"):
        trial("gds", {"lam": path(0.5, (0.5, -1.0))})
    assert trial("l_softmax", {"m": path(1.0, (0.5, 2.0))}).run_epoch().epoch == 1
