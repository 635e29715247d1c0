"""A conditional space as its arms: parts without conditions, each with one choice of the values that others depend on.

In a joint space there is an arm for each family, or for each family and kind of schedule. What exists in an arm exists in all of its
configurations, so a model that knows no conditions is sound within it. Which arm is next is left to `search_spaces.learning`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from search_spaces.grid import grid
from search_spaces.space import Choice, Config, Dimension, Parameter, Space


@dataclass(frozen=True)
class Arm:
    """One part of a space.

    Attributes:
        space: The space that it is a part of.
        fixed: The values that make it this arm, and those of parameters that have no other.
        free: The other parameters that exist in it, without conditions; each has at least two values.
    """

    space: Space
    fixed: Config
    free: tuple[Parameter, ...]

    @property
    def size(self) -> float:
        """How many configurations it has: infinitely many with a range of real numbers."""
        return math.prod(count(parameter.dimension) for parameter in self.free)

    def config(self, values: Mapping[str, object]) -> Config:
        """The configuration that has ``values`` for the free parameters."""
        whole = {**self.fixed, **values}
        return self.space.compose(lambda parameter: whole[parameter.name])  # type: ignore[arg-type, return-value]


def arms(space: Space, apart: Collection[str] = ()) -> tuple[Arm, ...]:
    """The arms of ``space``, in declared order.

    Args:
        space: The space.
        apart: Further choices whose values get arms of their own, although nothing depends on them.

    Example:
        >>> from search_spaces.space import Condition
        >>> space = Space(
        ...     (
        ...         Parameter("family", Choice(("ce", "gds"))),
        ...         Parameter("gds.lam", Choice((0.5, 1.0)), Condition("family", ("gds",))),
        ...     )
        ... )
        >>> [(arm.fixed, arm.size) for arm in arms(space)]
        [({'family': 'ce'}, 1), ({'family': 'gds'}, 2)]
    """
    deciding = tuple(parameter for parameter in space.parameters if parameter.name in space.parents or parameter.name in apart)
    return tuple(_arm(space, decided) for decided in (grid(Space(deciding)) if deciding else [Config()]))


def count(dimension: Dimension) -> float:
    """How many values a dimension has."""
    if isinstance(dimension, Choice):
        return len(dimension.values)
    return dimension.high - dimension.low + 1 if dimension.integer else math.inf


def _arm(space: Space, decided: Config) -> Arm:
    there = [parameter for parameter in space.active(decided) if parameter.name not in decided]
    single = {p.name: p.dimension.values[0] for p in there if isinstance(p.dimension, Choice) and len(p.dimension.values) == 1}
    return Arm(space, {**decided, **single}, tuple(replace(p, when=None) for p in there if p.name not in single))
