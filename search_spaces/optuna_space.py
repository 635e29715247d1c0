"""The space as Optuna sees it: asked parameter by parameter, searched by TPE, and rebuilt from a record of finished trials.

Parameter names and values in Optuna are those of the configuration, so an Optuna trial's ``params`` is a configuration. Optuna is
imported only when a function here is called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from search_spaces.space import Choice, Config, Dimension, Parameter, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import BaseTrial, FrozenTrial


def suggest(space: Space, trial: BaseTrial) -> Config:
    """The configuration that ``trial``'s sampler suggests; only parameters that exist are asked for.

    Args:
        space: Where to search.
        trial: A trial that `optuna.Study.ask` gave.

    Example:
        >>> import optuna
        >>> space = Space((Parameter("family", Choice(("ce",))),))
        >>> suggest(space, optuna.trial.FixedTrial({"family": "ce"}))
        {'family': 'ce'}
    """
    return space.compose(lambda parameter: _ask(trial, parameter))


def tpe_sampler(seed: int, *, startup: int = 10) -> BaseSampler:
    """A TPE sampler that models the parameters of each family jointly.

    The suggestion for trial n depends on ``seed``, on n, and on the trials that the study holds, running ones included (their
    neighbourhood is avoided). So a study rebuilt with `frozen_trial`, in the order of the record, goes on as it would have.

    Args:
        seed: The study's seed.
        startup: Trials that are drawn at random before the model is used.

    Raises:
        ValueError: ``startup`` is negative.
    """
    from search_spaces.replayable_tpe import ReplayableTPE

    if startup < 0:
        raise ValueError(f"startup must be >= 0, got {startup!r}")
    return ReplayableTPE(seed, startup)


def frozen_trial(space: Space, config: Mapping[str, Value], value: float | None) -> FrozenTrial:
    """A finished trial for `optuna.Study.add_trial`, from a record of it.

    Args:
        space: The space that ``config`` was drawn from.
        config: The configuration.
        value: The objective; None for a trial that failed, which keeps its number but teaches the sampler nothing.

    Raises:
        ValueError: ``config`` is not of ``space``, or ``value`` is not a number.
    """
    from optuna.trial import TrialState, create_trial

    space.check(config)
    if value is not None and math.isnan(value):
        raise ValueError("value must be a number, or None for a failed trial, got nan")
    active = space.active(config)
    return create_trial(
        state=TrialState.FAIL if value is None else TrialState.COMPLETE,
        value=value,
        params={parameter.name: config[parameter.name] for parameter in active},
        distributions={parameter.name: _distribution(parameter.dimension) for parameter in active},
    )


def _ask(trial: BaseTrial, parameter: Parameter) -> Value:
    name, dimension = parameter.name, parameter.dimension
    if isinstance(dimension, Choice):
        # Optuna's own types would let None through; a choice never holds it.
        return cast(Value, trial.suggest_categorical(name, dimension.values))
    log = dimension.scale == "log"
    if dimension.integer:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=log)


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    log = dimension.scale == "log"
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=log)
    return FloatDistribution(dimension.low, dimension.high, log=log)
