from __future__ import annotations

import pytest

from studies.spending import Account, devices, spent
from tests.studies import builders
from tests.studies.conftest import NewLedger


class Clock:
    """Tells the time that it is set to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_ledger_has_what_all_runs_of_a_study_have_spent(new_ledger: NewLedger) -> None:
    spec = builders.study(resources={"cpu": 2}, recipe={"epochs": 1, "processes": 2})
    ledger, clock = new_ledger(spec), Clock()
    for _ in range(2):
        with Account(ledger, spec, clock) as account:
            clock.now += 360.0  # nothing runs yet
            account.count(3)
            clock.now += 720.0
            account.count(0)
            clock.now += 720.0
    assert devices(spec) == 4
    assert spent(ledger).hours == pytest.approx(1.0)
    assert spent(ledger).device_hours == pytest.approx(2 * 3 * 4 * 0.2)
    assert spent(ledger).runs == 2


def test_a_run_that_is_killed_leaves_what_it_had_spent_ten_seconds_before(new_ledger: NewLedger) -> None:
    spec = builders.study(resources={"gpu": 0.5})
    ledger, clock = new_ledger(spec), Clock()
    account = Account(ledger, spec, clock)
    account.count(2)
    for _ in range(25):
        clock.now += 1.0
        account.count(2)
    assert spent(ledger).hours * 3600 == pytest.approx(20.0)
    assert spent(ledger).device_hours * 3600 == pytest.approx(20.0)
    assert account.spent.hours * 3600 == pytest.approx(25.0)


def test_a_bound_is_reached_by_the_runs_together(new_ledger: NewLedger) -> None:
    spec = builders.study(budget={"hours": 2, "device_hours": 3})
    ledger, clock = new_ledger(spec), Clock()
    with Account(ledger, spec, clock) as first:
        clock.now += 3600.0
        first.count(2)
        assert first.used_up() == ""
    second = Account(ledger, spec, clock)
    second.count(2)
    clock.now += 1800.0
    second.count(4)
    assert second.used_up() == ""
    clock.now += 1800.0
    second.count(4)
    assert second.used_up() == "budget.hours is 2, and the study has run for 2 hours"


def test_a_ledger_of_a_study_that_never_counted_has_spent_nothing(new_ledger: NewLedger) -> None:
    assert spent(new_ledger(builders.study())).runs == 0
