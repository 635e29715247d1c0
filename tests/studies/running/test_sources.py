"""Trials that are listed beforehand: each one once, in order, and after an interruption only those that are missing."""

from __future__ import annotations

from search_spaces import Outcome
from studies.plan import PlannedTrial, screen_trials
from studies.running.sources import ListedTrials
from tests.studies.builders import study


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
