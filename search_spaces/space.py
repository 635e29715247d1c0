"""A declarative, conditional search space: named dimensions, some of which exist only where a parent has certain values.

This module says which parameters a configuration has and which values they may take. What the parameters mean is left to
`search_spaces.joint`; how configurations are drawn, to `grid`, `quasi_random` and `learning`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from margin_core.knobs import Scale

Value = float | int | str
Config = dict[str, Value]


@dataclass(frozen=True)
class Choice:
    """A finite dimension: numbers or names, in the order given.

    Raises:
        ValueError: No value, a value that is neither a finite number nor a string, or a value listed twice.

    Example:
        >>> Choice((0.0, 0.5, 1.0)).at(0.4)
        0.5
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a choice needs at least one value")
        for place, value in enumerate(self.values):
            if not isinstance(value, str) and not _is_number(value):
                raise ValueError(f"a choice's values must be finite numbers or strings, got {value!r}")
            if value in self.values[:place]:
                raise ValueError(f"a choice's values must differ, got {value!r} twice")

    @property
    def allowed(self) -> str:
        """The dimension in words, for error messages."""
        return "one of " + ", ".join(map(str, self.values))

    @property
    def single(self) -> bool:
        """Whether there is one value only."""
        return len(self.values) == 1

    def contains(self, value: object) -> bool:
        """Whether ``value`` is one of the values."""
        return not isinstance(value, bool) and value in self.values

    def at(self, position: float) -> Value:
        """The value at ``position`` in [0, 1); equal shares of that interval belong to each value."""
        return self.values[min(int(position * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True)
class Range:
    """A closed interval of numbers.

    Args:
        low: Least value.
        high: Greatest value.
        scale: ``linear`` or ``log``: over what the values are spread evenly.
        integer: Whether only whole numbers are meant.

    Raises:
        ValueError: The bounds are not finite or not in order, or do not fit ``scale`` or ``integer``.

    Example:
        >>> round(float(Range(0.001, 0.1, scale="log").at(0.5)), 6)
        0.01
    """

    low: float
    high: float
    scale: Scale = "linear"
    integer: bool = False

    def __post_init__(self) -> None:
        if not (_is_number(self.low) and _is_number(self.high) and self.low < self.high):
            raise ValueError(f"a range needs finite low < high, got low={self.low!r}, high={self.high!r}")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"a range's scale must be one of linear, log, got {self.scale!r}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a range with scale log needs low > 0, got {self.low!r}")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"a range of whole numbers needs whole bounds, got low={self.low!r}, high={self.high!r}")

    @property
    def allowed(self) -> str:
        """The dimension in words, for error messages."""
        return f"{'a whole number' if self.integer else 'a number'} in [{self.low:g}, {self.high:g}]"

    @property
    def single(self) -> bool:
        """Whether there is one value only: never."""
        return False

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a number of the interval."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.integer or float(value).is_integer())

    def at(self, position: float) -> Value:
        """The value at ``position`` in [0, 1) of the interval; whole numbers own equal shares of it."""
        margin = 0.5 if self.integer else 0.0
        low, high = self.low - margin, self.high + margin
        if self.scale == "log":
            value = math.exp((1.0 - position) * math.log(low) + position * math.log(high))
        else:
            value = (1.0 - position) * low + position * high
        if self.integer:
            value = math.floor(value + 0.5)
        value = min(max(value, self.low), self.high)
        return int(value) if self.integer else float(value)


Dimension = Choice | Range


@dataclass(frozen=True)
class Condition:
    """A parameter exists only where ``parent`` does and has one of ``values``."""

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Parameter:
    """A named dimension, with the condition under which it exists (None: always)."""

    name: str
    dimension: Dimension
    when: Condition | None = None


@dataclass(frozen=True)
class Space:
    """Parameters in the order they are decided; a parent stands before its children.

    Raises:
        ValueError: A name is used twice, or a condition names no earlier choice or a value that its parent never has.

    Example:
        >>> space = Space(
        ...     (
        ...         Parameter("family", Choice(("ce", "gds"))),
        ...         Parameter("gds.lam", Choice((0.5, 1.0)), Condition("family", ("gds",))),
        ...     )
        ... )
        >>> [parameter.name for parameter in space.active({"family": "ce"})]
        ['family']
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        earlier: dict[str, Dimension] = {}
        if not self.parameters:
            raise ValueError("a space needs at least one parameter")
        for parameter in self.parameters:
            if parameter.name in earlier:
                raise ValueError(f"parameter names must differ, got {parameter.name!r} twice")
            if parameter.when is not None:
                _check_condition(parameter.name, parameter.when, earlier.get(parameter.when.parent))
            earlier[parameter.name] = parameter.dimension

    @cached_property
    def parents(self) -> frozenset[str]:
        """Names of the parameters that others depend on."""
        return frozenset(parameter.when.parent for parameter in self.parameters if parameter.when is not None)

    def compose(self, pick: Callable[[Parameter], Value]) -> Config:
        """The configuration that has ``pick(parameter)`` for each parameter that exists, asked in order."""
        config: Config = {}
        for parameter in self.parameters:
            if exists(parameter, config):
                config[parameter.name] = pick(parameter)
        return config

    def active(self, config: Mapping[str, object]) -> tuple[Parameter, ...]:
        """The parameters that exist given the parents' values in ``config``."""
        found: dict[str, object] = {}
        active = []
        for parameter in self.parameters:
            if exists(parameter, found):
                active.append(parameter)
                if parameter.name in config:
                    found[parameter.name] = config[parameter.name]
        return tuple(active)

    def check(self, config: Mapping[str, object]) -> None:
        """Raise `ValueError` unless ``config`` has exactly the active parameters, each with a value of its dimension."""
        active = self.active(config)
        for parameter in active:
            if parameter.name not in config:
                raise ValueError(f"{parameter.name} is missing; it must be {parameter.dimension.allowed}")
            if not parameter.dimension.contains(config[parameter.name]):
                raise ValueError(f"{parameter.name} must be {parameter.dimension.allowed}, got {config[parameter.name]!r}")
        existing = {parameter.name for parameter in active}
        for name in config:
            if name not in existing:
                raise ValueError(f"{name} does not exist in this configuration, got {config[name]!r}")

    def holds(self, config: Mapping[str, object]) -> bool:
        """Whether `check` lets ``config`` pass."""
        try:
            self.check(config)
        except ValueError:
            return False
        return True


def exists(parameter: Parameter, decided: Mapping[str, object]) -> bool:
    """Whether ``parameter`` exists, given the values of the earlier parameters that do."""
    when = parameter.when
    return when is None or (when.parent in decided and decided[when.parent] in when.values)


def _check_condition(name: str, when: Condition, parent: Dimension | None) -> None:
    if parent is None:
        raise ValueError(f"{name} depends on {when.parent!r}, which must be declared before it")
    if not isinstance(parent, Choice):
        raise ValueError(f"{name} depends on {when.parent!r}, which must be a choice, not a range")
    if not when.values:
        raise ValueError(f"{name} depends on {when.parent!r} but names no value of it; allowed: {parent.allowed}")
    for value in when.values:
        if not parent.contains(value):
            raise ValueError(f"{name} depends on {when.parent!r} being {value!r}, but it is {parent.allowed}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
