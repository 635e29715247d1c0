from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.analysis import Verdict, judge, paired_gain

GRID = (0.0, 0.5, 1.0, 1.5, 2.0)
# Deviations of five seeds whose residual variance about seed and cell means is not zero, and whose cell means are.
NOISE = np.array([[1, -1, 0, 1, -1], [-1, 1, 1, -1, 0], [0, 1, -1, 0, 1], [1, -1, 1, -1, 1], [-1, 0, -1, 1, -1]]) * 1.0


def table(means: Sequence[float], noise: float = 0.05, seeds: int = 5, grid: Sequence[float] = GRID) -> pd.DataFrame:
    rows = [
        (dataset, seed, value, mean + 0.3 * seed + noise * NOISE[seed % 5, j % 5])
        for dataset in ("digits",)
        for seed in range(seeds)
        for j, (value, mean) in enumerate(zip(grid, means, strict=True))
    ]
    return pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"])


def verdict(runs: pd.DataFrame, **asked: object) -> Verdict:
    arguments: dict[str, object] = {"knob": "lam", "metric": "accuracy", "baseline": 0.0, **asked}
    return judge(runs, **arguments)  # type: ignore[arg-type]


def without_reason(answer: Verdict) -> Verdict:
    return replace(answer, reason="")


PEAK = [89.0, 89.6, 90.0, 89.6, 89.0]
LABELLED = {
    "FLAT": [90.0, 90.02, 90.01, 90.0, 90.02],
    "WORSE": [90.0, 89.0, 88.0, 88.5, 88.0],
    "EDGE": [89.0, 89.5, 90.0, 90.5, 91.0],
    "LOCATED": PEAK,
    "BETTER": [89.0, 90.0, 90.02, 90.01, 90.0],
    "UNDECIDED": [90.0, 89.0, 90.02, 89.0, 88.0],
}


@pytest.mark.parametrize("label", LABELLED)
def test_each_label_is_reached(label: str) -> None:
    answer = verdict(table(LABELLED[label]), extendable=(True, label == "EDGE"))
    assert answer.label == label
    assert answer.better == (label in ("EDGE", "LOCATED", "BETTER"))
    assert answer.better == (0.0 not in answer.optimum_set)
    assert (answer.more_seeds > 0) == (label == "UNDECIDED")
    assert answer.n_seeds == 5
    assert answer.best in answer.optimum_set


def test_the_best_and_its_set_are_those_of_the_means() -> None:
    answer = verdict(table(PEAK))
    assert (answer.best, answer.optimum_set) == (1.0, (1.0,))
    np.testing.assert_allclose([cell.mean for cell in answer.cells], table(PEAK).groupby("lam")["accuracy"].mean())
    assert [cell.may_be_best for cell in answer.cells] == [False, False, True, False, False]


def test_the_reason_is_one_sentence_with_the_numbers() -> None:
    assert verdict(table(PEAK)).reason == (
        "Over 5 seeds the baseline (lam = 0) falls short of lam = 1 by 1 points, more than the 0.08 points that noise allows, "
        "and only lam = 1 may be best."
    )
    edge = verdict(table(LABELLED["EDGE"])).reason
    assert edge.endswith("and the best, lam = 2, is the greatest value tried: extend the grid.")
    assert "the nearest rival, lam = 0.5, falls short of the baseline (lam = 0)" in verdict(table(LABELLED["WORSE"])).reason
    assert verdict(table(LABELLED["UNDECIDED"])).reason.endswith("more seeds would decide.")
    assert "less than the 0.2 points that matter" in verdict(table(LABELLED["FLAT"])).reason
    assert "lam may be 0.5, 1, 1.5 or 2 at its best" in verdict(table(LABELLED["BETTER"]), extendable=(True, False)).reason


def test_an_end_that_cannot_be_extended_is_no_edge() -> None:
    rising, falling = LABELLED["EDGE"], LABELLED["EDGE"][::-1]
    assert verdict(table(rising), extendable=(True, False)).label == "LOCATED"
    assert verdict(table(rising), extendable=(False, True)).label == "EDGE"
    assert verdict(table(falling), baseline=2.0, extendable=(True, False)).label == "EDGE"
    assert verdict(table(falling), baseline=2.0, extendable=(False, True)).label == "LOCATED"


