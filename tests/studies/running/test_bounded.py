from __future__ import annotations

from studies.plan import PlannedTrial, screen_trials
from studies.running.bounded import BoundedTrials
from studies.running.sources import ListedTrials
from tests.studies import builders

TRIALS = screen_trials(builders.study())[:6]
KEYS = [trial.key for trial in TRIALS]


def handed_out(source: BoundedTrials) -> list[str]:
    found = []
    while (trial := source.next()) is not None:
        found.append(trial.key)
    return found


def bounded(trials: list[PlannedTrial], limit: int | None, *, ended: int = 0, unfinished: tuple[str, ...] = ()) -> BoundedTrials:
    """A stage of which the first trials have ended."""
    return BoundedTrials(ListedTrials(trials, KEYS[:ended]), {*KEYS[:ended], *unfinished}, unfinished, limit)


def test_no_more_trials_begin_than_are_allowed() -> None:
    source = bounded(TRIALS, 4, ended=1)
    assert not source.exhausted
    assert handed_out(source) == KEYS[1:4]
    assert source.exhausted
    assert source.used_up == "budget.trials is 4, and 4 trials have begun"


def test_a_trial_that_had_begun_before_goes_on_in_any_case_wherever_it_is_in_the_plan() -> None:
    source = bounded(TRIALS, 2, ended=1, unfinished=(KEYS[4],))
    assert source.used_up == ""
    assert handed_out(source) == [KEYS[4]]
    assert source.used_up.startswith("budget.trials is 2")


def test_a_stage_that_is_whole_at_the_bound_is_not_held_back() -> None:
    source = bounded(TRIALS, 6)
    assert handed_out(source) == KEYS
    assert source.exhausted and source.used_up == ""


def test_without_a_bound_everything_is_handed_out() -> None:
    source = bounded(TRIALS, None, ended=2)
    assert (source.done, source.total) == (2, 6)
    assert handed_out(source) == KEYS[2:]
    assert source.used_up == ""
