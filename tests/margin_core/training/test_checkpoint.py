"""Checkpoints: a trial that is continued is the trial that never stopped, and no other file is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.training import Cell, CheckpointError, Recipe, Setting, Trial, checkpoint_files
from margin_core.training.checkpoint import write_checkpoint

FAMILIES: dict[str, dict[str, Setting]] = {
    "ce": {},
    "gds": {"lam": 1.0},
    "two_scale": {"eta": 0.1},
    "arc_face": {"s": 16.0, "m": 0.1},
    "norm_face": {"s": Schedule("cosine", 8.0, 32.0)},
    "gradient_decay": {"beta": Schedule("linear", 1.0, 0.1, 0.7), "tau": 1.0},
}


def make(family: str = "ce", optimizer: str = "sgd", *, study_seed: int = 0, replicate: int = 0, model: str = "mlp-50-20") -> Trial:
    recipe = Recipe(epochs=6, batch_size=64, optimizer=optimizer, lr=0.05 if optimizer == "sgd" else 0.003, weight_decay=1e-3)  # type: ignore[arg-type]
    regularizers: dict[str, float | Schedule] = {"sample_margin": 0.2, "zero_centroid": Schedule("cosine", 0.0, 1.0)}
    cell = Cell(DatasetConfig("digits", 0.1), model, family, FAMILIES[family], regularizers, recipe)
    return Trial(cell, study_seed=study_seed, replicate=replicate)


def states(trial: Trial) -> dict[str, torch.Tensor]:
    return {**trial.model.state_dict(prefix="model."), **trial.loss.state_dict(prefix="loss.")}


def saved_twice(path: Path) -> dict[str, torch.Tensor]:
    """Save a trial after its first epoch and after its second; its states at the first."""
    trial = make()
    trial.run_epoch()
    trial.save(path)
    first = {key: value.clone() for key, value in states(trial).items()}
    trial.run_epoch()
    trial.save(path)
    return first


def assert_equal_bitwise(one: Trial, other: Trial) -> None:
    first, second = states(one), states(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("family", FAMILIES)
def test_three_epochs_saved_and_three_more_are_six_epochs_to_the_last_bit(family: str, optimizer: str, tmp_path: Path) -> None:
    straight = make(family, optimizer)
    expected = [straight.run_epoch().metrics for _ in range(6)]
    stopped = make(family, optimizer)
    measured = [stopped.run_epoch().metrics for _ in range(3)]
    stopped.save(tmp_path / "trial.pt")
    continued = make(family, optimizer)
    continued.load(tmp_path / "trial.pt")
    assert continued.epoch == 3
    assert_equal_bitwise(continued, stopped)
    assert continued.evaluate("test") == stopped.evaluate("test")
    measured += [continued.run_epoch().metrics for _ in range(3)]
    assert measured == expected
    assert continued.done
    assert_equal_bitwise(continued, straight)


def test_a_network_with_batch_norm_and_dropout_continues_to_the_last_bit(tmp_path: Path) -> None:
    trials = [make(model="timm:test_resnet") for _ in range(2)]
    for trial in trials:
        trial.model.backbone = torch.nn.Sequential(trial.model.backbone, torch.nn.Dropout(0.5))
    straight, continued = trials
    straight.run_epoch()
    straight.save(tmp_path / "trial.pt")
    torch.manual_seed(99)
    continued.load(tmp_path / "trial.pt")
    assert straight.run_epoch().metrics == continued.run_epoch().metrics
    assert_equal_bitwise(straight, continued)


def test_a_trial_saved_before_its_first_epoch_starts_from_the_beginning(tmp_path: Path) -> None:
    make("gradient_decay").save(tmp_path / "trial.pt")
    continued, fresh = make("gradient_decay"), make("gradient_decay")
    continued.load(tmp_path / "trial.pt")
    assert continued.run_epoch().metrics == fresh.run_epoch().metrics


def test_a_trial_that_diverged_stays_done(tmp_path: Path) -> None:
    cell = Cell(DatasetConfig("digits"), "mlp-50-20", "ce", {}, {}, Recipe(epochs=9, lr=1e30))
    diverged = Trial(cell, study_seed=0, replicate=0)
    while not diverged.done:
        diverged.run_epoch()
    diverged.save(tmp_path / "trial.pt")
    loaded = Trial(cell, study_seed=0, replicate=0)
    loaded.load(tmp_path / "trial.pt")
    assert loaded.done
    assert loaded.epoch == diverged.epoch < 9


def test_a_checkpoint_of_another_trial_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    trial = make()
    trial.run_epoch()
    trial.save(tmp_path / "trial.pt")
    for other, name in ((make("gds"), "cell_id"), (make(study_seed=1), "study_seed"), (make(replicate=1), "replicate")):
        before = {key: value.clone() for key, value in states(other).items()}
        with pytest.raises(CheckpointError, match=f"is of another trial: its {name} is .*, this trial's is"):
            other.load(tmp_path / "trial.pt")
        assert other.epoch == 0
        assert all(torch.equal(value, before[key]) for key, value in states(other).items())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    make().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="is not a whole checkpoint") as caught:
        make().load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0.0, 0.001, 0.3, 0.6, 0.95, 1.0])
def test_a_file_with_one_bit_turned_is_refused(place: float, tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    make().save(path)
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is not a whole checkpoint: its contents are not those that were written"):
        make().load(path)


@pytest.mark.parametrize("harm", ["torn", "turned", "gone"])
def test_where_the_last_checkpoint_is_broken_the_one_before_it_is_gone_on_from(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    first = saved_twice(path)
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if harm == "torn" else data[:-9] + bytes([data[-9] ^ 8]) + data[-8:])
    continued = make()
    continued.load(path)
    assert continued.epoch == 1
    assert all(torch.equal(value, first[key]) for key, value in states(continued).items())
    continued.run_epoch()
    continued.save(path)
    assert path.read_bytes() == data
    assert sorted(tmp_path.iterdir()) == sorted(checkpoint_files(path))


def test_where_both_checkpoints_are_broken_the_last_one_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    saved_twice(path)
    for file in checkpoint_files(path):
        file.write_bytes(b"nothing")
    with pytest.raises(CheckpointError) as caught:
        make().load(path)
    assert str(caught.value) == f"{path} is not a whole checkpoint: its contents are not those that were written"


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a checkpoint")
    weights = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(3)}, weights)
    for path in (text, weights):
        with pytest.raises(CheckpointError, match=f"{path.name} is not a"):
            make().load(path)


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make().load(tmp_path / "nothing.pt")


def test_a_save_that_fails_leaves_the_former_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "trial.pt"
    trial = make()
    trial.save(path)
    former = path.read_bytes()
    with pytest.raises(Exception, match=r"pickle|local object"):
        write_checkpoint(path, {"epoch": lambda: 0})  # type: ignore[typeddict-item, typeddict-unknown-key]
    assert path.read_bytes() == former
    assert list(path.parent.iterdir()) == [path]
    trial.run_epoch()
    trial.save(path)
    assert path.read_bytes() != former
