"""Label noise: exact in amount, only in training, and nested over the levels of a dial."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from margin_core.data import DatasetConfig, Noise, prepare
from margin_core.data.label_noise import corrupt_labels, nearest_classes

NOISES: list[Noise] = ["symmetric", "nearest"]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.9])
def test_exactly_the_share_asked_for_is_wrong_in_training_and_nothing_elsewhere(noise: Noise, share: float) -> None:
    noisy = prepare(DatasetConfig("digits", share, noise), study_seed=0, replicate=2)
    clean = prepare(DatasetConfig("digits"), study_seed=0, replicate=2)
    assert int((noisy.train_y != clean.train_y).sum()) == round(share * len(clean.train_y))
    assert torch.equal(noisy.train_x, clean.train_x)
    assert torch.equal(noisy.val_y, clean.val_y)
    assert torch.equal(noisy.test()[1], clean.test()[1])


def test_the_dataset_itself_stays_clean() -> None:
    data = prepare(DatasetConfig("digits", 0.5), study_seed=0, replicate=0)
    before = data.dataset.labels.clone()
    prepare(DatasetConfig("digits", 0.9, "nearest"), study_seed=0, replicate=0)
    assert torch.equal(data.dataset.labels, before)


@pytest.mark.parametrize("noise", NOISES)
def test_what_is_wrong_at_a_low_level_is_wrong_in_the_same_way_at_a_higher_one(noise: Noise) -> None:
    clean, low, high = (prepare(DatasetConfig("digits", share, noise), study_seed=0, replicate=0).train_y for share in (0.0, 0.1, 0.4))
    wrong = low != clean
    assert torch.equal(high[wrong], low[wrong])


def test_symmetric_noise_spreads_evenly_over_the_other_classes() -> None:
    labels = torch.zeros(90_000, dtype=torch.int64)
    generator = np.random.default_rng(0)
    noisy = corrupt_labels(labels, torch.zeros(90_000, 1), num_classes=10, share=0.9, noise="symmetric", generator=generator)
    counts = torch.bincount(noisy, minlength=10)
    assert int(counts[0]) == 9_000
    # 81000 draws over 9 classes: 9000 each, with a standard deviation of 89.
    assert bool(((counts[1:] - 9_000).abs() < 450).all())


def test_nearest_noise_goes_to_the_class_of_the_nearest_training_centroid_only() -> None:
    noisy = prepare(DatasetConfig("digits", 0.6, "nearest"), study_seed=0, replicate=0)
    clean = prepare(DatasetConfig("digits"), study_seed=0, replicate=0).train_y
    pixels, labels = noisy.train_x.flatten(1).numpy(), clean.numpy()
    centroids = np.stack([pixels[labels == label].mean(axis=0) for label in range(10)])
    for label in range(10):
        distances = np.linalg.norm(centroids - centroids[label], axis=1)
        distances[label] = np.inf
        wrong = noisy.train_y[(clean == label) & (noisy.train_y != clean)]
        assert set(wrong.tolist()) == {int(distances.argmin())}


def test_the_nearest_class_is_never_the_class_itself() -> None:
    images = torch.tensor([[0.0], [1.0], [1.0], [9.0]])
    assert nearest_classes(images, torch.arange(4), 4).tolist() == [1, 2, 1, 1]


def wrong_places(study_seed: int, replicate: int) -> torch.Tensor:
    noisy = prepare(DatasetConfig("digits", 0.3), study_seed=study_seed, replicate=replicate)
    return torch.nonzero(noisy.train_y != noisy.dataset.labels[noisy.train_indices]).squeeze(1)


def test_equal_seeds_have_the_same_noise_and_each_replicate_and_study_its_own() -> None:
    assert torch.equal(wrong_places(0, 0), wrong_places(0, 0))
    for other in (wrong_places(0, 1), wrong_places(1, 0)):
        assert not torch.equal(wrong_places(0, 0), other)
