"""The rule by which a claim of a paper is reproduced, on numbers whose intervals are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from studies.reproduction.rule import OTHERWISE, Claimed, Verdict, find, judge_table

# Differences 1.1, 0.8, 1.1, 1.0 with mean 1: a confidence interval of about [0.77, 1.23], for one run of the paper [0.49, 1.51].
OURS, BASELINE = [91.1, 90.8, 91.3, 90.9], [90.0, 90.0, 90.2, 89.9]


def verdict(values: list[float], baseline: list[float], **claimed: Any) -> Verdict:
    return find(values, baseline, Claimed(**claimed)).verdict


def test_the_interval_for_the_papers_figure_is_that_of_the_mean_of_its_runs_given_ours() -> None:
    differences = np.subtract(OURS, BASELINE)
    for runs in (1, 30):
        found = find(OURS, BASELINE, Claimed(difference=1.0, runs=runs))
        half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) * math.sqrt(1 / 4 + 1 / runs)
        assert found.expected == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_about_95_percent_of_figures_of_one_run_lie_in_the_interval_for_them() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.2, size=(1000, 6))
    inside = 0
    for *ours, paper in draws:
        low, high = find(ours, [0.0] * 5, Claimed(difference=float(paper))).expected or (math.nan, math.nan)
        inside += low <= paper <= high
    assert inside / len(draws) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("difference", "expected"), [(1.4, "reproduced"), (0.6, "reproduced"), (6.7, "sign only"), (0.1, "sign only"), (-1.0, "not reproduced")]
)
def test_a_difference_that_is_there_is_reproduced_where_the_papers_figure_could_be_ours(difference: float, expected: str) -> None:
    assert verdict(OURS, BASELINE, difference=difference) == expected
    assert verdict(BASELINE, OURS, difference=-difference) == expected


def test_a_figure_that_averages_many_runs_is_held_to_ours_more_closely() -> None:
    assert verdict(OURS, BASELINE, difference=1.45, runs=1) == "reproduced"
    assert verdict(OURS, BASELINE, difference=1.45, runs=30) == "sign only"


def test_where_zero_cannot_be_ruled_out_a_small_difference_is_undecided_and_a_large_one_not_reproduced() -> None:
    ours, baseline = [90.3, 89.8, 90.2, 89.9], [90.0, 90.0, 90.0, 90.0]
    assert verdict(ours, baseline, difference=0.2) == "undecided"
    assert verdict(ours, baseline, difference=7.1) == "not reproduced"


@pytest.mark.parametrize(("direction", "expected"), [(1, "reproduced"), (-1, "not reproduced")])
def test_a_direction_is_reproduced_where_the_whole_interval_is_on_its_side(direction: int, expected: str) -> None:
    assert verdict(OURS, BASELINE, direction=direction) == expected
    assert verdict([90.1, 89.9], [90.0, 90.0], direction=direction) == "undecided"


@pytest.mark.parametrize(("within", "expected"), [(1.3, "reproduced"), (1.0, "undecided"), (0.5, "not reproduced")])
def test_two_settings_are_the_same_where_the_whole_interval_is_within_the_limit(within: float, expected: str) -> None:
    assert verdict(OURS, BASELINE, within=within) == expected
    assert verdict(BASELINE, OURS, within=within) == expected


def test_equal_runs_are_the_same_to_within_nothing() -> None:
    assert verdict(OURS, OURS, within=0.0) == "reproduced"


@pytest.mark.parametrize("claimed", [{"difference": 1.0}, {"direction": 1}, {"within": 1.0}])
def test_fewer_than_two_pairs_decide_nothing(claimed: dict[str, Any]) -> None:
    assert find([], [], Claimed(**claimed)).gain is None
    assert verdict([], [], **claimed) == verdict([91.0], [90.0], **claimed) == "undecided"


@pytest.mark.parametrize("difference", [1.0, 6.7])
def test_what_is_not_the_whole_protocol_asks_for_the_direction_alone_and_reproduces_nothing(difference: float) -> None:
    found = find(OURS, BASELINE, Claimed(difference=difference), whole=False)
    assert (found.expected, OTHERWISE[found.verdict]) == (None, "holds")
    assert OTHERWISE[find(BASELINE, OURS, Claimed(difference=difference), whole=False).verdict] == "fails"
    assert (judge_table([found.verdict], "shortened"), judge_table([found.verdict], "changed")) == ("shortened", "changed")


def test_a_table_is_reproduced_where_each_of_its_claims_is() -> None:
    assert judge_table(["reproduced", "reproduced"]) == "reproduced"
    assert judge_table(["reproduced", "sign only"]) == "sign only"
    assert judge_table(["sign only", "undecided", "reproduced"]) == "undecided"
    assert judge_table(["undecided", "not reproduced", "reproduced"]) == "not reproduced"
    with pytest.raises(ValueError, match="at least one claim"):
        judge_table([])


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        ({}, "a claim must have one of difference, direction and within, got none"),
        ({"difference": 1.0, "within": 1.0}, "a claim must have one of difference, direction and within, got difference, within"),
        ({"difference": 0.0}, "difference must be finite and not 0, for 0 has no direction (say within instead), got 0.0"),
        ({"direction": 2}, "direction must be 1 or -1, got 2"),
        ({"within": -0.1}, "within must be >= 0, got -0.1"),
        ({"within": 0.1, "runs": 0}, "runs must be >= 1, got 0"),
    ],
)
def test_a_claim_that_cannot_be_is_refused(claimed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Claimed(**claimed)
    assert str(caught.value) == message
