"""CMA-ES over parameters without conditions, by the package ``cmaes``.

A population is drawn from a normal distribution, and the order of its results moves the distribution. Coordinates are positions in
[0, 1], on the scale of each range. Lists of numbers, in their order, are stepped through: CMA-ES with margin (Hamano et al., GECCO
2022) keeps every step likely enough to be drawn. Imported only when this searcher is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from cmaes import CMAwM, get_warm_start_mgd
from numpy.typing import NDArray

from margin_core.seeds import numpy_generator
from search_spaces.outcome import Outcome
from search_spaces.space import Choice, Config, Dimension, Parameter, Value

_SPREAD = 0.3  # the first distribution's standard deviation, around the middle of the unit cube
_STEPS = 100  # whole numbers that a range may hold to be stepped through

Point = NDArray[np.float64]


def least_population(parameters: Sequence[Parameter]) -> int:
    """The usual population for so many parameters, 4 + 3 ln d (Hansen, The CMA Evolution Strategy: A Tutorial, 2016, table 1)."""
    return 4 + math.floor(3 * math.log(max(2, len(parameters))))


class CmaModel:
    """CMA-ES over the free parameters of an arm.

    Only the order of a population's results counts, and one that was lost is behind all others. With a single parameter, a coordinate that
    means nothing stands beside it, for the method needs two.

    Args:
        parameters: What to suggest values for; lists among them are of numbers.
        maximize: Whether more is better.
        population: How many configurations move the distribution together.
    """

    def __init__(self, parameters: Sequence[Parameter], *, maximize: bool, population: int) -> None:
        self._parameters = tuple(parameters)
        self._dimensions = [_stepped(parameter.dimension) for parameter in parameters]
        self._maximize = maximize
        self._population = population
        self._pending: dict[int, Point] = {}
        self._told: list[tuple[Point, Outcome]] = []
        self._recalled: list[tuple[Point, Outcome]] = []
        self._restarts = 0
        self._evolution: CMAwM | None = None

    def ask(self, seed: int) -> Config | None:
        """Values drawn from the present distribution."""
        return self._values(self._draw(seed)[0])

    def begin(self, number: int, values: Config, seed: int) -> None:
        """A configuration is going to be measured; what was drawn for it is drawn again, which costs less than keeping it."""
        if self._parameters:
            meant, drawn = self._draw(seed)
            mine = {parameter.name: values[parameter.name] for parameter in self._parameters}
            self._pending[number] = drawn if self._values(meant) == mine else self._point(values)

    def tell(self, number: int, outcome: Outcome) -> None:
        """What came of it; the last of a population moves the distribution."""
        if not self._parameters:
            return
        self._told.append((self._pending.pop(number), outcome))
        if len(self._told) == self._population:
            ranked = sorted(self._told, key=lambda told: told[1].badness(self._maximize))
            evolution = self._present()
            evolution.tell([(point, float(rank)) for rank, (point, _) in enumerate(ranked)])
            self._told = []
            if evolution.should_stop():
                self._restarts += 1
                self._evolution = None

    def recall(self, values: Config, outcome: Outcome) -> None:
        """What is known from elsewhere: the first distribution is that of the best tenth (Nomura et al., AAAI 2021)."""
        if self._parameters and outcome.values is not None and outcome.stopped_after is None:
            self._recalled.append((self._point(values), outcome))

    def _draw(self, seed: int) -> tuple[Point, Point]:
        """A point as it is measured, and as the distribution is told of it."""
        evolution = self._present()
        evolution.reseed_rng(seed)
        meant, drawn = evolution.ask()
        return meant, drawn

    def _present(self) -> CMAwM:
        if self._evolution is None:
            steps = np.array([_step(dimension) for dimension in self._dimensions] + [0.0] * (2 - len(self._dimensions)))
            mean, sigma, covariance = self._start(len(steps))
            bounds = np.tile([0.0, 1.0], (len(steps), 1))
            self._evolution = CMAwM(mean, sigma, bounds, steps, seed=0, population_size=self._population, cov=covariance)
        return self._evolution

    def _start(self, size: int) -> tuple[Point, float, Point | None]:
        if self._restarts:
            return numpy_generator("restart", self._restarts).uniform(0.2, 0.8, size), _SPREAD, None
        if not self._recalled:
            return np.full(size, 0.5), _SPREAD, None
        ranked = sorted(self._recalled, key=lambda known: known[1].badness(self._maximize))
        best = [(point, 0.0) for point, _ in ranked[: math.ceil(len(ranked) / 10)]]
        mean, sigma, covariance = get_warm_start_mgd(best, gamma=1.0)
        return mean, sigma, covariance

    def _values(self, point: Point) -> Config:
        return {
            parameter.name: _at(dimension, float(x))
            for parameter, dimension, x in zip(self._parameters, self._dimensions, point, strict=False)
        }

    def _point(self, values: Config) -> Point:
        known = [
            _position(dimension, values[parameter.name]) for parameter, dimension in zip(self._parameters, self._dimensions, strict=True)
        ]
        return np.array(known + [0.5] * (2 - len(known)))


def _stepped(dimension: Dimension) -> Dimension:
    """A list of numbers in their order, and a range of few whole numbers as their list."""
    if isinstance(dimension, Choice):
        return Choice(tuple(sorted(dimension.values, key=float)))
    if dimension.integer and dimension.high - dimension.low < _STEPS:
        return Choice(tuple(range(int(dimension.low), int(dimension.high) + 1)))
    return dimension


def _step(dimension: Dimension) -> float:
    return 1.0 / (len(dimension.values) - 1) if isinstance(dimension, Choice) else 0.0


def _at(dimension: Dimension, position: float) -> Value:
    if isinstance(dimension, Choice):
        return dimension.values[round(position * (len(dimension.values) - 1))]
    return dimension.at(position)


def _position(dimension: Dimension, value: Value) -> float:
    if isinstance(dimension, Choice):
        return dimension.values.index(value) / (len(dimension.values) - 1)
    low, high, number = float(dimension.low), float(dimension.high), float(value)
    if dimension.scale == "log":
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)
