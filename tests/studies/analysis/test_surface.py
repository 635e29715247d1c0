from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from studies.analysis import SurfaceVerdict, judge, judge_surface

SCALES, WEIGHTS = (0.0, 1.0, 2.0, 3.0, 4.0), (0.0, 0.1, 0.2)


def table(best: tuple[float, float], *, seeds: int = 6, noise: float = 0.05) -> pd.DataFrame:
    """A ridge whose best weight rises with the scale."""
    generator = np.random.default_rng(0)
    rows = [
        (seed, s, w, 90.0 + shared - (s - best[0]) ** 2 - 40.0 * (w - best[1] - 0.05 * (s - best[0])) ** 2 + noise * generator.normal())
        for seed, shared in enumerate(generator.normal(0.0, 1.0, seeds))
        for s in SCALES
        for w in WEIGHTS
    ]
    return pd.DataFrame(rows, columns=["seed", "s", "w", "accuracy"])


def verdict(runs: pd.DataFrame, **asked: object) -> SurfaceVerdict:
    arguments: dict[str, object] = {"knobs": ("s", "w"), "metric": "accuracy", "baseline": (0.0, 0.0), **asked}
    return judge_surface(runs, **arguments)  # type: ignore[arg-type]


def test_the_best_pair_inside_both_grids_is_located() -> None:
    found = verdict(table((2.0, 0.1)))
    assert (found.label, found.better, found.best, found.optimum_set) == ("LOCATED", True, (2.0, 0.1), ((2.0, 0.1),))
    assert [point.value for point in found.profiles["s"] if point.may_be_best] == [2.0]
    assert [point.value for point in found.profiles["w"] if point.may_be_best] == [0.1]
    assert found.reason == "Over 6 seeds 1 of 15 pairs may be best, s = 2 with w = 0.1 in front; the baseline is out of them."


def test_the_cells_are_compared_like_those_of_one_knob() -> None:
    runs = table((2.0, 0.1), noise=0.8)
    codes = {pair: float(code) for code, pair in enumerate((s, w) for s in SCALES for w in WEIGHTS)}
    flat = runs.assign(cell=[codes[s, w] for s, w in zip(runs["s"], runs["w"], strict=True)])
    one, two = judge(flat, knob="cell", metric="accuracy", baseline=0.0), verdict(runs)
    assert {codes[pair] for pair in two.optimum_set} == set(one.optimum_set)
    bounds = {cell.value: cell.upper_bound for cell in one.cells}
    for point in two.profiles["s"]:
        assert point.upper_bound == pytest.approx(min(bounds[codes[point.value, w]] or 0.0 for w in WEIGHTS))
    assert (two.better, codes[two.best or (0.0, 0.0)]) == (one.better, one.best)


def test_a_profile_gives_each_value_with_its_best_partner() -> None:
    runs = table((2.0, 0.1))
    means = runs.groupby(["s", "w"])["accuracy"].mean()
    for point in verdict(runs).profiles["s"]:
        assert point.mean == pytest.approx(means[point.value].max())
        assert point.other == means[point.value].idxmax()


def test_the_best_at_an_end_of_either_knob_is_an_edge_unless_it_is_its_limit() -> None:
    runs = table((2.0, 0.2))
    assert verdict(runs).label == "EDGE"
    assert verdict(runs, extendable=((True, True), (True, False))).label == "LOCATED"


def test_a_set_that_is_wide_along_one_knob_is_better_and_not_located() -> None:
    runs = table((2.0, 0.1))
    level = runs.assign(accuracy=runs["accuracy"] + 40.0 * (runs["w"] - 0.1 - 0.05 * (runs["s"] - 2.0)) ** 2)
    assert verdict(level, extendable=((True, True), (False, False))).label == "BETTER"


def test_flat_worse_and_undecided_are_those_of_one_knob() -> None:
    runs = table((2.0, 0.1), noise=0.01)
    level = runs.assign(accuracy=runs["accuracy"] - table((2.0, 0.1), noise=0.0)["accuracy"])
    assert verdict(level).label == "FLAT"
    assert verdict(runs, baseline=(2.0, 0.1)).label == "WORSE"
    assert verdict(table((2.0, 0.1), noise=20.0)).label == "UNDECIDED"
    single = verdict(table((2.0, 0.1), seeds=1))
    assert (single.label, single.best, single.profiles) == ("UNDECIDED", None, {})
    assert single.reason == "One run per cell: noise cannot be estimated."


def test_lost_runs_are_told_and_a_baseline_may_be_an_arm_of_its_own() -> None:
    runs = table((2.0, 0.1))
    runs.loc[(runs["s"] == 4.0) & (runs["w"] == 0.0), "accuracy"] = np.nan
    arm = runs.loc[(runs["s"] == 0.0) & (runs["w"] == 0.0), ["seed", "accuracy"]]
    found = verdict(runs[runs["s"] > 0.0], baseline=arm)
    assert (found.label, found.better) == ("LOCATED", True)
    assert "6 runs failed; s = 4 with w = 0 is left out, for most of its runs are lost" in found.reason
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))


def test_half_a_range_is_measured_on_each_knobs_scale_and_wrong_pairs_are_refused() -> None:
    runs = table((2.0, 0.1)).assign(s=lambda rows: 10.0 ** rows["s"])
    assert verdict(runs, baseline=(1.0, 0.0), scales=("log", "linear")).label == "LOCATED"
    with pytest.raises(ValueError, match=r"baseline must be a pair of s and w in the table, got \(5.0, 0.0\)"):
        verdict(table((2.0, 0.1)), baseline=(5.0, 0.0))
    with pytest.raises(ValueError, match="table must have a column 'm'"):
        verdict(table((2.0, 0.1)), knobs=("s", "m"))
