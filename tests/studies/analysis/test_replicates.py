from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from studies.analysis.replicates import match_value, read_replicates


def table(scores: Sequence[Sequence[float | None]], values: tuple[float, ...] = (0.0, 1.0, 2.0)) -> pd.DataFrame:
    """One row per seed, one column per value; a run left out of the rows is None, a failed one NaN."""
    rows = [(seed, value, score) for seed, row in enumerate(scores) for value, score in zip(values, row, strict=True) if score is not None]
    return pd.DataFrame(rows, columns=["seed", "lam", "accuracy"])


NAN = float("nan")


def test_complete_runs_are_laid_out_by_seed_and_value_whatever_their_order() -> None:
    scores = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    replicates = read_replicates(table(scores).sample(frac=1.0, random_state=0), knob="lam", metric="accuracy", baseline=1)
    np.testing.assert_array_equal(replicates.scores, scores)
    assert (replicates.values, replicates.baseline, replicates.tried) == ((0.0, 1.0, 2.0), 1, (0.0, 1.0, 2.0))
    assert replicates.obstacle() is None
    assert replicates.notes("lam") == []


def test_a_baseline_table_joins_as_the_last_column_paired_by_seed() -> None:
    arm = pd.DataFrame({"seed": [1, 0], "accuracy": [8.0, 7.0]})
    replicates = read_replicates(table([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), knob="lam", metric="accuracy", baseline=arm)
    np.testing.assert_array_equal(replicates.scores[:, 3], [7.0, 8.0])
    assert (replicates.baseline, replicates.cells[3].value, replicates.values) == (3, None, (0.0, 1.0, 2.0))


def test_failed_runs_are_counted_and_named_and_missing_ones_told() -> None:
    scores = [[1.0, 2.0, 3.0], [4.0, NAN, None], [7.0, 8.0, np.inf], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    replicates = read_replicates(table(scores), knob="lam", metric="accuracy", baseline=0.0)
    assert [(cell.finished, cell.failed) for cell in replicates.cells] == [(5, 0), (4, 1), (3, 1)]
    assert replicates.notes("lam") == [
        "2 runs failed (lam = 1: 1 of 5, lam = 2: 1 of 4)",
        "11 of the 12 runs compared finished, which the allowances take into account",
        "1 seed left out that finished in one cell only",
    ]


def test_a_cell_that_fails_as_often_as_it_finishes_is_left_out_but_was_tried() -> None:
    scores = [[1.0, 2.0, 3.0], [4.0, 5.0, NAN], [7.0, 8.0, NAN], [1.0, 2.0, 3.0]]
    replicates = read_replicates(table(scores), knob="lam", metric="accuracy", baseline=0.0)
    assert (replicates.values, replicates.tried) == ((0.0, 1.0), (0.0, 1.0, 2.0))
    assert replicates.notes("lam") == ["2 runs failed (lam = 2: 2 of 4)", "lam = 2 is left out: 2 runs finished, 2 failed"]


def test_a_cell_with_a_single_run_among_others_with_more_is_left_out_and_not_tried() -> None:
    scores = [[1.0, 2.0, 3.0], [4.0, 5.0, None]]
    replicates = read_replicates(table(scores), knob="lam", metric="accuracy", baseline=0.0)
    assert (replicates.values, replicates.tried) == ((0.0, 1.0), (0.0, 1.0))
    assert replicates.notes("lam") == ["lam = 2 is left out: 1 run finished, 0 failed"]


@pytest.mark.parametrize(
    ("scores", "obstacle"),
    [
        ([[1.0, 2.0, 3.0]], "one run per cell: noise cannot be estimated"),
        ([[1.0, None, None], [None, 2.0, None], [None, None, 3.0]], "one run per cell: noise cannot be estimated"),
        ([[NAN, NAN, NAN]], "one run per cell: noise cannot be estimated"),
        ([[1.0, 2.0, 3.0], [NAN, 5.0, 6.0]], "the baseline has too few finished runs to compare with"),
        ([[1.0, NAN, NAN], [4.0, 5.0, NAN]], "no cell has enough finished runs to compare with the baseline"),
        ([[1.0, 2.0, None], [4.0, 5.0, None], [None, None, 3.0], [None, None, 6.0]], "too few seeds are shared between the cells"),
    ],
)
def test_what_cannot_be_compared_is_told_in_words(scores: Sequence[Sequence[float | None]], obstacle: str) -> None:
    found = read_replicates(table(scores), knob="lam", metric="accuracy", baseline=0.0).obstacle()
    assert found is not None
    assert found.startswith(obstacle)


def test_a_baseline_table_without_runs_is_an_obstacle_and_no_error() -> None:
    arm = pd.DataFrame({"seed": [], "accuracy": []})
    replicates = read_replicates(table([[1.0, 2.0, 3.0]] * 3), knob="lam", metric="accuracy", baseline=arm)
    assert replicates.obstacle() == "the baseline has too few finished runs to compare with"


def test_a_value_is_matched_up_to_rounding_only() -> None:
    assert match_value([0.1, 0.3], 0.1 + 0.2, "baseline", "lam") == 0.3
    with pytest.raises(ValueError, match=r"fixed must be a value of lam in the table \(0.1, 0.3\), got 0.2"):
        match_value([0.1, 0.3, None], 0.2, "fixed", "lam")


def test_tables_that_cannot_be_read_are_refused_by_name() -> None:
    good = table([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    cases = [
        (good.rename(columns={"seed": "run"}), "table must have a column 'seed', got run, lam, accuracy"),
        (good[:0], "table must have at least one run, got none"),
        (pd.concat([good, good[4:5]]), "table must have one row per seed and lam, got two for seed 1, lam 1"),
        (good.assign(dataset=["cub"] * 3 + ["cars"] * 3), "table must hold one dataset, got cars, cub"),
        (good.assign(seed=[0, 0, 0, 1, 1, None]), "table must name the seed of every run, got a row without one"),
        (good.assign(lam=good["lam"].replace(2.0, NAN)), "table must have a finite lam in every row, got nan"),
        (good.assign(accuracy="high"), "table must have numbers in column 'accuracy'"),
    ]
    for broken, message in cases:
        with pytest.raises(ValueError) as error:
            read_replicates(broken, knob="lam", metric="accuracy", baseline=0.0)
        assert str(error.value).startswith(message)
    twice = pd.DataFrame({"seed": [3, 3], "accuracy": [1.0, 2.0]})
    with pytest.raises(ValueError, match="baseline must have one row per seed, got two for seed 3"):
        read_replicates(good, knob="lam", metric="accuracy", baseline=twice)
    with pytest.raises(ValueError, match=r"baseline must be a value of lam in the table \(0, 1, 2\), got 3.0"):
        read_replicates(good, knob="lam", metric="accuracy", baseline=3.0)
