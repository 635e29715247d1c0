"""Early stopping: who is compared with whom, who goes on, and that a resumed study decides as an unbroken one."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.early_stopping import Contestant, Halving, Median, stopping_rule
from studies.plain_yaml import StudyFileError
from studies.screen_section import HalvingSection, MedianSection
from tests.studies.builders import WITHOUT_SCREEN, study


def trial(name: str, dataset: str = "digits", seed: int = 1000) -> Contestant:
    return Contestant(f"screen-{name}-{dataset}-{seed}", name, dataset, seed)


def asha(**changes: Any) -> Halving:
    section = HalvingSection(**{"grace_epochs": 1, "reduction": 3, **changes})
    return Halving(section, epochs=27, maximize=True)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30, unique=True))
def test_at_a_rung_the_best_third_of_those_that_have_come_goes_on(values: list[float]) -> None:
    rule, seen = asha(), []
    for number, value in enumerate(values):
        seen.append(value)
        place = sorted(seen, reverse=True).index(value)
        assert rule.stops(trial(f"c{number}"), 1, value) == (place >= math.ceil(len(seen) / 3))


def test_between_rungs_and_after_the_last_one_nobody_is_stopped() -> None:
    rule = asha()
    stopped = {epoch: [rule.stops(trial(f"c{n}"), epoch, 100.0 - n) for n in range(9)] for epoch in range(1, 28)}
    assert {epoch for epoch, stops in stopped.items() if any(stops)} == {1, 3, 9}


@pytest.mark.parametrize("rule", [asha(), Median(MedianSection(least=2), maximize=True)])
def test_trials_of_another_dataset_or_seed_are_not_compared(rule: Halving | Median) -> None:
    for number in range(20):
        assert not rule.stops(trial(f"c{number}", dataset=f"d{number}"), 1, 100.0 - number)
        assert not rule.stops(trial(f"c{number}", seed=number), 1, 100.0 - number)


def test_less_is_better_where_the_metric_says_so_and_what_is_no_number_is_worst() -> None:
    rule = Halving(HalvingSection(reduction=2), epochs=4, maximize=False)
    assert not rule.stops(trial("a"), 1, 0.5)
    assert rule.stops(trial("b"), 1, 0.7)
    assert not rule.stops(trial("c"), 1, 0.3)
    assert rule.stops(trial("d"), 1, math.nan)


def test_a_report_that_comes_again_changes_nothing() -> None:
    """A trial that goes on in another process reports again what it reported before."""
    once, again = asha(), asha()
    reports = [(trial(f"c{number % 7}"), 1, float(number * 37 % 11)) for number in range(7)]
    expected = [once.stops(*report) for report in reports]
    for place, report in enumerate(reports):
        assert again.stops(*report) == expected[place]
        again.stops(*reports[place // 2])
    newcomer = (trial("new"), 1, 5.0)
    assert again.stops(*newcomer) == once.stops(*newcomer)


def test_the_median_rule_stops_what_never_reached_the_median_of_the_others_running_means() -> None:
    rule = Median(MedianSection(grace_epochs=2, least=3), maximize=True)
    for name, level in (("a", 50.0), ("b", 60.0), ("c", 70.0)):
        for epoch in (1, 2, 3):
            rule.stops(trial(name), epoch, level + epoch)
    assert not rule.stops(trial("low"), 1, 10.0)  # in its grace
    assert rule.stops(trial("low"), 2, 61.4)  # the others' means are 51.5, 61.5 and 71.5
    assert not rule.stops(trial("high"), 2, 61.6)
    assert not rule.stops(trial("once"), 1, 80.0)
    assert not rule.stops(trial("once"), 2, 1.0)  # its best counts


def test_hyperband_shares_cells_out_among_brackets_that_begin_at_each_rung() -> None:
    rule = stopping_rule(study(recipe={"epochs": 27}, screen={"searcher": "sobol", "trials": 8, "hyperband": {"reduction": 3}}))
    assert isinstance(rule, Halving)
    cells = [f"cell-{number}" for number in range(6000)]
    brackets = Counter(rule.bracket(cell) for cell in cells)
    # Algorithm 1 with R = 27, eta = 3: n = 27, 12, 6, 4 configurations in the brackets s = 3, 2, 1, 0.
    expected = {0: 27 / 49, 1: 12 / 49, 2: 6 / 49, 3: 4 / 49}
    for place, share in expected.items():
        assert brackets[place] / len(cells) == pytest.approx(share, abs=4 * math.sqrt(share / len(cells)))
    first = {place: next(cell for cell in cells if rule.bracket(cell) == place) for place in expected}
    for place, cell in first.items():
        rivals = [name for name in cells if rule.bracket(name) == place][1:4]
        stops = []
        for epoch in range(1, 28):
            for rival in rivals:
                rule.stops(trial(rival), epoch, 90.0)
            stops.append(rule.stops(trial(cell), epoch, 10.0))
        assert (stops.index(True) + 1 if any(stops) else None) == {0: 1, 1: 3, 2: 9, 3: None}[place]


def test_without_a_rule_all_trials_run_to_their_end() -> None:
    assert stopping_rule(study()) is None
    assert stopping_rule(study(**WITHOUT_SCREEN)) is None


def test_two_rules_at_once_are_refused() -> None:
    with pytest.raises(StudyFileError) as caught:
        study(screen={"searcher": "grid", "asha": {}, "median": {}})
    assert str(caught.value) == "screen: only one of asha, hyperband and median can stop trials, got asha and median"
