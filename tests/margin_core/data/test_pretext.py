"""Rotation as a pretext: the right turns, images that keep their split, labels of the dataset's own that count for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.transforms import functional as tv

from margin_core.data import DatasetConfig, Imbalance, load_dataset, prepare
from margin_core.data.pretext import rotation_task, turn, turned_examples
from tests.margin_core.data.small_copies import small_copies

ROTATION = DatasetConfig("digits", pretext="rotation")


def test_turns_are_torchvisions_against_the_clock() -> None:
    pictures = torch.randint(0, 256, (8, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    turns = torch.tensor([0, 1, 2, 3, 3, 1, 0, 2])
    for picture, number, ours in zip(pictures, turns.tolist(), turn(pictures, turns), strict=True):
        assert torch.equal(ours, tv.rotate(picture, 90.0 * number))


def test_a_mark_above_the_middle_goes_to_the_left_then_below_then_to_the_right() -> None:
    picture = torch.zeros(1, 1, 3, 3)
    picture[0, 0, 0, 1] = 1.0
    seen = turn(picture.expand(4, 1, 3, 3), torch.arange(4))
    assert [divmod(int(place), 3) for place in seen.flatten(1).argmax(dim=1)] == [(0, 1), (1, 0), (2, 1), (1, 2)]


@pytest.mark.parametrize("replicate", [0, 1])
def test_every_image_is_in_its_own_split_in_all_four_turns_and_its_label_is_the_turn(replicate: int) -> None:
    plain, turned = (prepare(c, study_seed=0, replicate=replicate) for c in (DatasetConfig("digits"), ROTATION))
    assert turned.num_classes == 4
    assert turned.in_shape == plain.in_shape
    assert turned.dataset.images is plain.dataset.images
    assert turned.dataset.superclasses is turned.dataset.groups is None
    pairs = [
        ((plain.train_x, plain.train_indices), (turned.train_x, turned.train_y, turned.train_indices)),
        ((plain.val_x, plain.val_indices), (turned.val_x, turned.val_y, turned.val_indices)),
        ((plain.test()[0], plain.test_indices), (*turned.test(), turned.test_indices)),
    ]
    for (images, places), (pictures, labels, examples) in pairs:
        assert torch.equal(turned.dataset.images_of(examples), places.repeat_interleave(4))
        assert torch.equal(labels, torch.arange(4).repeat(len(places)))
        assert torch.equal(labels, turned.dataset.labels[examples])
        for number in range(4):
            assert torch.equal(pictures[number::4], images.rot90(number, dims=(2, 3)))
    everyone = torch.cat([turned.train_indices, turned.val_indices, turned.test_indices])
    assert torch.equal(everyone.sort().values, torch.arange(4 * 1797))


def test_an_official_test_split_tests_in_all_four_turns_and_bytes_stay_bytes(tmp_path: Path) -> None:
    with small_copies(tmp_path, "cifar10"):
        plain = load_dataset("cifar10", tmp_path)
        turned = prepare(DatasetConfig("cifar10", pretext="rotation"), data_root=tmp_path, study_seed=0, replicate=0)
    assert plain.test_indices is not None
    assert turned.dataset.test_indices is not None
    assert torch.equal(turned.dataset.test_indices, turned_examples(plain.test_indices))
    assert torch.equal(turned.test_indices, turned.dataset.test_indices)
    assert turned.train_x.dtype == torch.uint8
    assert (turned.dataset.mean, turned.dataset.std) == (plain.mean, plain.std)


def test_the_dataset_s_own_labels_count_for_nothing() -> None:
    digits = load_dataset("digits")
    other = replace(digits, labels=digits.labels.flip(0), class_names=tuple("abcdefghij"))
    one, same = rotation_task(digits), rotation_task(other)
    assert torch.equal(one.labels, same.labels)
    assert one.class_names == same.class_names == ("0 degrees", "90 degrees", "180 degrees", "270 degrees")


def test_pictures_are_deformed_and_cluttered_before_they_are_turned() -> None:
    config = DatasetConfig("digits", deform=0.2, clutter=0.25)
    plain, turned = (prepare(c, study_seed=0, replicate=0) for c in (config, replace(config, pretext="rotation")))
    assert torch.equal(turned.train_x[1::4], plain.train_x.rot90(1, dims=(2, 3)))


@pytest.mark.parametrize(
    ("dial", "value"),
    [("label_noise", 0.1), ("imbalance", Imbalance("step", 2)), ("images_per_class", 5), ("classes", 4), ("merge", "superclasses")],
)
def test_dials_on_classes_are_refused(dial: str, value: object) -> None:
    with pytest.raises(ValueError) as refused:
        DatasetConfig("digits", pretext="rotation", **{dial: value})  # type: ignore[arg-type]
    said = str(refused.value)
    assert said == f"digits: {dial} must be left out with a pretext, for which the dataset's classes do not count, got {value!r}"


def test_other_pretexts_images_that_are_not_square_and_datasets_with_a_task_are_refused() -> None:
    with pytest.raises(ValueError, match="digits: pretext must be one of rotation, got 'jigsaw'"):
        DatasetConfig("digits", pretext="jigsaw")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="points: pretext must be left out, for images of 8x10 pixels are not square, got 'rotation'"):
        prepare(DatasetConfig("points", pretext="rotation"), study_seed=0, replicate=0)


def test_a_config_without_the_dial_is_written_as_before() -> None:
    assert "pretext" not in DatasetConfig("digits").to_dict()
    assert ROTATION.to_dict() == {**DatasetConfig("digits").to_dict(), "pretext": "rotation"}
