from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from studies.analysis import ShiftVerdict, shift
from studies.analysis.shift import disjoint
from studies.analysis.simulated_shift import Truth, simulate_shift

GRID = tuple(np.linspace(0.0, 3.0, 7))
REPETITIONS = 800


def table(best: Mapping[str, float], *, seeds: int = 6, noise: float = 0.05, grid: Sequence[float] = GRID, first: int = 0) -> pd.DataFrame:
    """Quadratic curves with these best values."""
    rows = []
    for number, (dataset, optimum) in enumerate(best.items()):
        generator = np.random.default_rng([number, first])
        for seed in range(first, first + seeds):
            shared = generator.normal()
            rows += [(dataset, seed, value, 90.0 + shared - (value - optimum) ** 2 + noise * generator.normal()) for value in grid]
    return pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"])


def verdict(runs: pd.DataFrame, **asked: object) -> ShiftVerdict:
    return shift(runs, knob="lam", metric="accuracy", **asked)  # type: ignore[arg-type]


MOVED = {"cub": 0.5, "dogs": 1.5, "cars": 2.5}


def test_optima_that_move_are_told_in_their_order_and_pair_by_pair() -> None:
    found = verdict(table(MOVED))
    assert (found.label, found.shift, found.disjoint) == ("SHIFT", True, True)
    assert [each.dataset for each in found.datasets] == ["cub", "dogs", "cars"]
    assert found.apart == (("cub", "dogs"), ("cub", "cars"), ("dogs", "cars"))
    for each in found.datasets:
        assert each.optimum == pytest.approx(MOVED[each.dataset], abs=0.05)
        assert each.interval is not None and each.interval[0] <= MOVED[each.dataset] <= each.interval[1]
        assert each.optimum_set == (MOVED[each.dataset],)
    assert found.reason.startswith("No one lam can be best on all 3 datasets (slope test p = ")
    assert "told apart: cub below dogs, cub below cars, dogs below cars" in found.reason


def test_where_a_curve_is_level_again_far_from_its_best_value_is_no_place_for_the_optimum() -> None:
    heights = dict(zip(GRID, (90.0, 89.9, 89.5, 88.9, 88.4, 88.1, 88.05), strict=True))  # best at the first, level at the last
    generator = np.random.default_rng(0)
    rows = [(d, seed, value, heights[value] + 0.3 * generator.normal()) for d in ("cub", "cars") for seed in range(10) for value in GRID]
    for each in verdict(pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"])).datasets:
        assert max(each.optimum_set) <= 1.0
        assert each.interval is not None and each.interval[0] == 0.0 and each.interval[1] <= 1.5


def test_a_shared_optimum_is_not_claimed_to_move_nor_to_stay() -> None:
    found = verdict(table(dict.fromkeys(MOVED, 1.5)))
    assert (found.label, found.shift, found.apart) == ("UNDECIDED", False, ())
    assert found.p_bare is not None and found.p_bare > 0.05 and found.shared == pytest.approx(1.5, abs=0.1)
    assert "which is not shown either" in found.reason


def test_less_than_half_a_step_each_is_no_claim_though_the_bare_test_rejects() -> None:
    found = verdict(table({"cub": 1.4, "cars": 1.6}, noise=0.02))
    assert found.p_bare is not None and found.p_bare < 0.001
    assert found.p_guarded is not None and found.p_guarded > 0.05
    assert found.label == "UNDECIDED"
    assert "but skewed curves would too" in found.reason


def test_a_zoom_decides_what_the_grid_leaves_open() -> None:
    best = {"cub": 1.3, "cars": 1.7}
    coarse = table(best, noise=0.02)
    fine = table(best, noise=0.005, grid=np.linspace(1.0, 2.0, 9), first=2000)
    assert verdict(coarse).label == "UNDECIDED"
    found = verdict(coarse, zoom=fine)
    assert found.label == "SHIFT"
    assert found.p_zoom is not None and found.p_zoom < 0.05
    assert verdict(coarse, zoom=fine[fine["dataset"] == "cub"]).p_zoom is None


def test_the_rule_sees_the_same_in_the_negative_and_on_any_order_of_rows() -> None:
    runs = table(MOVED)
    assert verdict(runs.sample(frac=1.0, random_state=1)) == verdict(runs)
    down = verdict(runs.assign(accuracy=-runs["accuracy"]), maximize=False)
    assert down == verdict(runs)


def test_on_a_logarithmic_knob_curves_are_smoothed_over_the_logarithm_and_zero_has_no_place() -> None:
    grid = np.linspace(-3.0, 3.0, 7)
    runs = table({"cub": -1.5, "cars": 1.5}, grid=grid)
    logarithmic = runs.assign(lam=10.0 ** runs["lam"])
    zeros = logarithmic[np.isclose(logarithmic["lam"], 0.001)].assign(lam=0.0)
    plain, found = verdict(runs), verdict(pd.concat([zeros, logarithmic]), scale="log")
    assert found.label == plain.label == "SHIFT"
    assert found.p_guarded == pytest.approx(plain.p_guarded)
    assert [each.optimum for each in found.datasets] == [pytest.approx(10.0 ** (each.optimum or 0.0)) for each in plain.datasets]


def test_lost_runs_and_unequal_seeds_are_used_as_far_as_they_go() -> None:
    runs = table(MOVED)
    fewer = runs[(runs["dataset"] != "dogs") | (runs["seed"] < 4)].copy()
    fewer.loc[(fewer["dataset"] == "cars") & (fewer["lam"] == 0.0), "accuracy"] = np.nan
    found = verdict(fewer)
    assert found.label == "SHIFT"
    assert {each.dataset: each.n_seeds for each in found.datasets} == {"cub": 6, "dogs": 4, "cars": 6}


def test_the_published_single_runs_of_generalized_dual_scale_show_no_shift() -> None:
    published = {
        "CUB-200": (90.93, 90.84, 91.26, 91.14, 90.70),
        "Stanford Dogs": (89.71, 89.43, 89.92, 90.07, 89.97),
        "Stanford Cars": (90.30, 90.22, 90.47, 90.72, 90.92),
    }
    rows = [(name, 0, 0.5 * j, value) for name, row in published.items() for j, value in enumerate(row)]
    found = verdict(pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"]))
    assert (found.label, found.disjoint, found.p_bare, found.p_guarded) == ("UNDECIDED", False, None, None)
    assert "one run per cell" in found.reason


def test_few_values_leave_the_optimum_sets_to_decide() -> None:
    found = verdict(table({"cub": 0.0, "cars": 3.0}, grid=(0.0, 1.0, 2.0, 3.0)))
    assert (found.label, found.p_bare, found.disjoint) == ("SHIFT", None, True)
    assert "fewer than 5 values" in found.reason


def test_each_look_is_stricter() -> None:
    runs = table({"cub": 1.2, "dogs": 1.9}, noise=0.3)
    p = verdict(runs).p_guarded
    assert p is not None
    assert verdict(runs, alpha=1.01 * p).shift and not verdict(runs, alpha=0.99 * p).shift
    assert not verdict(runs, alpha=1.01 * p, looks=2).shift and verdict(runs, alpha=4.04 * p, looks=2).shift


def test_values_next_to_each_other_count_as_one() -> None:
    grid = np.array([0.0, 0.5, 1.0, 1.5])
    assert not disjoint([grid, grid], [grid == 0.5, grid == 1.0])
    assert disjoint([grid, grid], [grid == 0.0, grid == 1.0])
    assert not disjoint([grid, grid, grid], [grid <= 0.5, grid >= 0.5, grid == 0.5])
    assert disjoint([grid, grid, grid], [grid <= 0.5, grid >= 0.5, grid == 1.5])
    assert not disjoint([grid, grid[::3]], [grid == 0.5, grid[::3] == 0.0])


def test_a_verdict_is_plain_json_data() -> None:
    for runs in (table(MOVED), table(MOVED, seeds=1)):
        plain = verdict(runs).to_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))