def test_half_the_range_is_measured_on_the_knobs_own_scale() -> None:
    means = [89.0, 89.0, 90.0, 90.0, 90.0]
    grid = (0.01, 0.1, 1.0, 10.0, 100.0)
    assert verdict(table(means, grid=grid), baseline=0.01, extendable=(False, False)).label == "BETTER"
    assert verdict(table(means, grid=grid), baseline=0.01, extendable=(False, False), scale="log").label == "LOCATED"


def test_a_baseline_of_zero_lies_outside_a_logarithmic_range() -> None:
    grid = (0.0, 0.01, 0.1, 1.0, 10.0)
    least = verdict(table([89.0, 90.0, 89.5, 89.4, 89.0], grid=grid), scale="log")
    assert (least.label, least.best) == ("EDGE", 0.01)
    assert verdict(table([89.0, 89.4, 90.0, 89.4, 89.0], grid=grid), scale="log").label == "LOCATED"
    with pytest.raises(ValueError, match=r"scale 'log' needs values of lam > 0 \(a baseline excepted\), got 0"):
        verdict(table(PEAK, grid=grid), scale="log", baseline=0.1)


def test_the_published_single_runs_of_generalized_dual_scale_decide_nothing() -> None:
    published = {  # Generalized Dual-Scale paper, table 1; cross-entropy is the value 0.
        "CUB-200": (90.93, 90.84, 91.26, 91.14, 90.70),
        "Stanford Dogs": (89.71, 89.43, 89.92, 90.07, 89.97),
        "Stanford Cars": (90.30, 90.22, 90.47, 90.72, 90.92),
    }
    for row in published.values():
        answer = verdict(table(row, noise=0.0, seeds=1), fixed=1.0)
        assert answer.label == "UNDECIDED"
        assert not answer.better
        assert answer.optimum_set == GRID
        assert answer.reason == "One run per cell: noise cannot be estimated."
        assert (answer.n_seeds, answer.more_seeds, answer.gain_ci) == (1, 4, None)
        assert answer.gain == pytest.approx(row[2] - row[0])
        assert answer.best == GRID[int(np.argmax(row))]


@pytest.mark.parametrize("label", LABELLED)
def test_the_order_of_rows_and_the_names_of_seeds_change_nothing(label: str) -> None:
    runs = table(LABELLED[label])
    shuffled = runs.sample(frac=1.0, random_state=1).assign(seed=lambda rows: rows["seed"] + 100)
    assert verdict(shuffled) == verdict(runs)
    assert json.dumps(verdict(shuffled).to_dict()) == json.dumps(verdict(runs).to_dict())


@pytest.mark.parametrize("label", LABELLED)
def test_a_baseline_on_the_grid_and_in_a_table_of_its_own_agree(label: str) -> None:
    runs = table(LABELLED[label])
    arm = runs.loc[runs["lam"] == 0.0, ["seed", "accuracy"]]
    on_grid, apart = verdict(runs, fixed=1.5), verdict(runs[runs["lam"] > 0.0], baseline=arm, fixed=1.5)
    assert apart.better == on_grid.better
    assert (apart.label == label) or {apart.label, label} <= {"EDGE", "LOCATED", "BETTER"}
    assert apart.optimum_set == tuple(value for value in on_grid.optimum_set if value != 0.0)
    assert (apart.gain, apart.gain_ci) == (on_grid.gain, on_grid.gain_ci)
    bounds = {cell.value or 0.0: cell.upper_bound for cell in on_grid.cells}
    for cell in apart.cells:
        assert cell.upper_bound == pytest.approx(bounds[cell.value or 0.0])


