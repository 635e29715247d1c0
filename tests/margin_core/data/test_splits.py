"""Splits: who trains, who chooses, who is kept for the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from margin_core.data import DatasetConfig, prepare
from margin_core.data.splits import split, stratified_choice

SEEDS = [(study_seed, replicate) for study_seed in (0, 7) for replicate in range(5)]


@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=8), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_a_stratified_choice_is_exact_in_total_and_within_one_example_in_each_class(counts: list[int], share: float, seed: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    chosen = stratified_choice(labels, share, np.random.default_rng(seed))
    assert int(chosen.sum()) == round(share * len(labels))
    for label, count in enumerate(counts):
        assert abs(int(chosen[labels == label].sum()) - share * count) < 1.0 + 1e-9


@pytest.mark.parametrize(("study_seed", "replicate"), SEEDS)
def test_every_example_of_digits_has_one_place_and_each_place_its_share_of_every_class(study_seed: int, replicate: int) -> None:
    data = prepare(DatasetConfig("digits"), study_seed=study_seed, replicate=replicate)
    places = torch.cat([data.train_indices, data.val_indices, data.test_indices])
    assert torch.equal(places.sort().values, torch.arange(1797))
    counts = torch.bincount(data.dataset.labels)
    for indices in (data.val_indices, data.test_indices):
        chosen = torch.bincount(data.dataset.labels[indices], minlength=10)
        assert bool(((chosen - 0.2 * counts).abs() <= 1.0).all())


def test_the_test_examples_are_the_same_in_every_replicate_and_never_train_or_validate() -> None:
    replicates = [prepare(DatasetConfig("digits"), study_seed=3, replicate=replicate) for replicate in range(6)]
    first = set(replicates[0].test_indices.tolist())
    for data in replicates:
        assert set(data.test_indices.tolist()) == first
        assert first.isdisjoint(data.train_indices.tolist())
        assert first.isdisjoint(data.val_indices.tolist())


def test_replicates_differ_in_validation_and_studies_differ_in_test() -> None:
    one, other = (prepare(DatasetConfig("digits"), study_seed=0, replicate=replicate) for replicate in (0, 1))
    assert not torch.equal(one.val_indices, other.val_indices)
    elsewhere = prepare(DatasetConfig("digits"), study_seed=1, replicate=0)
    assert not torch.equal(one.test_indices, elsewhere.test_indices)


def test_an_official_test_split_is_kept_and_validation_is_a_share_of_the_rest() -> None:
    labels = torch.arange(100) % 5
    train, val, test = split(labels, torch.arange(80, 100), study_seed=0, replicate=0, validation=0.25, test=0.9)
    assert test.tolist() == list(range(80, 100))
    assert len(val) == 20
    assert len(train) == 60


def test_where_nothing_validates_every_example_that_does_not_test_trains() -> None:
    plain, whole = (
        prepare(config, study_seed=0, replicate=0) for config in (DatasetConfig("digits"), DatasetConfig("digits", validation=0))
    )
    assert len(whole.val_indices) == len(whole.val_y) == 0
    assert torch.equal(whole.test_indices, plain.test_indices)
    assert torch.equal(whole.train_indices, torch.cat([plain.train_indices, plain.val_indices]).sort().values)


def test_what_is_prepared_is_what_the_indices_say() -> None:
    data = prepare(DatasetConfig("digits"), study_seed=0, replicate=0)
    test_x, test_y = data.test()
    for images, labels, indices in (
        (data.train_x, data.train_y, data.train_indices),
        (data.val_x, data.val_y, data.val_indices),
        (test_x, test_y, data.test_indices),
    ):
        assert torch.equal(images, data.dataset.images[indices])
        assert torch.equal(labels, data.dataset.labels[indices])


def test_a_share_that_leaves_no_example_of_the_chosen_classes_is_refused() -> None:
    config = DatasetConfig("digits", classes=2, choose="farthest", validation=0.0006)
    with pytest.raises(ValueError, match=r"validation must be 0 or leave an example of the 2 classes, got 0.0006"):
        prepare(config, study_seed=0, replicate=0)


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (0.0001, 0.2, "validation must be 0 or choose at least one of 1438 examples, got 0.0001"),
        (0.2, 1.0, r"test must be in \(0, 1\), got 1.0"),
        (0.6, 0.4, r"validation \+ test must be < 1, got 0.6 \+ 0.4"),
    ],
)
def test_a_share_out_of_range_is_named(validation: float, test: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(DatasetConfig("digits", validation=validation), study_seed=0, replicate=0, test=test)


def test_a_class_without_an_example_to_train_on_is_named() -> None:
    labels = torch.tensor([0] * 20 + [1])
    with pytest.raises(ValueError, match="class 1 has no example left to train on"):
        split(labels, torch.tensor([20]), study_seed=0, replicate=0, validation=0.2, test=0.2)


@given(others=st.lists(st.integers(1, 6), max_size=40), seed=st.integers(0, 5))
def test_the_only_example_of_a_class_trains(others: list[int], seed: int) -> None:
    counts = [6, 6, 6, *others]  # enough for one to validate
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    train, val, test = split(labels, None, study_seed=seed, replicate=0, validation=0.2, test=0.2)
    assert torch.equal(torch.cat([train, val, test]).sort().values, torch.arange(len(labels)))
    assert set(labels[train].tolist()) == set(range(len(counts)))
    assert all(counts[label] > 1 for label in labels[torch.cat([val, test])].tolist())
