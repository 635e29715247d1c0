"""What the driver keeps of arrays: how full they are, and which of their trials may have been why one was lost."""

from __future__ import annotations

import pytest

from studies.running.array import Array, ArrayTrial, Fullness, Suspects
from studies.running.spending import SpendingCallback
from studies.spending import Account, spent
from tests.studies import builders
from tests.studies.conftest import NewLedger

pytestmark = pytest.mark.ray


class Clock:
    """Tells the time that it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_arrays_are_as_full_as_their_places_were_in_use_until_no_more_trials_wait_for_one() -> None:
    clock = Clock()
    full = Fullness(clock)
    assert full.share is None
    full.ordered(1, 4, places=4, more=True)
    full.ordered(2, 2, places=4, more=True)
    clock.now = 3.0
    full.answered(1)
    full.answered(2)
    clock.now = 4.0  # both waited for a second
    full.ordered(1, 4, places=4, more=True)
    full.ordered(2, 1, places=4, more=False)
    clock.now = 10.0
    full.answered(1)
    full.answered(2)
    assert full.share == pytest.approx((3 * 4 + 3 * 2 + 6 * 4) / (3 * 4 + 3 * 4 + 7 * 4))


def test_an_array_that_is_to_hold_fewer_trials_than_it_can_is_full_with_those() -> None:
    clock = Clock()
    full = Fullness(clock)
    full.ordered(1, 2, places=2, more=True)  # of three trials for two arrays, with one that has yet to be given to the other
    clock.now = 5.0
    full.answered(1)
    assert full.share == 1.0


def test_a_trial_that_was_twice_in_an_array_that_was_lost_is_tried_by_itself_until_it_is_past_that() -> None:
    suspects = Suspects()
    suspects.struck("a", 3)
    assert not suspects.alone("a")
    suspects.heard("a", 3)
    suspects.struck("a", 3)
    assert suspects.alone("a") and not suspects.alone("b")
    suspects.heard("a", 3)  # from its checkpoint, and no further than before
    assert suspects.alone("a")
    suspects.heard("a", 4)
    suspects.heard("b", 1)
    assert not suspects.alone("a")


def test_an_array_holds_its_devices_once_for_all_its_trials(new_ledger: NewLedger) -> None:
    spec, clock = builders.study(resources={"cpu": 2}), Clock()
    ledger = new_ledger(spec)
    arrays = [Array(number, actor=f"process {number}", answer=None) for number in (1, 2)]
    trials = [ArrayTrial(f"{number}", {}, arrays[number == 0]) for number in range(5)]
    with Account(ledger, spec, clock) as account:
        callback = SpendingCallback(account)
        for trial in trials:
            callback.on_trial_start(0, [], trial)
        clock.now = 1800.0
        callback.on_trial_complete(0, [], trials[0])
        clock.now = 3600.0
        for trial in trials[1:]:
            callback.on_trial_error(0, [], trial)
        clock.now = 7200.0
    assert spent(ledger).device_hours == pytest.approx(2 * (2 * 0.5 + 1 * 0.5))