@pytest.mark.parametrize("label", LABELLED)
def test_to_minimise_is_to_maximise_the_negative(label: str) -> None:
    runs = table(LABELLED[label])
    up, down = verdict(runs, fixed=1.0), verdict(runs.assign(accuracy=-runs["accuracy"]), maximize=False, fixed=1.0)
    for name in ("label", "better", "optimum_set", "best", "gain", "gain_ci", "more_seeds", "reason"):
        assert getattr(down, name) == getattr(up, name)
    assert [cell.mean for cell in down.cells] == [-(cell.mean or 0.0) for cell in up.cells]


def test_the_gain_is_that_of_the_value_fixed_beforehand_over_shared_seeds() -> None:
    runs = table(PEAK)
    wide = runs.pivot(index="seed", columns="lam", values="accuracy")
    expected = paired_gain(wide[0.5].to_numpy(), wide[0.0].to_numpy(), alpha=0.1)
    answer = verdict(runs, fixed=0.5, alpha=0.1)
    assert (answer.gain, answer.gain_ci) == (expected.mean, (expected.low, expected.high))
    assert (verdict(runs).gain, verdict(runs).gain_ci) == (None, None)
    runs.loc[(runs["lam"] == 0.5) & (runs["seed"] == 3), "accuracy"] = np.nan
    kept = wide.drop(index=3)
    assert verdict(runs, fixed=0.5).gain == paired_gain(kept[0.5].to_numpy(), kept[0.0].to_numpy()).mean
    with pytest.raises(ValueError, match=r"fixed must be a value of lam in the table"):
        verdict(runs, fixed=0.7)


def test_failed_runs_are_told_and_do_not_turn_the_verdict() -> None:
    runs = table(PEAK)
    runs.loc[(runs["seed"] == 4) & (runs["lam"] == 2.0), "accuracy"] = np.nan
    answer = verdict(runs)
    assert (answer.label, answer.n_seeds) == ("LOCATED", 5)
    assert "1 run failed (lam = 2: 1 of 5)" in answer.reason
    assert "24 of the 25 runs compared finished" in answer.reason
    assert [(cell.finished, cell.failed) for cell in answer.cells][-1] == (4, 1)


def test_a_cell_that_mostly_fails_is_left_out_by_name_and_closes_its_end_of_the_grid() -> None:
    runs = table(LABELLED["EDGE"])
    runs.loc[runs["lam"] == 2.0, "accuracy"] = np.nan
    answer = verdict(runs)
    assert (answer.best, answer.label) == (1.5, "LOCATED")
    assert "lam = 2 is left out: 0 runs finished, 5 failed" in answer.reason
    last = answer.cells[-1]
    assert (last.value, last.mean, last.may_be_best, last.failed) == (2.0, None, False, 5)


def test_unequal_seeds_widen_the_allowance_of_the_cells_with_fewer() -> None:
    runs = table(PEAK)
    answer = verdict(runs[(runs["lam"] != 0.5) | (runs["seed"] < 3)])
    half_width = {cell.value: cell.half_width or 0.0 for cell in answer.cells}
    assert half_width[0.5] > half_width[2.0]
    assert answer.label == "LOCATED"
    assert "23 of the 25 runs compared finished" in answer.reason


def test_a_noisier_cell_is_told_and_its_comparisons_are_wider() -> None:
    runs = table(PEAK, noise=0.2)
    noisy = runs.assign(accuracy=runs["accuracy"] + 0.8 * NOISE[runs["seed"], 0] * (runs["lam"] == 0.0))
    answer = verdict(noisy)
    half_width = {cell.value: cell.half_width or 0.0 for cell in answer.cells}
    assert half_width[0.0] > 1.5 * half_width[2.0]
    assert "; runs scatter more than the others' at lam = 0 (" in answer.reason
    assert "scatter" not in verdict(runs).reason


def test_each_look_after_the_first_is_at_a_quarter_of_the_alpha_before() -> None:
    runs = table(PEAK)
    again = verdict(runs, looks=2, fixed=1.0)
    at_a_quarter = verdict(runs, alpha=0.0125, fixed=1.0)
    assert again.cells == at_a_quarter.cells
    assert again.gain_ci == at_a_quarter.gain_ci
    assert again.reason.endswith("only lam = 1 may be best; look 2 at these seeds, so at a confidence of 0.9875.")


