"""Fewer classes: the right ones, the same for every replicate, told without a look at test images."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import torch

from margin_core.data import Choice, Dataset, DatasetConfig, Imbalance, Superclasses, load_dataset, prepare
from margin_core.data.granularity import choose_classes, keep_classes
from margin_core.training import Cell, Recipe, Trial

CHOOSE: list[Choice] = ["first", "nearest", "farthest"]


def random_distances(seed: int) -> torch.Tensor:
    places = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.cdist(places, places)


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_are_the_nearest_and_the_farthest_pair(seed: int) -> None:
    distances = random_distances(seed)
    pairs = sorted(combinations(range(12), 2), key=lambda pair: float(distances[pair]))
    assert choose_classes(distances, 2, "nearest") == list(pairs[0])
    assert choose_classes(distances, 2, "farthest") == list(pairs[-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", range(3, 12))
def test_each_class_more_is_the_one_that_spreads_least_or_most(seed: int, number: int) -> None:
    distances = random_distances(seed)
    for choose in ("nearest", "farthest"):
        fewer, more = choose_classes(distances, number - 1, choose), choose_classes(distances, number, choose)
        (new,) = set(more) - set(fewer)
        others = [label for label in range(12) if label not in fewer]
        if choose == "nearest":
            assert new == min(others, key=lambda label: float(distances[fewer, label].max()))
        else:
            assert new == max(others, key=lambda label: float(distances[fewer, label].min()))


@pytest.mark.parametrize("choose", CHOOSE)
def test_among_equals_the_first_classes_are_taken_and_all_classes_are_all(choose: Choice) -> None:
    equal = torch.ones(6, 6).fill_diagonal_(0.0)
    assert choose_classes(equal, 3, choose) == [0, 1, 2]
    assert choose_classes(random_distances(0), 12, choose) == list(range(12))


@pytest.mark.parametrize("choose", CHOOSE)
def test_every_example_of_the_kept_classes_keeps_its_split(choose: Choice) -> None:
    whole = prepare(DatasetConfig("digits"), study_seed=0, replicate=1)
    few = prepare(DatasetConfig("digits", classes=4, choose=choose), study_seed=0, replicate=1)
    names = few.dataset.class_names
    assert few.num_classes == len(names) == 4
    kept = torch.tensor([int(name) for name in names])
    for (images, labels), (all_images, all_labels) in zip(
        [(few.train_x, few.train_y), (few.val_x, few.val_y), few.test()],
        [(whole.train_x, whole.train_y), (whole.val_x, whole.val_y), whole.test()],
        strict=True,
    ):
        chosen = torch.isin(all_labels, kept)
        assert torch.equal(images, all_images[chosen])
        assert torch.equal(kept[labels], all_labels[chosen])


@pytest.mark.parametrize("choose", CHOOSE)
def test_replicates_have_the_same_classes_and_fewer_are_among_more(choose: Choice) -> None:
    names = []
    for number in (2, 5, 10):
        kept = {
            prepare(DatasetConfig("digits", classes=number, choose=choose), study_seed=0, replicate=r).dataset.class_names for r in range(4)
        }
        assert len(kept) == 1
        names.append(set(*kept))
    assert all(fewer < more for fewer, more in pairwise(names))


def test_near_classes_are_nearer_than_far_ones_and_neither_are_the_first() -> None:
    near, far, first = (
        prepare(DatasetConfig("digits", classes=3, choose=c), study_seed=0, replicate=0) for c in ("nearest", "farthest", "first")
    )
    assert first.dataset.class_names == ("0", "1", "2")
    assert len({data.dataset.class_names for data in (near, far, first)}) == 3


def test_test_images_have_no_say() -> None:
    digits = load_dataset("digits")
    tests = torch.arange(0, 1797, 4)
    images = digits.images.clone()
    images[tests] = torch.nan
    for choose in CHOOSE:
        plain, _ = keep_classes(digits, tests, 4, choose)
        blind, places = keep_classes(replace(digits, images=images, test_indices=tests), tests, 4, choose)
        assert blind.class_names == plain.class_names
        assert blind.test_indices is not None
        assert torch.equal(blind.test_indices, places[tests][places[tests] >= 0])


def test_other_dials_act_on_the_classes_that_are_kept() -> None:
    imbalance = Imbalance("step", 4)
    data = prepare(DatasetConfig("digits", 0.1, "nearest", images_per_class=40, imbalance=imbalance, classes=4), study_seed=0, replicate=0)
    clean = data.dataset.labels[data.train_indices]
    assert torch.bincount(clean).tolist() == [40, 40, 10, 10]
    assert int((data.train_y != clean).sum()) == 10
    assert int(data.train_y.max()) <= 3


def test_a_model_has_as_many_outputs_as_classes_are_kept() -> None:
    cell = Cell(DatasetConfig("digits", classes=3, choose="nearest"), "mlp-50-20", "ldam", {}, {}, Recipe(epochs=1))
    trial = Trial(cell, study_seed=0, replicate=0)
    assert trial.model.head.weight.shape[0] == 3
    assert not trial.run_epoch().diverged


def test_what_cannot_be_chosen_is_named() -> None:
    with pytest.raises(ValueError, match="choose must be one of first, nearest, farthest, got 'last'"):
        choose_classes(torch.zeros(3, 3), 2, "last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"number must be in \[2, 3\], got 4"):
        choose_classes(torch.zeros(3, 3), 4, "first")
    with pytest.raises(ValueError, match="digits: classes must be at most 10, the number of its classes, got 11"):
        prepare(DatasetConfig("digits", classes=11), study_seed=0, replicate=0)


def test_superclasses_go_along_with_their_classes() -> None:
    images = torch.tensor([0.0, 10.0, 11.0, 30.0]).reshape(4, 1, 1, 1)
    dataset = Dataset(
        name="lines",
        images=images,
        labels=torch.arange(4),
        class_names=("a", "b", "c", "d"),
        superclasses=Superclasses(of_class=torch.tensor([2, 1, 0, 1]), names=("x", "y", "z")),
    )
    narrow, _ = keep_classes(dataset, torch.tensor([], dtype=torch.int64), 2, "nearest")
    assert narrow.class_names == ("b", "c")
    assert narrow.superclasses is not None
    assert narrow.superclasses.of_class.tolist() == [1, 0]
    assert narrow.superclasses.names == ("x", "y")
    assert narrow.groups is None
