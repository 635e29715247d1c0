"""The declaration of a space: what is refused, and with which words."""

from __future__ import annotations

import math

import pytest

from search_spaces import Choice, Condition, Parameter, Range, Space

FAMILY = Parameter("family", Choice(("ce", "gds")))
LAM = Parameter("gds.lam", Choice((0.5, 1.0)), Condition("family", ("gds",)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Choice(()), "a choice needs at least one value"),
        (lambda: Choice((1, 1.0)), "a choice's values must differ, got 1.0 twice"),
        (lambda: Choice((True,)), "a choice's values must be finite numbers or strings, got True"),
        (lambda: Choice((math.nan,)), "a choice's values must be finite numbers or strings, got nan"),
        (lambda: Range(1.0, 1.0), "a range needs finite low < high, got low=1.0, high=1.0"),
        (lambda: Range(0.0, math.inf), "a range needs finite low < high, got low=0.0, high=inf"),
        (lambda: Range(0.0, 1.0, scale="log"), "a range with scale log needs low > 0, got 0.0"),
        (lambda: Range(1.0, 2.5, integer=True), "a range of whole numbers needs whole bounds, got low=1.0, high=2.5"),
        (lambda: Range(1.0, 2.0, scale="cubic"), "a range's scale must be one of linear, log, got 'cubic'"),
    ],
)
def test_a_dimension_that_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((), "a space needs at least one parameter"),
        ((FAMILY, FAMILY), "parameter names must differ, got 'family' twice"),
        ((LAM, FAMILY), "gds.lam depends on 'family', which must be declared before it"),
        (
            (FAMILY, Parameter("x", Choice((1,)), Condition("family", ()))),
            "x depends on 'family' but names no value of it; allowed: one of ce, gds",
        ),
        (
            (FAMILY, Parameter("x", Choice((1,)), Condition("family", ("gdd",)))),
            "x depends on 'family' being 'gdd', but it is one of ce, gds",
        ),
        (
            (Parameter("lr", Range(0.1, 1.0)), Parameter("x", Choice((1,)), Condition("lr", (0.5,)))),
            "x depends on 'lr', which must be a choice, not a range",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused(parameters, message):
    with pytest.raises(ValueError) as caught:
        Space(parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "family is missing; it must be one of ce, gds"),
        ({"family": "gds"}, "gds.lam is missing; it must be one of 0.5, 1.0"),
        ({"family": "gds", "gds.lam": 0.7}, "gds.lam must be one of 0.5, 1.0, got 0.7"),
        ({"family": "ce", "gds.lam": 0.5}, "gds.lam does not exist in this configuration, got 0.5"),
        ({"family": "ce", "lr": 0.1}, "lr does not exist in this configuration, got 0.1"),
    ],
)
def test_a_configuration_that_is_not_of_the_space_is_refused(config, message):
    with pytest.raises(ValueError) as caught:
        Space((FAMILY, LAM)).check(config)
    assert str(caught.value) == message


def test_a_range_is_spread_evenly_over_its_scale():
    quarters = (0.0, 0.25, 0.5, 0.75)
    assert [Range(-1.0, 1.0).at(position) for position in quarters] == [-1.0, -0.5, 0.0, 0.5]
    assert [Range(1e-4, 1.0, scale="log").at(position) for position in quarters] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])


def test_every_whole_number_of_a_range_owns_an_equal_share():
    span = Range(1, 4, integer=True)
    drawn = [span.at((place + 0.5) / 100) for place in range(100)]
    assert [drawn.count(value) for value in (1, 2, 3, 4)] == [25, 25, 25, 25]


@pytest.mark.parametrize(
    "dimension", [Range(0.1, 0.3), Range(1e-5, 0.7, scale="log"), Range(1, 9, scale="log", integer=True), Choice((1, 2, 3))]
)
def test_the_ends_of_the_unit_interval_stay_inside(dimension):
    for position in (0.0, math.nextafter(1.0, 0.0), 1.0):
        assert dimension.contains(dimension.at(position))


def test_truth_values_are_not_numbers():
    assert not Choice((0, 1)).contains(True)
    assert not Range(0, 1).contains(True)
