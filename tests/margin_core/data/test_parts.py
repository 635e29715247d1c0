"""Parts of a dataset: two topologies of one source as named datasets, and classes merged into coarser ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from margin_core.data import Dataset, DatasetConfig, Imbalance, Superclasses, check_dataset, load_dataset, prepare
from margin_core.data.parts import merge, restrict
from tests.margin_core.data.small_copies import CIFAR100_COARSE, GROCERY_COARSE, small_copies


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root with a small copy of every dataset in files."""
    with small_copies(tmp_path_factory.mktemp("copies")) as root:
        yield root


@pytest.mark.parametrize(
    ("whole", "parts"), [("cifar10", ("cifar10_animals", "cifar10_vehicles")), ("grocery", ("grocery_packages", "grocery_produce"))]
)
def test_the_two_parts_of_a_dataset_share_out_its_classes_images_and_test_split(copies: Path, whole: str, parts: tuple[str, str]) -> None:
    dataset = load_dataset(whole, copies)
    named = torch.tensor([dataset.class_names.index(name) for part in parts for name in load_dataset(part, copies).class_names])
    assert sorted(named.tolist()) == list(range(dataset.num_classes))
    assert dataset.test_indices is not None
    tested = 0
    for name in parts:
        part = load_dataset(name, copies)
        classes = torch.tensor([dataset.class_names.index(name) for name in part.class_names])
        assert torch.equal(classes, classes.sort().values)
        kept = torch.isin(dataset.labels, classes)
        assert torch.equal(part.images, dataset.images[kept])
        assert torch.equal(classes[part.labels], dataset.labels[kept])
        assert part.test_indices is not None
        assert torch.equal(part.images[part.test_indices], dataset.images[dataset.test_indices[kept[dataset.test_indices]]])
        tested += len(part.test_indices)
    assert tested == len(dataset.test_indices)


def test_packages_and_produce_keep_their_own_superclasses(copies: Path) -> None:
    packages, produce = load_dataset("grocery_packages", copies), load_dataset("grocery_produce", copies)
    assert packages.superclasses is not None and produce.superclasses is not None and produce.groups is not None
    assert packages.superclasses.names == tuple(f"Superclass-{label:02d}" for label in range(19, 28))
    assert produce.groups.names == ("Fruit", "Vegetables")
    assert packages.groups is None


def test_files_that_a_part_lacks_are_told_with_its_name_and_how_the_whole_is_had(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^cifar10_animals: cifar10: data_batch_1, .* not found in .*CIFAR10\(root"):
        check_dataset("cifar10_animals", tmp_path)


def test_cifar100_merged_into_superclasses_has_20_classes_of_five_each(copies: Path) -> None:
    data = prepare(DatasetConfig("cifar100", merge="superclasses"), data_root=copies, study_seed=0, replicate=0)
    fine = load_dataset("cifar100", copies).labels
    assert data.num_classes == 20
    assert torch.equal(data.dataset.labels, torch.tensor(CIFAR100_COARSE)[fine])
    assert data.dataset.superclasses is None


def test_grocery_merged_into_superclasses_keeps_the_groups_and_merged_into_groups_has_three_classes(copies: Path) -> None:
    grocery = load_dataset("grocery", copies)
    coarse, coarsest = merge(grocery, "superclasses"), merge(grocery, "groups")
    assert grocery.groups is not None and coarse.groups is not None
    assert coarse.groups.of_class.tolist() == [0] * 19 + [1] * 9 + [2] * 15
    assert torch.equal(coarse.groups.of_class[coarse.labels], grocery.groups.of_class[grocery.labels])
    assert coarse.labels.tolist() == torch.tensor(GROCERY_COARSE)[grocery.labels].tolist()
    assert coarsest.class_names == ("Fruit", "Packages", "Vegetables")
    assert torch.equal(coarsest.labels, grocery.groups.of_class[grocery.labels])


def test_groups_are_dropped_where_a_superclass_spans_two() -> None:
    kinds = Superclasses(torch.tensor([0, 0, 1]), ("x", "y"))
    places = Superclasses(torch.tensor([0, 1, 1]), ("here", "there"))
    dataset = Dataset("lines", torch.zeros(3, 1, 1, 1), torch.arange(3), ("a", "b", "c"), superclasses=kinds, groups=places)
    assert merge(dataset, "superclasses").groups is None


def test_other_dials_act_on_the_merged_classes(copies: Path) -> None:
    config = DatasetConfig("cifar100", 0.25, merge="superclasses", classes=4, images_per_class=8, imbalance=Imbalance("step", 2))
    data = prepare(config, data_root=copies, study_seed=0, replicate=0)
    clean = data.dataset.labels[data.train_indices]
    assert data.dataset.class_names == ("aquatic_mammals", "fish", "flowers", "food_containers")
    assert clean.bincount().tolist() == [8, 8, 4, 4]
    assert int((data.train_y != clean).sum()) == 6
    assert int(data.val_y.max()) == 3


def test_the_classes_that_are_kept_can_come_in_any_order() -> None:
    dataset = Dataset(
        "lines",
        torch.arange(4.0).reshape(4, 1, 1, 1),
        torch.arange(4),
        ("a", "b", "c", "d"),
        test_indices=torch.tensor([1, 3]),
        val_indices=torch.tensor([2, 0]),
    )
    part, places = restrict(dataset, [3, 0])
    assert part.class_names == ("d", "a")
    assert part.labels.tolist() == [1, 0]
    assert places.tolist() == [0, -1, -1, 1]
    assert part.test_indices is not None and part.test_indices.tolist() == [1]
    assert part.val_indices is not None and part.val_indices.tolist() == [0]


def test_a_level_that_is_not_there_is_named() -> None:
    digits = load_dataset("digits")
    with pytest.raises(ValueError, match="digits: merge must be left out, for there are no groups to merge its classes into"):
        merge(digits, "groups")
    with pytest.raises(ValueError, match="digits: merge must be one of superclasses, groups, got 'kinds'"):
        merge(digits, "kinds")  # type: ignore[arg-type]
