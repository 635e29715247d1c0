from __future__ import annotations

from typing import Any

import pytest

from margin_core.training import TrialCost
from studies.estimate import estimate, probe
from studies.plan import confirm_trials, screen_trials
from studies.preflight import CallError
from tests.studies import builders

SECONDS = {"ce": 100.0, "gds": 200.0, "cos_face": 400.0}


def costs(datasets: tuple[str, ...] = ("digits",)) -> dict[tuple[str, str], TrialCost]:
    """Made up, and twice as much on every further dataset."""
    return {
        (dataset, family): TrialCost(seconds * 2**place, 0.0, 0.0, steps=1, epochs=1, evaluations=1)
        for place, dataset in enumerate(datasets)
        for family, seconds in SECONDS.items()
    }


def hours(stages: list[Any]) -> dict[str, float]:
    return {stage.size.stage: stage.device_hours for stage in stages}


@pytest.mark.parametrize("searcher", ["grid", "sobol", "random"])
def test_a_screen_that_is_known_beforehand_takes_what_its_trials_take(searcher: str) -> None:
    screen = {"searcher": searcher, "seeds": 2, **({} if searcher == "grid" else {"trials": 10})}
    spec = builders.study(screen=screen, datasets=builders.TWO_DATASETS, resources={"cpu": 4, "gpu": 0.5})
    known = costs(("digits", "noisy"))
    expected = sum(known[trial.dataset, trial.cell.family].seconds for trial in screen_trials(spec)) * 0.5 / 3600
    assert hours(estimate(spec, known))["screen"] == pytest.approx(expected)


def test_what_a_screen_leaves_open_takes_the_mean_of_all_families() -> None:
    spec = builders.study(screen={"searcher": "tpe", "trials": 6}, resources={"cpu": 2}, recipe={"epochs": 1, "processes": 2})
    screen, confirm = estimate(spec, costs())
    mean = sum(SECONDS.values()) / 3
    assert screen.device_hours == pytest.approx(6 * mean * 4 / 3600)
    assert confirm.device_hours == pytest.approx(confirm.size.trials * mean * 4 / 3600)
    assert (screen.seeds, confirm.seeds) == (1, 3)


def test_a_confirm_stage_without_a_screen_takes_what_its_trials_take() -> None:
    spec = builders.study(**builders.WITHOUT_SCREEN)
    expected = sum(SECONDS[trial.cell.family] for trial in confirm_trials(spec)) / 3600
    [confirm] = estimate(spec, costs())
    assert confirm.device_hours == pytest.approx(expected)
    assert confirm.to_dict(price=2.5)["cost"] == pytest.approx(2.5 * expected)


def test_without_costs_a_stage_is_counted_and_nothing_is_priced() -> None:
    [stage] = estimate(builders.study(confirm=None))
    assert stage.device_hours is None
    assert stage.to_dict(price=2.0) == {"stage": "screen", "cells": 18, "seeds": 1, "trials": 18, "epochs": 18, "at_most": True}


def test_every_dataset_and_family_is_tried_once() -> None:
    spec = builders.study(datasets=builders.TWO_DATASETS, confirm=None)
    tried = dict(probe(spec, None))
    assert set(tried) == {(dataset, family) for dataset in ("digits", "noisy") for family in ("ce", "gds", "cos_face")}
    assert all(cost.seconds > 0.0 for cost in tried.values())


def test_a_dataset_that_is_not_there_is_told() -> None:
    with pytest.raises(CallError, match="mnist"):
        dict(probe(builders.study(datasets=["mnist"], confirm=None), None))
