from __future__ import annotations

from typing import Any

from studies.budget import TrialBudgetSection
from studies.running.deadlines import Deadlines

HOUR = 3600.0


class Clock:
    """Tells the time that it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(**limits: Any) -> tuple[Deadlines, Clock]:
    clock = Clock()
    return Deadlines(TrialBudgetSection(**limits), clock), clock


def over(deadlines: Deadlines, clock: Clock, seconds: float, every: float = 5.0) -> dict[str, tuple[str, str]]:
    """What is overdue while so much time goes by and the driver looks again and again."""
    found: dict[str, tuple[str, str]] = {}
    until = clock.now + seconds
    while clock.now < until:
        clock.now = min(clock.now + every, until)
        found |= {entry.trial_id: (entry.cause, entry.told) for entry in deadlines.overdue()}
    return found


def test_a_trial_that_is_silent_for_longer_than_is_stated_hangs_and_is_told_once() -> None:
    deadlines, clock = watched(silent_hours=0.01)
    deadlines.began("a", "digits")
    assert over(deadlines, clock, 30) == {}
    deadlines.heard("a", epochs=True)
    assert over(deadlines, clock, 30) == {}
    assert over(deadlines, clock, 10) == {"a": ("hang", "nothing was heard of it for 40 s since its last report, and 36 s are allowed")}
    assert over(deadlines, clock, 100) == {}


def test_by_default_a_first_epoch_may_take_a_day_and_later_ones_twenty_times_as_long_as_the_longest_of_the_dataset() -> None:
    deadlines, clock = watched()
    deadlines.began("a", "photos")
    assert over(deadlines, clock, 23 * HOUR) == {}
    deadlines.heard("a", epochs=True)
    assert over(deadlines, clock, 23 * HOUR) == {}  # no second epoch is known yet
    deadlines.heard("a", epochs=True)
    deadlines.began("b", "digits")
    for _ in range(3):
        over(deadlines, clock, 600)
        deadlines.heard("b", epochs=True)
    deadlines.ended("a")
    assert over(deadlines, clock, 3.3 * HOUR) == {}
    assert over(deadlines, clock, 0.1 * HOUR)["b"][0] == "hang"


def test_quick_epochs_do_not_make_the_patience_shorter_than_an_hour() -> None:
    deadlines, clock = watched()
    deadlines.began("a", "digits")
    for _ in range(5):
        over(deadlines, clock, 1, every=1)
        deadlines.heard("a", epochs=True)
    assert over(deadlines, clock, 0.99 * HOUR) == {}
    assert over(deadlines, clock, 0.02 * HOUR)["a"][0] == "hang"


def test_the_silence_of_a_driver_that_was_stopped_is_not_that_of_its_trials() -> None:
    deadlines, clock = watched(silent_hours=0.01)
    deadlines.began("a", "digits")
    assert over(deadlines, clock, 10 * HOUR, every=10 * HOUR) == {}  # it looks once, and finds the report after that
    deadlines.heard("a", epochs=True)
    assert over(deadlines, clock, 30) == {}


def test_a_trial_that_waits_for_its_processes_is_not_silent() -> None:
    deadlines, clock = watched(silent_hours=0.01)
    deadlines.began("a", "digits")
    for _ in range(10):
        assert over(deadlines, clock, 30) == {}
        deadlines.heard("a", epochs=False)


def test_a_trials_time_counts_over_all_times_that_it_is_tried() -> None:
    deadlines, clock = watched(hours=1)
    deadlines.began("a", "digits", spent=0.5 * HOUR)
    deadlines.began("b", "digits")
    assert over(deadlines, clock, 0.49 * HOUR) == {}
    assert over(deadlines, clock, 0.02 * HOUR) == {"a": ("time", "it ran for 60 min, and budget.trial.hours is 1")}
