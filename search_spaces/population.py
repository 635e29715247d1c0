"""Population based training: which members of a population are replaced, by copies of which others, and how a copy's values are changed.

After Jaderberg et al., Population Based Training of Neural Networks, 2017: truncation selection, then a move or a fresh draw of each
value. A member is a configuration whose values change over training as paths (`search_spaces.paths`), so that a copy is another
configuration, and nothing else. Training the members, and what they come to, is left to others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.outcome import Outcome
from search_spaces.paths import extended, last_value
from search_spaces.space import Choice, Config, Parameter, Range, Space


@dataclass(frozen=True)
class Changes:
    """How the values of a copy are changed.

    Args:
        step: How far a value moves, as a share of its range on its own scale, in (0, 1]; of a list it moves to the next one.
        resample: How often a value is drawn anew instead, in [0, 1].
    """

    step: float
    resample: float


def schedulable(space: Space) -> tuple[Parameter, ...]:
    """The parameters that may change over training and have several values: knobs, weights of regularisers and the learning rate.

    Options and the weight decay stay what they are in a member.

    Example:
        >>> from search_spaces import joint_space
        >>> space = joint_space({"ce": None, "gds": {"hardest": ["attached", "detached"]}}, nuisance={"lr": {"low": 0.01, "high": 1.0}})
        >>> [parameter.name for parameter in schedulable(space)]
        ['ce.label_smoothing', 'gds.lam', 'lr']
    """
    return tuple(p for p in space.parameters if p.name.count(".") <= 1 and p.name != "weight_decay" and _several_numbers(p))


def replaced(members: int, exploit: float) -> int:
    """How many of a population are replaced, where none is lost.

    Example:
        >>> replaced(16, 0.25), replaced(3, 0.25), replaced(1, 0.25)
        (4, 1, 0)
    """
    return max(1, math.floor(members * exploit)) if members > 1 else 0


def replacements(outcomes: Sequence[Outcome], exploit: float, *, maximize: bool) -> tuple[list[int], list[int]]:
    """Which members are replaced, and which ones the copies are of.

    The worst share is replaced, at least one member of two or more, and whatever was lost. Copies are of the best share, those that were
    lost left out.

    Args:
        outcomes: What the members have come to, in their order, which decides between equals.
        exploit: Either share, in (0, 0.5].
        maximize: Whether more is better.

    Returns:
        Places of those that are replaced, the worst first, and of those that are copied, the best first.

    Example:
        >>> outcomes = [Outcome.of(value) for value in (50.0, 70.0, None, 60.0)]
        >>> replacements(outcomes, 0.25, maximize=True)
        ([2], [1])
    """
    order = sorted(range(len(outcomes)), key=lambda place: outcomes[place].badness(maximize))
    count = replaced(len(order), exploit)
    lost = {place for place, outcome in enumerate(outcomes) if outcome.values is None}
    worst = [place for rank, place in enumerate(order) if rank >= len(order) - count or place in lost]
    return worst[::-1], [place for place in order[:count] if place not in lost]


def changed(space: Space, config: Config, place: float, changes: Changes, draws: np.random.Generator) -> Config:
    """A copy of a member, each of whose values has moved or is drawn anew from ``place`` on, a share of the training.

    A value that moves goes up or down by a step on its own scale, to four digits, and no further than its range. A value that comes out
    as it was makes no jump.
    """
    copy, active = config, {parameter.name for parameter in space.active(config)}
    for parameter in schedulable(space):
        if parameter.name in active:
            now = float(last_value(config, parameter.name))
            new = _resampled(parameter, draws) if draws.random() < changes.resample else _moved(parameter, now, changes.step, draws)
            if new != now:
                copy = extended(copy, parameter.name, place, new)
    return copy


def _several_numbers(parameter: Parameter) -> bool:
    dimension = parameter.dimension
    return isinstance(dimension, Range) or (len(dimension.values) > 1 and not any(isinstance(value, str) for value in dimension.values))


def _resampled(parameter: Parameter, draws: np.random.Generator) -> float:
    value = float(parameter.dimension.at(float(draws.random())))
    return value if isinstance(parameter.dimension, Choice) else _rounded(parameter.dimension, value)


def _moved(parameter: Parameter, now: float, step: float, draws: np.random.Generator) -> float:
    dimension, way = parameter.dimension, 1 if draws.random() < 0.5 else -1
    if isinstance(dimension, Choice):
        values = sorted(map(float, dimension.values))
        return values[min(max(values.index(now) + way, 0), len(values) - 1)]
    if dimension.integer:
        return _rounded(dimension, now + way * max(1, round(step * (dimension.high - dimension.low))))
    if dimension.scale == "log":
        return _rounded(dimension, now * (dimension.high / dimension.low) ** (way * step))
    return _rounded(dimension, now + way * step * (dimension.high - dimension.low))


def _rounded(dimension: Range, value: float) -> float:
    return min(max(float(f"{value:.4g}"), float(dimension.low)), float(dimension.high))
