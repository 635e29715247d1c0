"""The grid of a space: only what exists is multiplied, and a range is refused before anything is listed."""

from __future__ import annotations

import pytest

from search_spaces import Choice, Condition, Parameter, Range, Space, grid, grid_size

LINEAR = Condition("beta.kind", ("linear",))
SCHEDULED = Space(
    (
        Parameter("beta.kind", Choice(("constant", "linear"))),
        Parameter("beta.start", Choice((0.1, 0.2))),
        Parameter("beta.end", Choice((1.0,)), LINEAR),
        Parameter("beta.length", Choice((0.5, 1.0)), LINEAR),
    )
)


def test_a_constant_schedule_has_no_end_and_no_length():
    assert list(grid(SCHEDULED)) == [
        {"beta.kind": "constant", "beta.start": 0.1},
        {"beta.kind": "constant", "beta.start": 0.2},
        {"beta.kind": "linear", "beta.start": 0.1, "beta.end": 1.0, "beta.length": 0.5},
        {"beta.kind": "linear", "beta.start": 0.1, "beta.end": 1.0, "beta.length": 1.0},
        {"beta.kind": "linear", "beta.start": 0.2, "beta.end": 1.0, "beta.length": 0.5},
        {"beta.kind": "linear", "beta.start": 0.2, "beta.end": 1.0, "beta.length": 1.0},
    ]


def test_the_size_of_a_huge_grid_is_counted_without_listing_it():
    space = Space(tuple(Parameter(f"p{place}", Choice(tuple(range(10)))) for place in range(40)))
    assert grid_size(space) == 10**40
    assert next(grid(space)) == {f"p{place}": 0 for place in range(40)}


@pytest.mark.parametrize("ask", [grid, grid_size])
def test_a_range_has_no_grid_even_where_it_would_come_last(ask):
    space = Space((Parameter("family", Choice(("ce",))), Parameter("lr", Range(0.01, 1.0, scale="log"))))
    with pytest.raises(ValueError) as caught:
        ask(space)
    assert str(caught.value) == "lr has no grid: it is the range [0.01, 1]; give a list of values instead"
