"""Dials are read off the datasets of a study."""

from __future__ import annotations

import pytest

from margin_core.data import DatasetConfig, Imbalance, Manifold
from studies.dials import dials, undialled

CLEAN = DatasetConfig("digits")
KINDS = {
    "label_noise": [
        CLEAN,
        DatasetConfig("digits", label_noise=0.1, noise="nearest"),
        DatasetConfig("digits", label_noise=0.3, noise="nearest"),
    ],
    "clutter": [CLEAN, DatasetConfig("digits", clutter=0.25), DatasetConfig("digits", clutter=0.5)],
    "deform": [CLEAN, DatasetConfig("digits", deform=0.1), DatasetConfig("digits", deform=0.3)],
    "images_per_class": [DatasetConfig("digits", images_per_class=10), DatasetConfig("digits", images_per_class=50), CLEAN],
    "classes": [DatasetConfig("digits", classes=3), DatasetConfig("digits", classes=6), CLEAN],
    "granularity": [DatasetConfig("digits", classes=5, choose=choose) for choose in ("farthest", "first", "nearest")],
    "imbalance": [CLEAN, *(DatasetConfig("digits", imbalance=Imbalance("step", ratio)) for ratio in (2, 20))],
    "dimension": [DatasetConfig("manifold", manifold=Manifold("deformable", dimension)) for dimension in (1, 3, 9)],
    "pixel_noise": [DatasetConfig("manifold", manifold=Manifold("rigid", 2, noise)) for noise in (0.0, 0.1, 0.2)],
}


@pytest.mark.parametrize("name", KINDS)
def test_a_property_that_is_turned_alone_is_a_dial_from_low_to_high(name: str) -> None:
    (dial,) = dials(KINDS[name][::-1])
    assert dial.name == name
    assert dial.datasets == tuple(config.key for config in KINDS[name])
    assert len(set(dial.levels)) == 3


def test_levels_have_words() -> None:
    words = {dial.name: dial.levels for name in ("granularity", "images_per_class", "label_noise") for dial in dials(KINDS[name])}
    assert words["granularity"] == ("farthest classes", "first classes", "nearest classes")
    assert words["images_per_class"] == ("10", "50", "all")
    assert words["label_noise"] == ("0", "0.1", "0.3")


def test_two_levels_are_no_dial_nor_are_datasets_that_differ_in_more_than_one_property() -> None:
    assert dials(KINDS["deform"][:2]) == []
    assert dials([CLEAN, DatasetConfig("digits", deform=0.1), DatasetConfig("digits", deform=0.3, clutter=0.5)]) == []
    assert dials([CLEAN, DatasetConfig("mnist"), DatasetConfig("svhn")]) == []


def test_two_kinds_of_label_noise_are_two_dials_that_share_their_clean_end() -> None:
    noisy = [DatasetConfig("digits", label_noise=share, noise=kind) for kind in ("symmetric", "nearest") for share in (0.1, 0.2)]  # type: ignore[arg-type]
    found = dials([CLEAN, *noisy])
    assert [dial.datasets[0] for dial in found] == ["digits", "digits"]
    assert [dial.datasets[1] for dial in found] == ["digits-noise0.1", "digits-nearest0.1"]


def test_labels_name_levels_and_change_nothing() -> None:
    labelled = [DatasetConfig("digits", label_noise=share, label=f"level-{share}") for share in (0.0, 0.1, 0.2)]
    (dial,) = dials(labelled)
    assert dial.datasets == ("level-0.0", "level-0.1", "level-0.2")


def test_of_each_source_that_with_the_fewest_dials_stands_for_it() -> None:
    configs = [DatasetConfig("digits", deform=0.3, clutter=0.5), DatasetConfig("digits", deform=0.3), DatasetConfig("mnist", label="m")]
    assert undialled(configs) == configs[1:]
