"""What is called shortened, what is called changed, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from studies.plain_yaml import apply_overrides
from studies.reproduction.protocol import Change, find_changes, protocol_of
from studies.spec import StudySpec, study_from

WHOLE: dict[str, Any] = {
    "name": "whole",
    "datasets": ["digits", {"dataset": "mnist", "images_per_class": 1000}],
    "model": "mlp-8",
    "families": {"cos_face": {"m": 0.1, "s": 10}, "arc_face": {"m": 0.1, "s": [10, 20]}},
    "recipe": {"epochs": 100, "momentum": 0, "clip_norm": None},
    "screen": {"searcher": "grid", "seeds": 4},
}


def changes(*overrides: str) -> list[Change]:
    def spec(overrides: tuple[str, ...]) -> StudySpec:
        return study_from(apply_overrides(WHOLE, overrides))

    return find_changes(spec(overrides), spec(()))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.epochs=5", "epochs 5 instead of 100"),
        (
            "datasets=[{dataset: digits, images_per_class: 20}, {dataset: mnist, images_per_class: 1000}]",
            "images_per_class 20 instead of all",
        ),
        ("datasets=[digits, {dataset: mnist, images_per_class: 20}]", "images_per_class 20 instead of 1000"),
        ("datasets=[digits, {dataset: mnist, images_per_class: 1000, classes: 5}]", "classes 5 instead of all"),
        ("datasets=[digits, {dataset: mnist, images_per_class: 1000, validation: 0.5}]", "validation 0.5 instead of 0.2"),
    ],
)
def test_fewer_epochs_and_examples_shorten_in_whichever_dataset(override: str, words: str) -> None:
    (change,) = changes(override)
    assert change.words.removeprefix("datasets[0].").removeprefix("datasets[1].") == words
    assert change.less and protocol_of([change]) == "shortened"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.epochs=300", "epochs 300 instead of 100"),
        ("recipe.momentum=0.9", "momentum 0.9 instead of 0.0"),
        ("recipe.channels_last=true", "channels_last True instead of False"),
        ("recipe.clip_norm=5", "clip_norm 5.0 instead of none"),
        ("datasets=[digits, mnist]", "datasets[1].images_per_class all instead of 1000"),
        ("families.cos_face.m=0.2", "families.cos_face.m 0.2 instead of 0.1"),
        ("families.arc_face.s=[10, 30]", "families.arc_face.s [10, 30] instead of [10, 20]"),
    ],
)
def test_what_is_no_less_is_changed(override: str, words: str) -> None:
    assert changes(override) == [Change(words, less=False)]
    assert protocol_of(changes(override)) == "changed"


def test_the_items_of_a_list_are_told_apart() -> None:
    both = changes("datasets=[{dataset: digits, images_per_class: 20}, {dataset: mnist, images_per_class: 30}]")
    assert [change.words for change in both] == [
        "datasets[0].images_per_class 20 instead of all",
        "datasets[1].images_per_class 30 instead of 1000",
    ]


def test_a_dataset_that_is_left_out_is_told() -> None:
    words = [change.words for change in changes("datasets=[digits]")]
    assert "datasets[1].dataset none instead of mnist" in words


def test_one_thing_that_is_less_shortens_whatever_else_is_changed() -> None:
    assert protocol_of(changes("recipe.epochs=5", "recipe.momentum=0.9")) == "shortened"


def test_seeds_and_what_is_measured_beside_the_training_change_nothing() -> None:
    assert changes("screen.seeds=2", "record.train=true", "resources.cpu=2", "sesoi=1", "runner=solo") == []
    assert protocol_of([]) == "whole"
