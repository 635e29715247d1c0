"""Which parameters a screen's good results hang on: for exploring only, for it says neither where the best value is nor how surely.

The method is conditional PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023; Kato et al., KDD 2026): how far the values of the best tenth
differ from those of all. A parameter that exists in some families alone is judged among the configurations that have it. Whiskers come
from drawing the configurations anew. How values become a density is left to `search_spaces.density`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin_core.seeds import numpy_generator
from search_spaces.density import cell_count, cells_of, density
from search_spaces.space import Config, Dimension, Parameter, Space

LEAST_GOOD = 5
"""Configurations that must be among the best share, or nothing is said."""
DRAWS = 100
MOST = 500
"""Configurations of each draw; of more, as many are drawn, which makes whiskers wider than they need be."""
_LEAST = 2
"""Configurations with a parameter, or nothing is said of it."""


@dataclass(frozen=True)
class Importance:
    """How much one parameter matters for being among the best.

    Attributes:
        name: The parameter.
        share: Its share of all parameters' importance, from 0 to 1.
        low: The 5 % quantile over the draws.
        high: The 95 % quantile.
        configs: How many configurations have the parameter.
    """

    name: str
    share: float
    low: float
    high: float
    configs: int


def importance(
    space: Space,
    configs: Sequence[Config],
    values: Sequence[float],
    *,
    maximize: bool = True,
    quantile: float = 0.1,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Importance]:
    """The parameters with several values by falling importance; none where fewer than `LEAST_GOOD` configurations are among the best.

    Args:
        space: What the configurations were drawn from.
        configs: The configurations that ended well, (n,).
        values: What each came to, (n,), finite.
        maximize: Whether more is better.
        quantile: What share of them counts as the best, in (0, 1).
        draws: How often they are drawn anew, with replacement, for the whiskers.
        seed: Of these draws.

    Raises:
        ValueError: The two differ in length, a value is not finite, ``quantile`` is not in (0, 1), or a configuration is none of the
            space.
    """
    if len(configs) != len(values):
        raise ValueError(f"configs and values must be of one length, got {len(configs)} and {len(values)}")
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile must be in (0, 1), got {quantile!r}")
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("values must be finite; leave lost configurations out")
    for config in configs:
        space.check(config)
    if quantile * len(configs) < LEAST_GOOD:
        return []
    model = _PedAnova(space, configs, -numbers if maximize else numbers)
    whole = _shares(model.divergences(quantile, np.arange(len(configs))))
    generator, size = numpy_generator(seed, "importance"), min(len(configs), MOST)
    drawn = [_shares(model.divergences(quantile, generator.integers(len(configs), size=size))) for _ in range(draws)]
    varied = [parameter.name for parameter in space.parameters if parameter.name in whole and not parameter.dimension.single]
    having = {name: sum(name in config for config in configs) for name in varied}
    found = [Importance(name, whole[name], *_whiskers(name, whole[name], drawn), having[name]) for name in varied]
    return sorted(found, key=lambda entry: (-entry.share, entry.name))


def _shares(divergences: Mapping[str, float]) -> dict[str, float]:
    """Each parameter's share of all importance; a parameter with a single value has none."""
    total = sum(divergences.values())
    return {name: value / total if total > 0.0 else 0.0 for name, value in divergences.items()}


def _whiskers(name: str, share: float, drawn: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    shares = [draw.get(name, 0.0) for draw in drawn]
    if not shares:
        return share, share
    low, high = np.quantile(shares, [0.05, 0.95])
    return min(float(low), share), max(float(high), share)


class _PedAnova:
    """Conditional PED-ANOVA over some configurations.

    Args:
        space: What they were drawn from.
        configs: The configurations, (n,).
        costs: What each came to, less being better, (n,), finite.
    """

    def __init__(self, space: Space, configs: Sequence[Config], costs: NDArray[np.float64]) -> None:
        columns = (_Column.of(parameter, configs) for parameter in space.parameters)
        self._columns = [column for column in columns if (column.cells >= 0).any()]
        self._costs = costs

    def divergences(self, quantile: float, places: NDArray[np.intp]) -> dict[str, float]:
        """How far each parameter's values in the best share of the configurations differ from those in all of them; >= 0.

        Args:
            quantile: The share, in (0, 1).
            places: Which configurations to look at, (m,), one possibly several times.
        """
        costs = self._costs[places]
        last = math.ceil(quantile * len(costs)) - 1
        best = costs <= np.partition(costs, last)[last]
        return {column.name: column.divergence(places, best) for column in self._columns}


@dataclass(frozen=True)
class _Column:
    """A parameter's values in some configurations.

    Attributes:
        name: The parameter.
        dimension: What its values are of.
        cells: The cell of each configuration's value, -1 where it has none, (n,).
    """

    name: str
    dimension: Dimension
    cells: NDArray[np.intp]

    @classmethod
    def of(cls, parameter: Parameter, configs: Sequence[Config]) -> _Column:
        cells = np.full(len(configs), -1)
        having = [place for place, config in enumerate(configs) if parameter.name in config]
        cells[having] = cells_of(parameter.dimension, [configs[place][parameter.name] for place in having])
        return cls(parameter.name, parameter.dimension, cells)

    def divergence(self, places: NDArray[np.intp], best: NDArray[np.bool_]) -> float:
        """Pearson's divergence of the best share from all, by how often either has the parameter (Theorem 4.2 of Kato et al.)."""
        cells = self.cells[places]
        every = np.bincount(cells[cells >= 0], minlength=cell_count(self.dimension))
        top = np.bincount(cells[best & (cells >= 0)], minlength=len(every))
        if self.dimension.single or every.sum() < _LEAST or not top.any():
            return 0.0
        here, there = density(top, self.dimension), density(every, self.dimension)
        had_by_best, had_by_all = top.sum() / best.sum(), every.sum() / len(cells)
        return float(had_by_best**2 / had_by_all * (there @ (here / there - 1.0) ** 2))
