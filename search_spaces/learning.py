"""Searchers that learn: Optuna's TPE and Gaussian process, and CMA-ES, over a conditional space.

A model learns within one arm of the space (`search_spaces.arms`), where it meets no conditions. Which arm is next, TPE learns too
(`search_spaces.arm_choice`); with the others, and for several values, the families take turns. A suggestion depends on the seed, on its
number and on what the learner has been told, never on how that came about: told the same in the same order, it suggests the same. When
it is told is left to the caller, and `Learner.waits_for` says what it has to be told for suggestions that do not depend on the number of
workers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

from margin_core.seeds import derive_seed
from search_spaces.arm_choice import ArmChoice
from search_spaces.arms import Arm, arms
from search_spaces.outcome import Outcome
from search_spaces.quasi_random import sobol
from search_spaces.space import Choice, Config, Parameter, Space

Method = Literal["tpe", "gp", "cma_es"]
METHODS: tuple[Method, ...] = ("tpe", "gp", "cma_es")

_STARTUP = 10  # cells of which families take turns, before TPE chooses among them; Optuna's own number


class Model(Protocol):
    """Learns over the free parameters of an arm."""

    def ask(self, seed: int) -> Config | None:
        """Values for the free parameters; None while there is too little to learn from."""

    def begin(self, number: int, values: Config, seed: int) -> None:
        """A configuration is going to be measured; ``seed`` is the one that it was asked with."""

    def tell(self, number: int, outcome: Outcome) -> None:
        """What came of the configuration that began as ``number``."""

    def recall(self, values: Config, outcome: Outcome) -> None:
        """What is known of a configuration from elsewhere."""


class Learner:
    """Suggests configurations by what came of earlier ones.

    Args:
        space: Where to search.
        method: ``tpe``, ``gp`` or ``cma_es``.
        seed: The search's seed.
        maximize: For each value of an outcome whether more is better. Several are for ``tpe``, which then looks for their Pareto front.
        batch: How many configurations are suggested together. With ``cma_es`` at least so many, in whole populations of each arm.
    """

    def __init__(self, space: Space, method: Method, *, seed: int, maximize: Sequence[bool] = (True,), batch: int | None = None) -> None:
        if batch is not None and batch < 1:
            raise ValueError(f"batch must be >= 1, got {batch!r}")
        if len(maximize) > 1 and method != "tpe":
            raise ValueError(f"method must be tpe for several values, got {method!r}")
        self._space = space
        self._seed = seed
        self._arms = arms(space, _names_without_order(space) if method == "cma_es" else ())
        self._begun = [0] * len(self._arms)
        self._of_family: Counter[object] = Counter()
        self._arm_of: dict[int, int] = {}
        self._batch, self._lag = batch, 1
        self._which: ArmChoice | None = None
        if method == "cma_es":
            from search_spaces.cma import CmaModel, least_population

            several = [arm for arm in self._arms if arm.free] or list(self._arms)
            population = max(math.ceil((batch or 0) / len(several)), *(least_population(arm.free) for arm in several))
            self._batch, self._lag = population * len(several), 0
            self._models: list[Model] = [CmaModel(arm.free, maximize=maximize[0], population=population) for arm in self._arms]
        else:
            from search_spaces.optuna_model import OptunaModel

            self._models = [OptunaModel(arm.free, method, maximize) for arm in self._arms]
            if method == "tpe" and len(maximize) == 1:
                self._which = ArmChoice(len(self._arms), maximize=maximize[0])

    @property
    def in_batches(self) -> bool:
        """Whether it is to be told no more than `waits_for` says, so that suggestions depend on nothing but results."""
        return self._batch is not None

    def waits_for(self, number: int) -> int:
        """How many of the first configurations have to have ended before the one with this number is asked for.

        The learner is told of exactly so many, in the order of their numbers. The Gaussian process and TPE leave the last batch out, so
        that workers need not wait for the slowest of it; CMA-ES needs whole populations. Without batches it is 0, and the learner is told
        what has ended, when it ends.
        """
        return 0 if self._batch is None else max(0, (number // self._batch - self._lag) * self._batch)

    def ask(self, number: int, attempt: int = 0) -> Config | None:
        """A configuration to measure, or None where every arm is exhausted.

        Args:
            number: Which one it will be, from 0.
            attempt: How many suggestions for this number were refused, as known already. The first is the model's, the others are Sobol
                points of the same arm.
        """
        place = self._choose(number)
        if place is None:
            return None
        arm, values = self._arms[place], None
        if arm.free and attempt == 0:
            values = self._models[place].ask(self._seed_of(number))
        if arm.free and values is None:
            values = sobol(Space(arm.free), seed=derive_seed(self._seed, str(arm.fixed)), index=self._begun[place] + attempt)
        return arm.config(values or {})

    def begin(self, number: int, config: Config) -> None:
        """A configuration, asked for or not, is going to be measured; each one once."""
        place = self._place(config)
        self._begun[place] += 1
        self._of_family[self._first(self._arms[place])] += 1
        self._arm_of[number] = place
        self._models[place].begin(number, config, self._seed_of(number))
        if self._which is not None:
            self._which.begin(place)

    def tell(self, number: int, outcome: Outcome) -> None:
        """What came of a configuration that has begun."""
        place = self._arm_of.pop(number)
        self._models[place].tell(number, outcome)
        if self._which is not None:
            self._which.tell(place, outcome)

    def recall(self, config: Config, outcome: Outcome) -> None:
        """What an earlier study knows of a configuration, which may be asked for all the same; before anything begins."""
        place = self._place(config)
        self._models[place].recall(config, outcome)
        if self._which is not None:
            self._which.begin(place)
            self._which.tell(place, outcome)

    def _choose(self, number: int) -> int | None:
        """The arm to go on with: one that TPE chooses, or the one whose turn it is."""
        if self._which is not None and self._which.known >= _STARTUP:
            chosen = self._which.ask(self._seed_of(number, "arm"))
            if self._open(chosen):
                return chosen
        there = [place for place in range(len(self._arms)) if self._open(place)]
        return min(there, key=lambda place: (self._of_family[self._first(self._arms[place])], self._begun[place]), default=None)

    def _open(self, place: int) -> bool:
        return self._begun[place] < self._arms[place].size

    def _place(self, config: Config) -> int:
        for place, arm in enumerate(self._arms):
            if all(config.get(name, value) == value for name, value in arm.fixed.items()):
                return place
        raise ValueError(f"config is of no arm of the space, got {config!r}")

    def _first(self, arm: Arm) -> object:
        """The family."""
        return arm.fixed.get(self._space.parameters[0].name)

    def _seed_of(self, number: int, purpose: str = "values") -> int:
        return derive_seed(self._seed, purpose, number) % 2**32


def _names_without_order(space: Space) -> list[str]:
    """Choices among names, along which nothing can be followed."""

    def unordered(parameter: Parameter) -> bool:
        return isinstance(parameter.dimension, Choice) and any(isinstance(value, str) for value in parameter.dimension.values)

    return [parameter.name for parameter in space.parameters if unordered(parameter)]
