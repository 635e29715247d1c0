"""The error rates that the analysis claims, on known truths: 7 values, noise 0.25 points per run, 30 % of its variance shared by a seed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from studies.analysis import judge
from studies.analysis.best import compare_with_best
from studies.analysis.simulation import GRID, QUESTION, Errors, Scenario, follow_up, simulate

REPETITIONS = 2000


def tolerance(rate: float) -> float:
    """Three standard errors of a share seen over the repetitions."""
    return 3.0 * math.sqrt(rate * (1.0 - rate) / REPETITIONS)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_where_no_value_matters_a_better_one_is_seldom_claimed(seeds: int) -> None:
    seen = simulate(Scenario("flat", seeds=seeds), repetitions=REPETITIONS, seed=seeds)
    assert seen.better <= 0.05 + tolerance(0.05)
    assert seen.labels.get("LOCATED", 0.0) <= 0.02
    assert seen.covered >= 0.95 - tolerance(0.05)


@pytest.mark.parametrize("truth", ["quadratic", "skewed", "plateau", "edge"])
@pytest.mark.parametrize(("curvature", "seeds"), [(0.1, 3), (0.1, 5), (0.4, 5), (0.4, 20)])
def test_the_optimum_set_holds_a_best_value(truth: str, curvature: float, seeds: int) -> None:
    seen = simulate(Scenario(truth, curvature, seeds), repetitions=REPETITIONS, seed=7)
    assert seen.covered >= 0.95 - tolerance(0.05)
    assert seen.located_elsewhere <= 0.02


@pytest.mark.parametrize("truth", ["flat", "plateau"])
def test_the_strict_set_holds_all_best_values(truth: str) -> None:
    scenario = Scenario(truth, 0.4, 10)
    strict = simulate(scenario, repetitions=REPETITIONS, seed=8, question=replace(QUESTION, strict=True))
    plain = simulate(scenario, repetitions=REPETITIONS, seed=8)
    assert strict.all_covered >= 0.95 - tolerance(0.05)
    assert plain.all_covered < 0.94


def test_the_observed_best_alone_would_not_cover_the_best_value() -> None:
    scenario = Scenario("skewed", 0.1, 5)
    fit = compare_with_best(scenario.draw(np.random.default_rng(9), REPETITIONS, 5))
    assert fit.may_be_best(np.zeros((len(GRID), len(GRID))))[:, scenario.best].mean() < 0.7


def test_a_value_that_is_better_by_enough_is_found() -> None:
    assert simulate(Scenario("quadratic", 0.2), repetitions=4 * REPETITIONS, seed=10).better >= 0.88
    located = simulate(Scenario("quadratic", 0.4), repetitions=REPETITIONS, seed=10).labels
    assert located["LOCATED"] >= 0.88


def test_a_curve_that_rises_to_the_end_is_an_edge_and_never_located_inside() -> None:
    seen = simulate(Scenario("edge", 0.1), repetitions=REPETITIONS, seed=11)
    assert seen.labels["EDGE"] >= 0.95
    assert seen.located_elsewhere == 0.0
    gentle = simulate(Scenario("slope", 0.3), repetitions=REPETITIONS, seed=11)
    assert gentle.labels["EDGE"] >= 0.8
    assert gentle.located_elsewhere <= 0.02


def test_flat_is_said_of_a_flat_curve_with_seeds_enough_and_not_of_one_with_a_gap_of_interest() -> None:
    assert simulate(Scenario("flat", seeds=60), repetitions=REPETITIONS, seed=12).labels["FLAT"] >= 0.8
    assert simulate(Scenario("step", 0.2, 60), repetitions=REPETITIONS, seed=12).labels.get("FLAT", 0.0) <= 0.05


def test_a_baseline_that_is_best_by_far_is_called_so() -> None:
    seen = simulate(Scenario("worse", 0.5), repetitions=REPETITIONS, seed=13)
    assert seen.labels["WORSE"] >= 0.95
    assert seen.better == 0.0


def test_missing_runs_and_heavy_tails_keep_the_error_rates() -> None:
    for scenario in (Scenario("flat", seeds=10, missing=0.2), Scenario("flat", seeds=5, errors="heavy")):
        seen = simulate(scenario, repetitions=REPETITIONS, seed=14)
        assert seen.better <= 0.05 + tolerance(0.05)
        assert seen.covered >= 0.95 - tolerance(0.05)


@pytest.mark.parametrize(("errors", "seeds"), [("uneven", 3), ("uneven", 5), ("uneven", 30), ("growing", 5)])
def test_a_cell_that_is_noisier_than_the_others_seldom_makes_a_false_claim(errors: Errors, seeds: int) -> None:
    seen = simulate(Scenario("flat", seeds=seeds, errors=errors), repetitions=REPETITIONS, seed=17)
    assert seen.better <= 0.065 + tolerance(0.065)
    assert seen.covered >= 0.93 - tolerance(0.07)


@pytest.mark.slow
def test_looking_again_until_a_table_decides_errs_little_more_often_than_looking_once() -> None:
    seen = follow_up(Scenario("flat"), repetitions=1000, looks=3, seed=18)
    assert seen.better <= 0.065 + 3.0 * math.sqrt(0.065 * 0.935 / 1000)
    assert seen.careless > seen.better


def test_the_seeds_that_an_undecided_table_asks_for_mostly_decide_it() -> None:
    seen = follow_up(Scenario("quadratic", 0.1), repetitions=150, seed=15)
    assert seen.undecided > 0.3
    assert seen.decided >= 0.65


def test_a_simulated_study_is_labelled_as_judge_labels_its_table() -> None:
    scenario = Scenario("quadratic", 0.2)
    labels = []
    for scores in scenario.draw(np.random.default_rng(16), 40, 5):
        rows = [(seed, value, scores[seed, j]) for seed in range(5) for j, value in enumerate(GRID)]
        labels.append(judge(pd.DataFrame(rows, columns=["seed", "knob", "accuracy"]), knob="knob", metric="accuracy", baseline=0.0).label)
    seen = simulate(scenario, repetitions=40, seed=16).labels
    assert {label: labels.count(label) / 40 for label in set(labels)} == seen


def test_equal_seeds_give_equal_frequencies() -> None:
    scenario = Scenario("skewed", missing=0.1, seeds=6)
    assert simulate(scenario, repetitions=20, seed=3) == simulate(scenario, repetitions=20, seed=3)
