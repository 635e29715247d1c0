from __future__ import annotations

import pytest

from margin_core.data import DatasetConfig, prepare
from margin_core.topology import class_sizes, comparable, describe_dataset, matched_examples


def test_a_dataset_is_described_by_its_training_examples_alone() -> None:
    fingerprint = describe_dataset(DatasetConfig("digits"), model="mlp-50-20", weights="random", halves=2)
    assert (fingerprint.classes, fingerprint.features) == (10, 20)
    assert fingerprint.examples <= len(prepare(DatasetConfig("digits"), study_seed=0, replicate=0).train_y)
    assert fingerprint.estimates["pose_sensitivity"].value > 0.0
    assert fingerprint.estimates["frame_sensitivity"].error > 0.0


def test_the_label_noise_dial_is_seen() -> None:
    clean, noisy = (
        describe_dataset(DatasetConfig("digits", label_noise=noise), model="mlp-50-20", weights="random", halves=0).estimates["label_noise"]
        for noise in (0.0, 0.3)
    )
    assert noisy.value - clean.value == pytest.approx(0.3, abs=0.1)


def test_samples_of_two_datasets_are_equally_large() -> None:
    datasets = [DatasetConfig("digits"), DatasetConfig("digits", classes=4)]
    classes, per_class = comparable([class_sizes(prepare(config, study_seed=0, replicate=0)) for config in datasets])
    assert classes == 4
    for config in datasets:
        told = describe_dataset(config, model="mlp-50-20", weights="random", classes=classes, per_class=per_class, halves=0)
        assert (told.classes, told.examples) == (4, 4 * per_class)


def test_levels_of_label_noise_are_looked_at_by_the_same_classes() -> None:
    levels = [prepare(DatasetConfig("digits", label_noise=share), study_seed=0, replicate=0) for share in (0.0, 0.3, 0.6)]
    classes, per_class = 4, comparable([class_sizes(data) for data in levels])[1]
    chosen = [data.train_y[matched_examples(data.train_y, classes, per_class)].unique().tolist() for data in levels]
    assert chosen[0] == chosen[1] == chosen[2] and len(chosen[0]) == classes


def test_a_pretext_has_no_classes_to_describe() -> None:
    with pytest.raises(ValueError, match="pretext must be left out where a dataset is described, got 'rotation'"):
        describe_dataset(DatasetConfig("digits", pretext="rotation"), model="mlp-50-20", weights="random")
