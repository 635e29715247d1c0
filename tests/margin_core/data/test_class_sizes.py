"""Class sizes: the published ones, in training only, and nested over the levels of a dial."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from margin_core.data import DatasetConfig, Imbalance, ImbalanceKind, prepare
from margin_core.data.class_sizes import class_sizes, thin
from margin_core.losses.functional import ldam
from margin_core.training import Cell, Recipe, Trial
from tests import cifar10_sizes

KINDS: list[ImbalanceKind] = ["long_tailed", "step"]


def test_long_tailed_sizes_are_the_published_ones_of_cifar_10() -> None:
    """Cao et al. 2019, whose CIFAR-10 with 5000 images per class and a ratio of 100 has 12406 images."""
    sizes = Imbalance("long_tailed", 100).sizes(5000, 10)
    assert sizes == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert sum(sizes) == 12_406


@pytest.mark.parametrize(
    ("imbalance", "published"),
    [
        (Imbalance("long_tailed", 100), [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (Imbalance("long_tailed", 10), [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (Imbalance("step", 100), [5000] * 5 + [50] * 5),
        (Imbalance("step", 10), [5000] * 5 + [500] * 5),
    ],
    ids=["lt100", "lt10", "step100", "step10"],
)
def test_where_nothing_validates_cifar_10_trains_on_the_published_sizes_and_otherwise_on_four_fifths(
    imbalance: Imbalance, published: list[int], tmp_path: Path
) -> None:
    config = DatasetConfig("cifar10-sizes", imbalance=imbalance)
    with cifar10_sizes.installed(tmp_path):
        data, plain = (prepare(of, study_seed=0, replicate=1) for of in (replace(config, validation=0), config))
    assert torch.bincount(data.train_y).tolist() == published
    assert torch.equal(data.train_y, data.dataset.labels[data.train_indices])
    assert (len(data.val_indices), len(data.val_y), len(data.val_x)) == (0, 0, 0)
    assert torch.equal(data.test_indices, plain.test_indices)
    assert torch.bincount(plain.train_y).tolist() == imbalance.sizes(4000, 10)
    assert torch.bincount(plain.val_y).tolist() == [1000] * 10


@pytest.mark.parametrize("ratio", [5, 10, 20, 50, 100, 200])
@pytest.mark.parametrize(("largest", "num_classes"), [(5000, 10), (500, 100), (400, 100)])
def test_long_tailed_sizes_follow_the_published_formula(ratio: int, largest: int, num_classes: int) -> None:
    published = [int(largest * (1.0 / ratio) ** (i / (num_classes - 1.0))) for i in range(num_classes)]
    assert Imbalance("long_tailed", ratio).sizes(largest, num_classes) == published


def test_a_step_leaves_the_first_half_whole_and_the_rest_small() -> None:
    assert Imbalance("step", 100).sizes(5000, 10) == [5000] * 5 + [50] * 5
    assert Imbalance("step", 10).sizes(105, 3) == [105, 10, 10]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rarest", [1, 7, 49, 60])  # 49 * (1 / 49) < 1 in floating point
def test_a_ratio_of_the_rarest_class_size_leaves_one_example_and_a_greater_one_is_refused(kind: ImbalanceKind, rarest: int) -> None:
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([90, rarest, 70]))
    sizes = class_sizes(labels, num_classes=3, imbalance=Imbalance(kind, rarest))
    assert (sizes[0], sizes[-1]) == (rarest, 1)
    with pytest.raises(ValueError, match=rf"imbalance.ratio must be at most {rarest}, .* got {rarest + 1}"):
        class_sizes(labels, num_classes=3, imbalance=Imbalance(kind, rarest + 1))


def test_thinning_keeps_as_many_of_each_class_as_asked_for() -> None:
    labels = torch.arange(300) % 3
    chosen = thin(labels, [100, 7, 0], np.random.default_rng(0))
    assert torch.bincount(labels[chosen], minlength=3).tolist() == [100, 7, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_is_unequal_and_in_the_asked_for_sizes(kind: ImbalanceKind) -> None:
    imbalance = Imbalance(kind, 10)
    plain, unequal = (
        prepare(config, study_seed=0, replicate=2) for config in (DatasetConfig("digits"), DatasetConfig("digits", imbalance=imbalance))
    )
    rarest = int(torch.bincount(plain.train_y).min())
    assert torch.bincount(unequal.train_y).tolist() == imbalance.sizes(rarest, 10)
    assert set(unequal.train_indices.tolist()) < set(plain.train_indices.tolist())
    assert torch.equal(unequal.train_x, unequal.dataset.images[unequal.train_indices])
    assert torch.equal(unequal.val_indices, plain.val_indices)
    assert torch.equal(unequal.test_indices, plain.test_indices)


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_of_a_high_ratio_are_among_those_of_a_lower_one(kind: ImbalanceKind) -> None:
    configs = [DatasetConfig("digits", imbalance=Imbalance(kind, ratio)) for ratio in (1, 2, 7.5, 50)]
    chosen = [set(prepare(config, study_seed=0, replicate=0).train_indices.tolist()) for config in configs]
    assert all(higher < lower for lower, higher in pairwise(chosen))


def test_each_class_keeps_the_number_asked_for_and_fewer_are_among_more() -> None:
    chosen = []
    for number in (104, 20, 1):
        data = prepare(DatasetConfig("digits", images_per_class=number), study_seed=0, replicate=0)
        assert torch.bincount(data.train_y).tolist() == [number] * 10
        chosen.append(set(data.train_indices.tolist()))
    assert chosen[2] < chosen[1] < chosen[0]


def test_with_an_imbalance_the_largest_class_has_the_number_asked_for() -> None:
    imbalance = Imbalance("long_tailed", 10)
    data = prepare(DatasetConfig("digits", images_per_class=50, imbalance=imbalance), study_seed=0, replicate=0)
    assert torch.bincount(data.train_y).tolist() == imbalance.sizes(50, 10)
    whole = prepare(DatasetConfig("digits", imbalance=imbalance), study_seed=0, replicate=0)
    assert set(data.train_indices.tolist()) < set(whole.train_indices.tolist())


def test_equal_seeds_choose_the_same_examples_and_other_replicates_choose_others() -> None:
    config = DatasetConfig("digits", imbalance=Imbalance("long_tailed", 20))
    labels = prepare(DatasetConfig("digits"), study_seed=0, replicate=0).dataset.labels
    one, again, other = (prepare(config, study_seed=0, replicate=replicate).train_indices for replicate in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.bincount(labels[one]), torch.bincount(labels[other]))


def test_label_noise_is_a_share_of_the_examples_that_are_left() -> None:
    data = prepare(DatasetConfig("digits", 0.2, imbalance=Imbalance("long_tailed", 20)), study_seed=0, replicate=0)
    wrong = data.train_y != data.dataset.labels[data.train_indices]
    assert int(wrong.sum()) == round(0.2 * len(data.train_y))


def test_a_family_that_needs_class_counts_gets_those_that_are_trained_on() -> None:
    imbalance = Imbalance("long_tailed", 10)
    cell = Cell(DatasetConfig("digits", imbalance=imbalance), "mlp-50-20", "ldam", {"max_margin": 0.4}, {}, Recipe(epochs=1))
    trial = Trial(cell, study_seed=0, replicate=0)
    sizes = imbalance.sizes(int(torch.bincount(trial.data.train_y).max()), 10)
    cosines = torch.rand(50, 10, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    target = torch.arange(50) % 10
    expected = ldam(cosines, target, class_counts=sizes, max_margin=0.4).mean()
    torch.testing.assert_close(trial.loss(cosines, target), expected)


@pytest.mark.parametrize("ratio", [0.5, -1, float("nan"), float("inf"), True, "100"])
def test_a_ratio_out_of_range_is_named(ratio: float) -> None:
    with pytest.raises(ValueError, match="imbalance: ratio must be a number >= 1, got"):
        Imbalance("step", ratio)


def test_an_unknown_kind_and_unknown_keys_are_named() -> None:
    with pytest.raises(ValueError, match="imbalance: kind must be one of long_tailed, step, got 'steep'"):
        Imbalance("steep", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="imbalance: its keys must be kind, ratio, got kind, ratios"):
        Imbalance.from_dict({"kind": "step", "ratios": 2})
