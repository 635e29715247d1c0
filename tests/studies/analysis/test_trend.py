"""The verdict along a dial: known truths, its level where the optimum stays, its power where it moves, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from studies.analysis import TrendVerdict, trend
from studies.analysis.simulated_shift import Truth
from studies.analysis.simulated_trend import simulate_trend

GRID = tuple(np.linspace(0.0, 3.0, 7))
LEVELS = ("clean", "some", "much", "most")


def table(best: Sequence[float], *, seeds: int = 6, noise: float = 0.05, grid: Sequence[float] = GRID) -> pd.DataFrame:
    """A quadratic curve for each level, with these best values."""
    rows = []
    for number, optimum in enumerate(best):
        generator = np.random.default_rng(number)
        for seed in range(seeds):
            shared = generator.normal()
            rows += [(LEVELS[number], seed, value, 90.0 + shared - (value - optimum) ** 2 + noise * generator.normal()) for value in grid]
    return pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"])


def verdict(runs: pd.DataFrame, levels: int = 4, **asked: object) -> TrendVerdict:
    return trend(runs, levels=LEVELS[:levels], knob="lam", metric="accuracy", **asked)  # type: ignore[arg-type]


RISING = (0.5, 1.0, 1.75, 2.5)


def test_an_optimum_that_rises_along_the_dial_is_a_trend_that_rises() -> None:
    found = verdict(table(RISING))
    assert (found.label, found.trend, found.direction, found.n_seeds) == ("TREND", True, "rises", 6)
    assert found.optima == pytest.approx(RISING, abs=0.05)
    assert found.p is not None and 0.01 < found.p < 0.015  # gamma is a fifth of alpha
    assert found.reason.startswith("Over 6 seeds the best lam rises along the dial (p = 0.01")


def test_the_dial_turned_round_is_a_trend_that_falls() -> None:
    found, turned = verdict(table(RISING)), trend(table(RISING), levels=LEVELS[::-1], knob="lam", metric="accuracy")
    assert (turned.direction, turned.p, turned.optima) == ("falls", found.p, found.optima[::-1])


def test_an_optimum_that_stays_is_no_trend_however_sharply_the_curves_bend() -> None:
    runs = table((1.0,) * 4, noise=0.1)
    for number, level in enumerate(LEVELS):
        mine = runs["dataset"] == level
        runs.loc[mine, "accuracy"] *= 1.0 - 0.2 * number
    assert verdict(runs).label == "UNDECIDED"


def test_an_optimum_that_goes_from_one_end_of_the_grid_to_the_other_is_a_trend() -> None:
    assert verdict(table((0.0, 1.0, 2.0, 3.0), noise=0.2)).direction == "rises"


def test_an_end_of_the_grid_that_all_levels_may_share_is_no_trend_however_steep_they_are() -> None:
    runs = table((0.0,) * 4).assign(accuracy=0.0)
    generator = np.random.default_rng(0)
    for slope, level in zip((0.4, 0.3, 0.2, 0.1), LEVELS, strict=True):
        mine = runs["dataset"] == level
        runs.loc[mine, "accuracy"] = slope * runs.loc[mine, "lam"] + 0.05 * generator.standard_normal(int(mine.sum()))
    found = verdict(runs)
    assert (found.label, found.p) == ("UNDECIDED", 1.0)


def test_an_optimum_that_goes_up_and_down_again_is_no_trend() -> None:
    assert verdict(table((0.75, 2.0, 2.0, 0.75))).label == "UNDECIDED"


def test_moves_within_half_a_step_of_the_grid_are_no_claim() -> None:
    found = verdict(table((1.4, 1.5, 1.6), noise=0.01), levels=3)
    assert found.label == "UNDECIDED"


def test_less_is_better_is_the_same_in_the_negative_and_rows_may_come_in_any_order() -> None:
    runs = table(RISING)
    down = runs.assign(accuracy=-runs["accuracy"]).sample(frac=1.0, random_state=1)
    assert verdict(down, maximize=False) == verdict(runs)


def test_a_logarithmic_knob_is_asked_on_its_logarithm_where_zero_has_no_place() -> None:
    grid = np.linspace(-3.0, 3.0, 7)
    runs = table((-2.0, 0.0, 2.0), grid=grid)
    logarithmic = runs.assign(lam=10.0 ** runs["lam"])
    zeros = logarithmic[np.isclose(logarithmic["lam"], 0.001)].assign(lam=0.0)
    plain, found = verdict(runs, levels=3), verdict(pd.concat([zeros, logarithmic]), levels=3, scale="log")
    assert found.p == pytest.approx(plain.p)
    assert found.optima == pytest.approx([10.0 ** (optimum or 0.0) for optimum in plain.optima])


def test_seeds_that_lack_a_run_anywhere_are_left_out_and_a_lost_value_is_lost_at_its_level_only() -> None:
    runs = table(RISING)
    runs.loc[(runs["dataset"] == "some") & (runs["seed"] == 3) & (runs["lam"] == 1.0), "accuracy"] = np.nan
    runs.loc[(runs["dataset"] == "most") & (runs["lam"] == 0.0), "accuracy"] = np.nan
    found = verdict(runs[(runs["dataset"] != "much") | (runs["seed"] != 5)])
    assert (found.label, found.n_seeds) == ("TREND", 4)


@pytest.mark.parametrize(
    ("runs", "levels", "why"),
    [
        (table(RISING[:2]), 2, "A trend needs 3 to 8 levels, and there are 2."),
        (table(RISING, seeds=2), 4, "A trend needs 3 seeds that have every value of every level, and there are 2."),
        (table(RISING, grid=(0.0, 1.0, 2.0, 3.0)), 4, "A trend needs 5 values of the knob at each level, and clean has 4."),
        (table(RISING, noise=0.0), 4, "The seeds of clean show no noise at all, as if they were one run."),
    ],
)
def test_what_the_numbers_cannot_carry_is_not_tested(runs: pd.DataFrame, levels: int, why: str) -> None:
    found = verdict(runs, levels)
    assert (found.label, found.trend, found.direction, found.p) == ("NOT TESTABLE", False, None, None)
    assert found.reason == why


def test_each_look_is_stricter() -> None:
    found = verdict(table(RISING), looks=3)
    assert found.p is not None and found.p < 0.05 / 16


def test_a_wrong_call_is_one_sentence() -> None:
    for asked, words in {
        "alpha": "alpha must be in \\(0, 0.5\\), got 0.7",
        "metric": "test",
        "levels": "table must hold every level, got none of 'muddy'",
        "knob": "table must have a column 'beta'",
    }.items():
        with pytest.raises(ValueError, match=words):
            trend(
                table(RISING),
                levels=("clean", "some", "muddy") if asked == "levels" else LEVELS,
                knob="beta" if asked == "knob" else "lam",
                metric="test_accuracy" if asked == "metric" else "accuracy",
                alpha=0.7 if asked == "alpha" else 0.05,
            )


def test_a_verdict_is_plain_json() -> None:
    told = json.loads(json.dumps(verdict(table(RISING)).to_dict()))
    assert told["label"] == "TREND" and told["levels"] == list(LEVELS)


def quadratic(*optima: float, curvatures: Sequence[float]) -> tuple[Truth, ...]:
    return tuple(Truth("quadratic", optimum, curvature) for optimum, curvature in zip(optima, curvatures, strict=True))


STAYING = {
    "flat": (Truth("flat", 1.5, 0.0),) * 4,
    "equal": quadratic(1.5, 1.5, 1.5, 1.5, curvatures=[0.2] * 4),
    "flatter and flatter, near an end": quadratic(0.5, 0.5, 0.5, 0.5, curvatures=[0.4, 0.2, 0.1, 0.05]),
    "rising, ever less": tuple(Truth("rising", 0.0, slope) for slope in (0.4, 0.2, 0.1, 0.05)),
    "skewed to the one side, then to the other": (
        Truth("steep left", 1.5, 0.2),
        *quadratic(1.5, 1.5, curvatures=[0.2, 0.2]),
        Truth("steep right", 1.5, 0.2),
    ),
}


@pytest.mark.parametrize("truth", STAYING)
def test_of_an_optimum_that_stays_a_trend_is_claimed_in_five_percent_at_most(truth: str) -> None:
    seen = simulate_trend(STAYING[truth], seeds=10, repetitions=120, seed=1)
    assert seen.rises + seen.falls <= 0.05


def test_the_plain_test_on_best_values_takes_flatter_curves_for_a_trend_which_is_why_it_is_no_claim() -> None:
    seen = simulate_trend(STAYING["flatter and flatter, near an end"], seeds=10, repetitions=120, seed=1)
    assert seen.places > 0.15


def test_noisier_levels_are_no_trend_either() -> None:
    seen = simulate_trend(STAYING["equal"], seeds=10, repetitions=120, seed=2, noise=(0.1, 0.2, 0.4, 0.8))
    assert seen.rises + seen.falls <= 0.05


def test_an_optimum_that_moves_is_found_and_never_the_wrong_way_round() -> None:
    moved = simulate_trend(quadratic(0.75, 1.25, 1.75, 2.25, curvatures=[0.2] * 4), seeds=10, repetitions=120, seed=1)
    assert moved.rises > 0.9 and moved.falls == 0.0
    few = simulate_trend(quadratic(0.75, 1.25, 1.75, 2.25, curvatures=[0.2] * 4), seeds=5, repetitions=120, seed=1)
    assert 0.5 < few.rises < moved.rises and few.falls == 0.0
