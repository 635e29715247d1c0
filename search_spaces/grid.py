"""Every configuration of a space whose dimensions are all finite.

Only dimensions that exist are multiplied, so a `gds` configuration has no `beta` and a constant schedule no end. The size is
counted without listing, so that a preview of a huge grid is immediate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from search_spaces.space import Choice, Config, Parameter, Space, Value, exists


def grid(space: Space) -> Iterator[Config]:
    """Every configuration once, in declared order; the first parameter (in a joint space, the family) changes slowest.

    Raises:
        ValueError: A parameter is a range; raised by the call, before any configuration is asked for.

    Example:
        >>> from search_spaces.space import Condition
        >>> space = Space(
        ...     (
        ...         Parameter("family", Choice(("ce", "gds"))),
        ...         Parameter("gds.lam", Choice((0.5, 1.0)), Condition("family", ("gds",))),
        ...     )
        ... )
        >>> list(grid(space))
        [{'family': 'ce'}, {'family': 'gds', 'gds.lam': 0.5}, {'family': 'gds', 'gds.lam': 1.0}]
    """
    _check(space)
    return _product(space.parameters, {})


def grid_size(space: Space) -> int:
    """How many configurations `grid` gives; raises `ValueError` where a parameter is a range."""
    _check(space)
    parents = tuple(parameter for parameter in space.parameters if parameter.name in space.parents)
    return sum(
        math.prod(len(_values(parameter)) for parameter in space.active(config) if parameter.name not in space.parents)
        for config in _product(parents, {})
    )


def _product(parameters: tuple[Parameter, ...], decided: Config) -> Iterator[Config]:
    for place, parameter in enumerate(parameters):
        if exists(parameter, decided):
            for value in _values(parameter):
                yield from _product(parameters[place + 1 :], {**decided, parameter.name: value})
            return
    yield decided


def _check(space: Space) -> None:
    for parameter in space.parameters:
        _values(parameter)


def _values(parameter: Parameter) -> tuple[Value, ...]:
    if isinstance(parameter.dimension, Choice):
        return parameter.dimension.values
    span = parameter.dimension
    raise ValueError(f"{parameter.name} has no grid: it is the range [{span.low:g}, {span.high:g}]; give a list of values instead")
