"""Which parameters a screen's good results hang on: for exploring only, for it says neither where the best value is nor how surely.

The method is conditional PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023; Kato et al., KDD 2026), as Optuna has it: how far the values
of the best tenth differ from those of all. A parameter that exists in some families alone is judged among the configurations that have
it. Whiskers come from drawing the configurations anew. Imports Optuna, so it is imported only where it is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from margin_core.seeds import numpy_generator
from search_spaces.optuna_model import distribution
from search_spaces.space import Config, Space

LEAST_GOOD = 5
"""Configurations that must be among the best share, or nothing is said."""
DRAWS = 100
MOST = 500
"""Configurations of each draw; of more, as many are drawn, which makes whiskers wider than they need be."""


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
    whole = _shares(model.divergences(quantile))
    generator, size = numpy_generator(seed, "importance"), min(len(configs), MOST)
    drawn = [_shares(model.divergences(quantile, generator.integers(len(configs), size=size).tolist())) for _ in range(draws)]
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
        known = {parameter.name: distribution(parameter.dimension) for parameter in space.parameters}
        self._trials = [_trial(place, config, float(cost), known) for place, (config, cost) in enumerate(zip(configs, costs, strict=True))]
        self._given = _Given()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of each study that is made
        self._study = optuna.create_study(storage=self._given, sampler=optuna.samplers.RandomSampler(seed=0))
        optuna.logging.set_verbosity(verbosity)

    def divergences(self, quantile: float, places: Sequence[int] | None = None) -> dict[str, float]:
        """How far each parameter's values in the best share of the configurations differ from those in all of them; >= 0.

        Args:
            quantile: The share, in (0, 1).
            places: Which configurations to look at, one possibly several times; by default all.
        """
        self._given.trials = self._trials if places is None else [self._trials[place] for place in places]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of families with a single configuration, which are left out
            return PedAnovaImportanceEvaluator(target_quantile=quantile).evaluate(self._study)


class _Given(InMemoryStorage):
    """Holds the trials that it is given, where Optuna's own would copy each of them for each draw."""

    trials: Sequence[FrozenTrial] = ()

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return list(self.trials)


def _trial(place: int, config: Config, cost: float, known: dict[str, BaseDistribution]) -> FrozenTrial:
    then = datetime(2000, 1, 1)
    return FrozenTrial(
        number=place,
        trial_id=place,
        state=TrialState.COMPLETE,
        value=cost,
        datetime_start=then,
        datetime_complete=then,
        params=dict(config),
        distributions={name: known[name] for name in config},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
