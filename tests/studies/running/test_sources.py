"""Trials that are listed beforehand: each one once, in order, and after an interruption only those that are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from search_spaces import Outcome
from studies.plan import PlannedTrial, screen_trials
from studies.running.bounded import BoundedTrials
from studies.running.learning import LearningTrials
from studies.running.racing import RacingTrials
from studies.running.sources import ListedTrials, TrialSource, Wanted
from tests.studies.builders import TWO_DATASETS, study


def drain(source: ListedTrials) -> list[PlannedTrial]:
    """Run a source to its end."""
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, Outcome.of(1.0))
    return handed


def test_a_list_is_handed_out_in_its_order_and_then_exhausted() -> None:
    planned = screen_trials(study())
    source = ListedTrials(planned)
    assert source.total == len(planned)
    assert drain(source) == planned
    assert source.exhausted


def test_a_list_skips_what_has_ended_and_still_counts_it() -> None:
    planned = screen_trials(study())
    ended = [trial.key for trial in planned[::2]]
    source = ListedTrials(planned, [*ended, "confirm-gds-0000000000-0"])
    assert source.total == len(planned)
    assert drain(source) == planned[1::2]


def test_a_list_that_has_ended_whole_is_exhausted_at_once() -> None:
    planned = screen_trials(study())
    source = ListedTrials(planned, [trial.key for trial in planned])
    assert source.exhausted
    assert source.next() is None


def test_a_list_gives_of_the_dataset_that_is_wanted_and_rather_of_the_replicates_that_are() -> None:
    planned = screen_trials(study(datasets=TWO_DATASETS, screen={"searcher": "grid", "seeds": 2}))
    source = ListedTrials(planned)
    first = source.next()
    assert first == planned[0]
    beside = [source.next(Wanted("noisy", {1001})) for _ in range(3)]
    assert beside == [trial for trial in planned if (trial.dataset, trial.replicate) == ("noisy", 1001)][:3]
    while (trial := source.next(Wanted("noisy", {1001}))) is not None:
        beside.append(trial)
    assert sorted(map(str, beside)) == sorted(str(trial) for trial in planned if trial.dataset == "noisy")
    assert beside[-1] is not None and beside[-1].replicate == 1000
    assert [source.next(), source.exhausted] == [planned[1], False]


@pytest.mark.parametrize("kind", ["listed", "bounded", "learning", "racing"])
def test_every_source_gives_of_the_dataset_that_is_wanted_alone(kind: str) -> None:
    screen: dict[str, dict[str, Any]] = {
        "learning": {"searcher": "tpe", "trials": 4},
        "racing": {"searcher": "grid", "seeds": 2, "racing": {"first": 1}},
    }
    spec = study(datasets=TWO_DATASETS, screen=screen.get(kind, {"searcher": "grid"}))
    made: dict[str, Callable[[], TrialSource]] = {
        "listed": lambda: ListedTrials(screen_trials(spec)),
        "bounded": lambda: BoundedTrials(ListedTrials(screen_trials(spec)), [], [], 100),
        "learning": lambda: LearningTrials(spec, {}, {}),
        "racing": lambda: RacingTrials(spec, {}),
    }
    source = made[kind]()
    for dataset in ("noisy", "digits"):
        handed = []
        while (trial := source.next(Wanted(dataset))) is not None:
            handed.append(trial.dataset)
        assert set(handed) == {dataset} and len(handed) >= 4
