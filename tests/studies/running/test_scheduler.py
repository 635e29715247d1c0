"""Whose turn it is when an actor falls free, asked of Ray Tune's own trials."""

from __future__ import annotations

import pytest
from ray.tune.experiment import Trial

from studies.running.scheduler import InTurn

pytestmark = pytest.mark.ray


def waiting(turns: InTurn, count: int) -> list[Trial]:
    trials = [Trial("TrialActor", stub=True) for _ in range(count)]
    for trial in trials:
        turns.on_trial_add(None, trial)
    return trials


def test_where_trials_wait_for_room_the_first_that_came_is_the_first_served() -> None:
    turns = InTurn(room_for_all=False)
    first, second, third = waiting(turns, 3)
    assert turns.choose_trial_to_run(None) is first
    assert turns.choose_trial_to_run(None) is first
    first.set_status(Trial.RUNNING)
    second.set_status(Trial.TERMINATED)
    assert turns.choose_trial_to_run(None) is third
    third.set_status(Trial.RUNNING)
    assert turns.choose_trial_to_run(None) is None


def test_where_there_is_room_for_all_a_used_actor_goes_to_a_trial_for_which_none_is_being_started() -> None:
    turns = InTurn(room_for_all=True)
    waiting(turns, 3)
    turns.choose_trial_to_run(None)  # and Ray Tune starts an actor for each
    assert turns.choose_trial_to_run(None) is None
    [last] = waiting(turns, 1)
    assert turns.choose_trial_to_run(None) is last
