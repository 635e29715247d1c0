"""What a family may vary: numbers (`Knob`), named choices (`Option`) and numbers that change over training (`Schedule`).

A knob is declared once, beside its formula. The search space, the command line's checks, MLflow's parameter names, the docs and
the report's axes all read that declaration.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Scale = Literal["linear", "log"]
ScheduleKind = Literal["constant", "linear", "cosine", "inverse", "step", "path"]
SCHEDULE_KINDS: tuple[ScheduleKind, ...] = ("constant", "linear", "cosine", "inverse", "step")
"""The kinds that lead from one value to another, among which a study may look for the best; a path is what it is."""


@dataclass(frozen=True)
class Knob:
    """A number of a family that a study varies.

    Args:
        name: The keyword of the family's pure function.
        symbol: How the paper writes it, for axes and docs.
        default: The value where a study names none.
        low: Least value that the mathematics allows.
        high: Greatest value that the mathematics allows.
        grid: The values that the source papers try, in rising order; a study's default.
        search: The range of a continuous search where a study gives none.
        scale: Whether a search and an axis run over the value or its logarithm.
        open_low: Whether ``low`` itself is excluded.
        open_high: Whether ``high`` itself is excluded.
        integer: Whether only whole numbers are allowed.
        baseline: The value at which the family's gradient is that of cross-entropy, where there is one.
        source: Paper and equation.
    """

    name: str
    symbol: str
    default: float
    low: float
    high: float
    grid: tuple[float, ...]
    search: tuple[float, float]
    scale: Scale = "linear"
    open_low: bool = False
    open_high: bool = False
    integer: bool = False
    baseline: float | None = None
    source: str = ""

    @property
    def allowed(self) -> str:
        """The bounds in words, for error messages and docs: ``> 0`` or ``in [0, 1]``."""
        noun = "a whole number " if self.integer else ""
        if math.isinf(self.low):
            return "any finite number" if math.isinf(self.high) else f"{noun}{'<' if self.open_high else '<='} {self.high:g}"
        if math.isinf(self.high):
            return f"{noun}{'>' if self.open_low else '>='} {self.low:g}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{noun}in {left}{self.low:g}, {self.high:g}{right}"

    def extendable(self, values: Collection[float]) -> tuple[bool, bool]:
        """Whether values below the least of ``values``, and above the greatest, are within the bounds."""
        return min(values) > self.low, max(values) < self.high

    def check(self, value: object, owner: str) -> float:
        """Return ``value`` as a float, or raise `ValueError` naming the family, the knob, the value and what is allowed.

        Args:
            value: What was given.
            owner: The family or regulariser that the knob belongs to.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{owner}: {self.name} must be a number {self.allowed}, got {value!r}")
        number = float(value)
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        whole = not self.integer or number.is_integer()
        if not (math.isfinite(number) and above and below and whole):
            raise ValueError(f"{owner}: {self.name} must be {self.allowed}, got {value!r}")
        return number


@dataclass(frozen=True)
class Option:
    """A named choice of a family (a reading of the paper, not a number): ``hardest``, ``mode``."""

    name: str
    choices: tuple[str, ...]
    default: str
    source: str = ""

    def check(self, value: object, owner: str) -> str:
        """Return ``value``, or raise `ValueError` naming the family, the option, the value and what is allowed."""
        if value not in self.choices:
            raise ValueError(f"{owner}: {self.name} must be one of {', '.join(self.choices)}, got {value!r}")
        return str(value)