def test_a_wrong_question_is_refused() -> None:
    runs = table(MOVED)
    with pytest.raises(ValueError, match="table must hold two datasets at least, got cub"):
        verdict(runs[runs["dataset"] == "cub"])
    with pytest.raises(ValueError, match="table must have a column 'dataset', got seed, lam, accuracy"):
        verdict(runs.drop(columns="dataset"))
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 0.5\), got 0.7"):
        verdict(runs, alpha=0.7)
    with pytest.raises(ValueError, match="measured on the test split"):
        shift(runs.rename(columns={"accuracy": "test_accuracy"}), knob="lam", metric="test_accuracy")


@pytest.mark.parametrize(
    "shared",
    [
        tuple(Truth("quadratic", 1.5, curvature) for curvature in (0.2, 0.2, 0.2)),
        tuple(Truth("quadratic", 1.0, curvature) for curvature in (0.05, 0.2, 0.4)),
        (Truth("steep left", 1.0, 0.4), Truth("steep right", 1.0, 0.4)),
        (Truth("steep left", 1.5, 0.2), Truth("steep right", 1.5, 0.2)),
        (Truth("rising", 0.0, 0.1), Truth("rising", 0.0, 0.3)),
    ],
    ids=["equal", "unequal curvature", "mirror-skewed", "mirror-skewed in the middle", "rising"],
)
def test_shift_is_seldom_claimed_of_a_shared_optimum(shared: tuple[Truth, ...]) -> None:
    seen = simulate_shift(shared, seeds=10, repetitions=REPETITIONS, seed=1)
    assert seen.claimed <= 0.07 + 3.0 * np.sqrt(0.07 * 0.93 / REPETITIONS)


def test_the_interaction_f_test_and_the_bare_slope_test_would_claim_it() -> None:
    curvatures = tuple(Truth("quadratic", 1.5, curvature) for curvature in (0.05, 0.2, 0.4))
    assert simulate_shift(curvatures, seeds=5, repetitions=REPETITIONS, seed=2).interaction > 0.7
    skewed = (Truth("steep left", 1.5, 0.2), Truth("steep right", 1.5, 0.2))
    assert simulate_shift(skewed, seeds=10, repetitions=REPETITIONS, seed=2).bare > 0.12


def test_a_shift_of_half_a_step_each_way_is_found_with_seeds_enough() -> None:
    truths = tuple(Truth("quadratic", optimum, 0.2) for optimum in (1.0, 1.5, 2.0))
    five, ten, twenty = (simulate_shift(truths, seeds=seeds, repetitions=REPETITIONS, seed=3) for seeds in (5, 10, 20))
    assert five.bare >= 0.55 and ten.bare >= 0.9
    assert five.claimed < ten.claimed < twenty.claimed
    assert twenty.claimed >= 0.6
