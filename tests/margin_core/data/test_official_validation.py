"""Official validation splits: they are kept through every dial, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest
import torch

from margin_core.data import SOURCES, Dataset, DatasetConfig, Imbalance, Prepared, check_dials, list_datasets, prepare
from margin_core.data.splits import official_split
from tests.margin_core.data.photo_copies import write_folder
from tests.margin_core.data.small_copies import small_copies

GROCERY = DatasetConfig("grocery", size=8, validation="official")
LEAVES = DatasetConfig("folder:leaves", size=8, validation="official")
TRAINED, VALIDATED = 162, 41


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root with a copy of Grocery Store, in which every other class has a validation photo."""
    with small_copies(tmp_path_factory.mktemp("copies"), "grocery") as root:
        yield root


def prepared(config: DatasetConfig, root: Path, replicate: int = 0) -> Prepared:
    return prepare(config, data_root=root, study_seed=0, replicate=replicate)


def val_places(dataset: Dataset) -> list[int]:
    assert dataset.val_indices is not None
    return dataset.val_indices.tolist()


def test_training_is_on_the_official_training_part_alone_and_the_default_draws_from_both(copies: Path) -> None:
    kept, drawn = prepared(GROCERY, copies), prepared(replace(GROCERY, validation=0.2), copies)
    assert kept.train_indices.tolist() == list(range(TRAINED))
    assert kept.val_indices.tolist() == list(range(TRAINED, TRAINED + VALIDATED))
    assert 0 < len(set(drawn.val_indices.tolist()) & set(range(TRAINED))) < len(drawn.val_indices)
    assert torch.equal(kept.test_indices, drawn.test_indices)


@pytest.mark.parametrize("level", ["superclasses", "groups"])
def test_merged_classes_validate_on_the_same_photos(copies: Path, level: str) -> None:
    plain, merged = prepared(GROCERY, copies), prepared(replace(GROCERY, merge=level), copies)  # type: ignore[arg-type]
    assert torch.equal(merged.val_indices, plain.val_indices)
    assert torch.equal(merged.val_y, getattr(plain.dataset, level).of_class[plain.val_y])


def test_a_part_of_a_dataset_and_chosen_classes_keep_their_photos_of_the_split(copies: Path) -> None:
    packages = prepared(replace(GROCERY, name="grocery_packages"), copies)
    assert packages.val_y.tolist() == list(range(0, 31, 2))[: len(packages.val_y)]
    few = prepared(replace(GROCERY, classes=3), copies)
    assert few.train_y.tolist() == [0, 0, 1, 1, 2, 2]
    assert few.val_y.tolist() == [0, 2]
    assert few.val_indices.tolist() == val_places(few.dataset) == [6, 7]


def test_dials_on_training_examples_leave_the_split_as_it_is(copies: Path) -> None:
    plain = prepared(GROCERY, copies)
    turned = prepared(replace(GROCERY, label_noise=0.5, images_per_class=2, imbalance=Imbalance("step", 2)), copies)
    assert len(turned.train_y) == 40 * 2 + 41
    assert torch.equal(turned.val_indices, plain.val_indices)
    assert torch.equal(turned.val_y, plain.val_y)


def test_pictures_of_the_split_are_changed_and_turned_within_it(copies: Path) -> None:
    plain = prepared(GROCERY, copies)
    turned = prepared(replace(GROCERY, deform=0.2, clutter=0.25, pretext="rotation"), copies)
    assert turned.val_indices.tolist() == val_places(turned.dataset)
    assert torch.equal(turned.dataset.images_of(turned.val_indices), plain.val_indices.repeat_interleave(4))
    assert not torch.equal(turned.val_x[::4], plain.val_x)


def test_without_an_official_test_split_a_fifth_of_the_others_tests_in_every_replicate() -> None:
    labels = torch.arange(130) % 5
    validation = torch.arange(100, 130)
    train, val, test = official_split(labels, validation, None, study_seed=0, test=0.2)
    assert torch.equal(val, validation)
    assert labels[test].bincount().tolist() == [4] * 5
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(100))
    assert not torch.equal(official_split(labels, validation, None, study_seed=1, test=0.2)[2], test)
    with pytest.raises(ValueError, match=r"test must be in \(0, 1\), got 1.0"):
        official_split(labels, validation, None, study_seed=0, test=1.0)


def test_a_folder_without_a_test_part_is_split_so(tmp_path: Path) -> None:
    write_folder(tmp_path)
    rmtree(tmp_path / "leaves" / "test")
    for replicate in (0, 1):
        data = prepared(LEAVES, tmp_path, replicate)
        assert data.val_y.tolist() == [0, 1, 2]
        assert (len(data.train_y), len(data.test_indices)) == (5, 1)


def test_classes_without_a_photo_in_the_training_or_in_the_validation_part_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path)
    leaves = tmp_path / "leaves"
    for label in (0, 1):
        rmtree(leaves / "val" / f"leaf {label}")
    with pytest.raises(ValueError, match="validation must be 0 or leave an example of the 2 classes, got 'official'"):
        prepared(replace(LEAVES, classes=2), tmp_path)
    write_folder(tmp_path / "other")
    rmtree(tmp_path / "other" / "leaves" / "train" / "leaf 1")
    (tmp_path / "other" / "leaves" / "train" / "leaf 1").mkdir()
    with pytest.raises(ValueError, match="class 1 has no example left to train on with the official validation split"):
        prepared(LEAVES, tmp_path / "other")


def test_no_example_validates_and_tests() -> None:
    images, labels, places = torch.zeros(3, 1, 1, 1), torch.arange(3), torch.arange(2)
    with pytest.raises(ValueError, match="lines: val_indices must hold no example that is among test_indices"):
        Dataset("lines", images, labels, ("a", "b", "c"), test_indices=places, val_indices=places + 1)


def test_it_is_refused_without_reading_where_the_declaration_tells_that_there_is_none() -> None:
    having = [source.name for source in SOURCES.ours.values() if source.official_validation]
    assert having == ["grocery", "grocery_packages", "grocery_produce", "fgvc_aircraft", "oxford_flowers"]
    for name in list_datasets():
        if "<" not in name and name not in having:
            with pytest.raises(ValueError, match=rf"^{name}: validation must be in \[0, 1\), for there is no official .*, got 'official'$"):
                check_dials(DatasetConfig(name, validation="official"))


def test_what_only_the_files_tell_is_refused_when_they_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    rmtree(tmp_path / "leaves" / "val")
    check_dials(LEAVES)
    with pytest.raises(ValueError, match=r"^folder:leaves: validation must be in \[0, 1\), for there is no official validation split"):
        prepared(LEAVES, tmp_path)
