"""Trials that learn how images are turned: what a network is shown, under which label, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from margin_core.data import DatasetConfig, load_dataset
from margin_core.data.pretext import turn
from margin_core.seeds import torch_generator
from margin_core.training import Cell, Examples, Recipe, Record, Trial, batches
from margin_core.training.augmentation import Augmentation
from margin_core.training.batches import Batches
from margin_core.training.processes import Processes
from tests.margin_core.data.photo_copies import write_folder

DIGITS = DatasetConfig("digits", pretext="rotation")
CELL = Cell(DIGITS, "mlp-30-20", "ce", {}, {}, Recipe(epochs=3, batch_size=128, lr=0.1))


def begin(cell: Cell = CELL, record: Record = Record()) -> Trial:  # noqa: B008
    return Trial(cell, study_seed=0, replicate=0, record=record)


def shown_to(trial: Trial) -> list[Tensor]:
    """A list into which all batches go that the network is given from now on."""
    seen: list[Tensor] = []
    trial.model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    return seen


def test_a_network_learns_how_digits_are_turned_and_is_measured_on_digits_of_its_own_in_all_turns() -> None:
    trial = begin()
    reports = [trial.run_epoch() for _ in range(3)]
    assert trial.class_counts == [1079] * 4
    assert reports[-1].metrics["val_accuracy"] > 75.0  # a guess is right in 25 of 100
    assert trial.evaluate("test")["test_accuracy"] > 75.0


def test_a_crop_and_a_flip_come_before_the_turn_so_that_every_label_is_right() -> None:
    recipe = dataclasses.replace(CELL.recipe, augment="crop_flip", batch_size=100)
    trial = begin(dataclasses.replace(CELL, recipe=recipe))
    seen = shown_to(trial)
    trial._train_epoch(Processes.joined(1))
    # The same by hand: upright pictures are cut and flipped, and only then turned as their labels say.
    order = torch.randperm(4 * 1079, generator=torch_generator(0, 0, "order", 0))
    upright = trial.data.dataset.images[trial.data.train_indices // 4]
    augment = Augmentation(
        "crop_flip", len(upright), black=float(upright.min()), generator=torch_generator(0, 0, "augment", 0), device="cpu"
    )
    expected = turn(augment(upright, torch.arange(len(upright))), trial.data.train_y)
    assert torch.equal(torch.cat(seen), expected[order])
    # The other way round would be wrong: a flip turns a quarter to the left into one to the right, mirrored.
    picture, quarter = upright[:1], torch.tensor([1])
    assert torch.equal(turn(picture, quarter).flip(3), turn(picture.flip(3), torch.tensor([3])))
    assert not torch.equal(turn(picture, quarter).flip(3), turn(picture.flip(3), quarter))


def test_evaluation_shows_each_image_in_its_four_turns_in_order() -> None:
    trial = begin()
    seen = shown_to(trial)
    for split, examples in (("val", trial.data.val_indices), ("test", trial.data.test_indices)):
        seen.clear()
        target = trial.predict(split).target  # type: ignore[arg-type]
        assert torch.equal(target, torch.arange(4).repeat(len(examples) // 4))
        images = load_dataset("digits").images[examples[::4] // 4]
        assert torch.equal(torch.cat(seen).unflatten(0, (-1, 4))[:, 3], images.rot90(3, dims=(2, 3)))


def test_what_is_recorded_of_examples_tells_the_turns_of_an_image_apart(tmp_path: Path) -> None:
    trial = begin(record=Record(samples=20))
    report = trial.run_epoch()
    assert sum(name.startswith("train_confidence_sample_") for name in report.metrics) == 20
    Examples.of(trial).write(tmp_path / "examples.npz")
    assert Examples.read(tmp_path / "examples.npz").places.tolist() == trial.data.test_indices.tolist()


def test_no_image_is_kept_four_times() -> None:
    trial = begin()
    assert trial.data.dataset.images is load_dataset("digits").images
    assert trial._train[0]._images is trial.data.dataset.images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_image_of_several_examples_is_sent_to_a_device_once() -> None:
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1)
    split = Batches(images, torch.tensor([5, 5, 2, 2]), torch.device("cuda"))
    assert len(split) == 4 and len(split._images) == 2
    assert [pictures.flatten().tolist() for _, pictures in split.batches(torch.arange(4), 3)] == [[5, 5, 2], [2]]


def test_images_of_several_examples_are_many_by_their_own_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    images = torch.zeros(6, 1, 1, 1, dtype=torch.uint8)
    assert not Batches(images, torch.tensor([5, 5, 2, 2]), torch.device("cpu")).many
    assert Batches(images, torch.tensor([5, 4, 2, 2]), torch.device("cpu")).many


def test_a_trial_on_photos_that_are_gathered_ahead_ends_as_one_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "cache"))
    write_folder(tmp_path)
    cell = dataclasses.replace(CELL, dataset=DatasetConfig("folder:leaves", size=8, pretext="rotation"))
    ends = []
    for at_once in (2**31, 0):
        monkeypatch.setattr(batches, "AT_ONCE", at_once)
        trial = Trial(cell, study_seed=0, replicate=0, data_root=tmp_path)
        assert trial._train[0].many == (at_once == 0)
        ends.append((trial.run_epoch().metrics, trial.evaluate("test")))
    assert ends[0] == ends[1]


def test_a_trial_goes_on_from_a_checkpoint_exactly(tmp_path: Path) -> None:
    whole, half = begin(), begin()
    half.run_epoch()
    half.save(tmp_path / "half.pt")
    again = begin()
    again.load(tmp_path / "half.pt")
    for _ in range(2):
        reported = again.run_epoch().metrics
    while not whole.done:
        expected = whole.run_epoch().metrics
    assert reported == expected


def test_a_frozen_backbone_is_not_asked_how_its_images_are_turned() -> None:
    with pytest.raises(ValueError, match=r"digits: pretext must be left out with a frozen backbone, .* got 'rotation'"):
        dataclasses.replace(CELL, backbone="frozen").check()


def test_cells_of_the_two_tasks_are_two_and_one_without_a_pretext_keeps_its_id() -> None:
    plain = dataclasses.replace(CELL, dataset=DatasetConfig("digits"))
    assert plain.cell_id == "ce-223ec34a8c"
    assert CELL.cell_id != plain.cell_id
    assert Cell.from_dict(CELL.to_dict()) == CELL