def test_a_baseline_that_failed_leaves_the_question_open() -> None:
    runs = table(PEAK)
    runs.loc[(runs["lam"] == 0.0) & (runs["seed"] > 0), "accuracy"] = np.nan
    answer = verdict(runs)
    assert (answer.label, answer.better) == ("UNDECIDED", False)
    assert answer.reason.startswith("The baseline has too few finished runs to compare with; 4 runs failed (lam = 0: 4 of 5)")


def test_equal_numbers_without_noise_are_flat_and_a_tie_with_the_baseline_stays_open() -> None:
    same = verdict(table([90.0] * 5, noise=0.0))
    assert (same.label, same.optimum_set) == ("FLAT", GRID)
    tie = verdict(table([90.0, 89.0, 90.0, 89.0, 89.0], noise=0.0))
    assert (tie.label, tie.optimum_set, tie.more_seeds) == ("UNDECIDED", (0.0, 1.0), 200)
    assert "fewer than 200 more seeds would hardly decide; the seeds show no noise at all: are they separate runs?" in tie.reason
    clear = verdict(table(PEAK, noise=0.0))
    assert (clear.label, clear.optimum_set) == ("LOCATED", (1.0,))
    assert "the seeds show no noise at all" in clear.reason


def test_more_seeds_are_fewer_where_the_lead_is_larger() -> None:
    small = verdict(table([89.95, 89.0, 90.0, 89.0, 89.0], noise=0.2)).more_seeds
    large = verdict(table([89.85, 89.0, 90.0, 89.0, 89.0], noise=0.2)).more_seeds
    assert 1 <= large < small <= 200


@given(st.lists(st.floats(80.0, 99.0), min_size=5, max_size=5), st.floats(0.0, 2.0))
def test_the_strict_set_is_never_the_smaller_one(means: list[float], noise: float) -> None:
    runs = table(means, noise=noise)
    assert set(verdict(runs).optimum_set) <= set(verdict(runs, strict=True).optimum_set)


def test_the_test_split_judges_nothing() -> None:
    runs = table(PEAK).rename(columns={"accuracy": "test_accuracy"})
    with pytest.raises(ValueError, match="test_accuracy is measured on the test split, which never chooses"):
        verdict(runs, metric="test_accuracy")


def test_only_an_accuracy_has_a_default_for_the_smallest_effect() -> None:
    runs = table(PEAK).rename(columns={"accuracy": "nll"})
    with pytest.raises(ValueError, match="sesoi must be given for nll: only an accuracy has a default"):
        verdict(runs, metric="nll")
    assert verdict(runs, metric="nll", sesoi=0.2).label == "LOCATED"
    assert "points" not in verdict(runs, metric="nll", sesoi=0.2).reason
    assert verdict(runs.rename(columns={"nll": "val_top_5_accuracy"}), metric="val_top_5_accuracy").question.sesoi == 0.2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sesoi": -0.1}, "sesoi must be finite and >= 0, got -0.1"),
        ({"alpha": 0.5}, r"alpha must be in (0, 0.5), got 0.5"),
        ({"looks": 0}, "looks must be >= 1, got 0"),
        ({"scale": "square"}, "scale must be one of linear, log, got 'square'"),
        ({"baseline": 0.7}, "baseline must be a value of lam in the table (0, 0.5, 1, 1.5, 2), got 0.7"),
    ],
)
def test_a_wrong_question_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        verdict(table(PEAK), **asked)
    assert str(error.value) == message


def test_a_verdict_is_frozen_and_plain_json_data() -> None:
    for runs in (table(PEAK), table(PEAK, seeds=1)):
        answer = verdict(runs, fixed=1.0)
        plain = answer.to_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert plain["optimum_set"] == list(answer.optimum_set)
        with pytest.raises(FrozenInstanceError):
            answer.label = "FLAT"  # type: ignore[misc]


def test_the_analysis_loads_neither_ray_nor_mlflow_nor_torch() -> None:
    code = "import sys, studies.analysis; print([name for name in ('ray', 'mlflow', 'optuna', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