@dataclass(frozen=True)
class Schedule:
    """A knob that changes over training, as a pure function of progress.

    ``linear`` is the warm-up of the gradient-decay paper, eq. (24), which it states per iteration up to an end iteration; here
    ``length`` is that end iteration as a share of the training's steps, and the end value holds after it. ``inverse`` is the annealing of
    SphereFace's code, base / (1 + gamma step) down to a minimum: the value's inverse is linear.

    Args:
        kind: ``constant`` (``start`` throughout), ``linear``, ``cosine`` (half a cosine), ``inverse`` (between values > 0), ``step`` (jumps
            at ``length``) or ``path`` (any number of jumps).
        start: Value at the first step.
        end: Value from ``length`` on; not used by ``constant`` and ``path``.
        length: Share of the training's steps after which ``end`` holds, in (0, 1].
        then: Of a ``path`` the jumps: pairs of a share of the training's steps, rising, in (0, 1), and the value that holds from there on.

    Raises:
        ValueError: Naming the part, the value and what is allowed.

    Example:
        >>> warm_up = Schedule("linear", start=0.001, end=0.01, length=0.5)
        >>> [round(warm_up.value(p), 4) for p in (0.0, 0.25, 0.5, 1.0)]
        [0.001, 0.0055, 0.01, 0.01]
        >>> path = Schedule("path", start=1.0, then=((0.25, 1.5), (0.5, 1.2)))
        >>> [path.value(p) for p in (0.0, 0.24, 0.25, 0.5, 1.0)]
        [1.0, 1.0, 1.5, 1.2, 1.2]
    """

    kind: ScheduleKind
    start: float
    end: float | None = None
    length: float = 1.0
    then: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (*SCHEDULE_KINDS, "path"):
            raise ValueError(f"schedule kind must be one of {', '.join(SCHEDULE_KINDS)}, path, got {self.kind!r}")
        if self.kind not in ("constant", "path") and self.end is None:
            raise ValueError(f"a {self.kind} schedule needs an end value")
        if self.kind == "inverse" and not all(value > 0.0 for value in self.values):
            raise ValueError(f"an inverse schedule's start and end must be > 0, got {self.start!r} and {self.end!r}")
        if not 0.0 < self.length <= 1.0:
            raise ValueError(f"schedule length must be in (0, 1], got {self.length!r}")
        object.__setattr__(self, "then", _jumps(self.then))
        if bool(self.then) != (self.kind == "path"):
            raise ValueError(f"schedule then must be {'given' if self.kind == 'path' else 'left out'} with kind {self.kind}")

    @property
    def values(self) -> tuple[float, ...]:
        """The values that bound the course: every value in between lies between them."""
        if self.kind == "path":
            return (self.start, *(value for _, value in self.then))
        return (self.start,) if self.kind == "constant" or self.end is None else (self.start, self.end)

    def value(self, progress: float) -> float:
        """The knob's value after a share ``progress`` (0 to 1) of the training's steps."""
        if self.kind == "path":
            return next((value for place, value in reversed(self.then) if progress >= place), self.start)
        if self.kind == "constant" or self.end is None:
            return self.start
        done = min(max(progress / self.length, 0.0), 1.0)
        if done == 1.0:
            return self.end
        if self.kind == "step":
            return self.start
        if self.kind == "inverse":
            return self.start / (1.0 + done * (self.start / self.end - 1.0))
        weight = done if self.kind == "linear" else (1.0 - math.cos(math.pi * done)) / 2.0
        return self.start + weight * (self.end - self.start)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON data."""
        plain: dict[str, Any] = {"kind": self.kind, "start": plain_number(self.start)}
        if self.kind == "path":
            return plain | {"then": [[plain_number(place), plain_number(value)] for place, value in self.then]}
        return plain | {"end": None if self.end is None else plain_number(self.end), "length": plain_number(self.length)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schedule:
        """The schedule that `to_dict` wrote; raises `ValueError` on an unknown, missing or misshapen part."""
        try:
            return cls(**data)
        except TypeError:
            raise ValueError(f"a schedule has the keys kind, start, end, length, then, got {', '.join(map(str, data))}") from None


def plain_number(value: float) -> float:
    """As a float, and -0.0 as 0.0: equal values must give equal ids."""
    return float(value) + 0.0


def _jumps(then: object) -> tuple[tuple[float, float], ...]:
    allowed = "pairs of a share of the training, rising, above 0 and below 1, and the value from there on"
    try:
        jumps = tuple((float(place), float(value)) for place, value in then)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(f"schedule then must be {allowed}, got {then!r}") from None
    places = [0.0, *(place for place, _ in jumps), 1.0]
    if not all(earlier < later for earlier, later in pairwise(places)):
        raise ValueError(f"schedule then must be {allowed}, got {then!r}")
    return jumps
