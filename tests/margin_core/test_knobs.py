"""What a family may vary: bounds, choices and schedules."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.knobs import SCHEDULE_KINDS, Knob, Option, Schedule, ScheduleKind
from margin_core.losses.sphere_face import annealing

KNOB = Knob(name="beta", symbol="β", default=1.0, low=0.0, high=2.0, grid=(0.5, 1.0), search=(0.1, 2.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "in [0, 2]"),
        ({"open_low": True}, "in (0, 2]"),
        ({"open_high": True}, "in [0, 2)"),
        ({"high": math.inf}, ">= 0"),
        ({"high": math.inf, "open_low": True}, "> 0"),
        ({"low": -math.inf}, "<= 2"),
        ({"low": -math.inf, "open_high": True}, "< 2"),
        ({"low": -math.inf, "high": math.inf}, "any finite number"),
        ({"integer": True}, "a whole number in [0, 2]"),
    ],
)
def test_the_bounds_are_told_in_words(changes: dict[str, object], words: str) -> None:
    assert dataclasses.replace(KNOB, **changes).allowed == words  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, 1, 2.0, np.float64(0.5)])
def test_a_value_within_the_bounds_is_returned_as_a_float(value: float) -> None:
    checked = KNOB.check(value, "family")
    assert checked == value
    assert isinstance(checked, float)


@pytest.mark.parametrize("value", [-0.1, 2.1, math.nan, math.inf, -math.inf, "1", True, None, [1.0]])
def test_any_other_value_is_refused_with_the_owner_the_knob_the_value_and_the_bounds(value: object) -> None:
    with pytest.raises(ValueError, match=r"^family: beta must be") as error:
        KNOB.check(value, "family")
    assert repr(value) in str(error.value)
    assert "in [0, 2]" in str(error.value)


def test_an_open_bound_excludes_its_value() -> None:
    for knob, value in [(dataclasses.replace(KNOB, open_low=True), 0.0), (dataclasses.replace(KNOB, open_high=True), 2.0)]:
        assert KNOB.check(value, "family") == value
        with pytest.raises(ValueError, match="family: beta must be in"):
            knob.check(value, "family")


def test_a_whole_number_is_asked_for_where_only_those_are_allowed() -> None:
    knob = dataclasses.replace(KNOB, integer=True)
    assert knob.check(2, "family") == 2.0
    with pytest.raises(ValueError, match=r"beta must be a whole number in \[0, 2\], got 1\.5"):
        knob.check(1.5, "family")


def test_an_option_takes_one_of_its_choices_and_no_other() -> None:
    option = Option(name="hardest", choices=("attached", "detached"), default="attached")
    assert option.check("detached", "gds") == "detached"
    for value in ("loose", None, 1):
        with pytest.raises(ValueError, match="gds: hardest must be one of attached, detached, got"):
            option.check(value, "gds")


@given(st.floats(0.0, 1.0), st.floats(1e-3, 10.0), st.floats(1e-3, 10.0), st.floats(0.01, 1.0), st.sampled_from(SCHEDULE_KINDS))
def test_a_schedule_starts_at_its_start_holds_its_end_and_stays_between(
    progress: float, start: float, end: float, length: float, kind: ScheduleKind
) -> None:
    schedule = Schedule(kind, start=start, end=end, length=length)
    last = start if kind == "constant" else end
    assert schedule.value(0.0) == start
    assert schedule.value(1.0) == last
    assert schedule.value(length) == last
    slack = 1e-12 * max(start, end)
    assert min(schedule.values) - slack <= schedule.value(progress) <= max(schedule.values) + slack


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from(SCHEDULE_KINDS))
def test_a_rising_schedule_never_falls(one: float, other: float, kind: ScheduleKind) -> None:
    schedule = Schedule(kind, start=1.0, end=5.0, length=0.7)
    assert schedule.value(min(one, other)) <= schedule.value(max(one, other))


def test_the_linear_schedule_is_the_warm_up_of_equation_24_and_does_not_run_on_beyond_its_end() -> None:
    start, end, last_iteration, iterations = 0.001, 0.01, 300, 600
    schedule = Schedule("linear", start=start, end=end, length=last_iteration / iterations)
    for t in range(last_iteration + 1):
        assert schedule.value(t / iterations) == pytest.approx((end - start) / last_iteration * t + start, rel=1e-12)
    assert schedule.value(0.9) == end


def test_the_kinds_differ_in_how_they_get_there() -> None:
    a_quarter = {kind: Schedule(kind, start=1.0, end=2.0).value(0.25) for kind in SCHEDULE_KINDS}
    cosine = pytest.approx(1 + (1 - math.sqrt(0.5)) / 2)
    assert a_quarter == {"constant": 1.0, "linear": 1.25, "cosine": cosine, "inverse": pytest.approx(8 / 7), "step": 1.0}


def test_the_inverse_schedule_is_the_annealing_of_sphere_face() -> None:
    steps, length = 5000, (1000.0 / 5.0 - 1.0) / 0.12
    schedule = Schedule("inverse", start=1000.0, end=5.0, length=length / steps)
    for step in range(0, steps, 50):
        assert schedule.value(step / steps) == pytest.approx(annealing(step), rel=1e-12)


def test_a_schedule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule kind must be one of constant, linear, cosine, inverse, step, path, got 'wavy'"):
        Schedule("wavy", start=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a linear schedule needs an end value"):
        Schedule("linear", start=1.0)
    for length in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"schedule length must be in \(0, 1\]"):
            Schedule("step", start=1.0, end=2.0, length=length)
    for ends in ((0.0, 1.0), (1.0, 0.0), (-1.0, -2.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="an inverse schedule's start and end must be > 0, got"):
            Schedule("inverse", *ends)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True), st.floats(0.0, 1.0))
def test_a_path_has_at_each_place_the_value_of_the_last_jump(places: list[float], progress: float) -> None:
    then = tuple((place, float(number)) for number, place in enumerate(sorted(places), start=1))
    path = Schedule("path", start=0.0, then=then)
    assert path.value(progress) == sum(place <= progress for place in places)
    assert path.values == tuple(range(len(places) + 1))
    assert Schedule.from_dict(path.to_dict()) == path


def test_a_path_jumps_at_the_first_step_of_an_epoch_to_the_last_bit() -> None:
    for epochs in range(2, 40):
        for steps in (1, 7, 13, 469):
            for epoch in range(1, epochs):
                path, first = Schedule("path", start=0.0, then=((epoch / epochs, 1.0),)), epoch * steps
                assert path.value((first - 1) / (steps * epochs)) == 0.0
                assert path.value(first / (steps * epochs)) == 1.0


@pytest.mark.parametrize(
    "then", [(), ((0.0, 1.0),), ((1.0, 1.0),), ((0.5, 1.0), (0.5, 2.0)), ((0.5, 1.0), (0.2, 2.0)), (0.5,), ((0.5, "x"),)]
)
def test_a_path_without_places_that_rise_is_refused(then: object) -> None:
    with pytest.raises(ValueError, match="schedule then must be"):
        Schedule("path", start=1.0, then=then)  # type: ignore[arg-type]


def test_other_schedules_have_no_jumps() -> None:
    with pytest.raises(ValueError, match="schedule then must be left out with kind linear"):
        Schedule("linear", start=1.0, end=2.0, then=((0.5, 1.0),))
