"""What Optuna's samplers learn of parameters without conditions: its TPE and its Gaussian process.

A sampler is made anew for each suggestion, with a seed of its own, and shown an Optuna study that holds what is known. The study is kept
small, so that asking costs the same after ten thousand configurations as after fifty. Imported only when such a searcher is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search_spaces.outcome import Outcome
from search_spaces.space import Choice, Config, Dimension, Parameter

MOST = 64
"""Finished configurations that a sampler is shown; when there are more, half of them are kept."""


@dataclass(frozen=True)
class _Known:
    """A finished configuration."""

    values: Config
    outcome: Outcome


class OptunaModel:
    """One of Optuna's samplers over some parameters.

    When more than `MOST` finished configurations are known, half of them are kept: the best quarter, which TPE follows, and of the others
    every third, good and bad, so that what is to be left alone is still known.

    Args:
        parameters: What to suggest values for.
        method: ``tpe`` or ``gp``.
        maximize: For each value of an outcome whether more is better.
    """

    def __init__(self, parameters: Sequence[Parameter], method: Literal["tpe", "gp"], maximize: Sequence[bool]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of a package that would make the Gaussian process faster
        self._distributions = {parameter.name: distribution(parameter.dimension) for parameter in parameters}
        self._method = method
        self._directions = [StudyDirection.MAXIMIZE if more else StudyDirection.MINIMIZE for more in maximize]
        self._known: list[_Known] = []
        self._pending: dict[int, Config] = {}
        self._rebuild()

    def ask(self, seed: int) -> Config | None:
        """Values by the sampler; None before two configurations more have ended than there are parameters."""
        if len(self._known) < 2 + len(self._distributions):
            return None
        self._study.ask()  # a sampler notes on the trial that it is asked for what it has drawn
        asked = self._study.get_trials(deepcopy=False)[-1]
        drawn = _sampler(self._method, seed).sample_relative(self._study, asked, dict(self._distributions))
        self._study.tell(asked.number, state=TrialState.FAIL)
        return drawn

    def begin(self, number: int, values: Config, seed: int) -> None:
        """A configuration is going to be measured, so its neighbourhood is not to be asked for meanwhile."""
        self._pending[number] = values
        self._add_pending(number)

    def tell(self, number: int, outcome: Outcome) -> None:
        """What came of it; a lost one teaches nothing."""
        self._study.tell(self._place.pop(number), state=TrialState.FAIL)
        self.recall(self._pending.pop(number), outcome)

    def recall(self, values: Config, outcome: Outcome) -> None:
        """What is known of a configuration from elsewhere."""
        if outcome.values is None:
            return
        self._known.append(_Known(values, outcome))
        if len(self._known) > MOST:
            self._known = self._kept()
            self._rebuild()
        else:
            self._add(self._known[-1])

    def _kept(self) -> list[_Known]:
        ranked = sorted(range(len(self._known)), key=lambda place: self._badness(self._known[place].outcome))
        best, others = ranked[: MOST // 4], ranked[MOST // 4 :]
        return [self._known[place] for place in sorted([*best, *others[::3]])]

    def _badness(self, outcome: Outcome) -> tuple[float, ...]:
        """Smaller is better; with several values, how many others are as good in all of them."""
        if len(self._directions) == 1:
            return outcome.badness(self._directions[0] == StudyDirection.MAXIMIZE)
        mine = self._costs(outcome)
        others = (self._costs(known.outcome) for known in self._known)
        return (float(sum(theirs != mine and all(t <= m for t, m in zip(theirs, mine, strict=True)) for theirs in others)),)

    def _costs(self, outcome: Outcome) -> tuple[float, ...]:
        assert outcome.values is not None
        signs = (-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in self._directions)
        return tuple(sign * value for sign, value in zip(signs, outcome.values, strict=True))

    def _rebuild(self) -> None:
        self._study = optuna.create_study(directions=self._directions, sampler=optuna.samplers.RandomSampler(seed=0))
        self._place: dict[int, int] = {}
        for known in self._known:
            self._add(known)
        for number in self._pending:
            self._add_pending(number)

    def _add(self, known: _Known) -> None:
        outcome = known.outcome
        if outcome.stopped_after is None:
            self._study.add_trial(create_trial(values=outcome.values, **self._described(known.values)))
        elif outcome.value is not None:
            after = {outcome.stopped_after: outcome.value}
            self._study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=after, **self._described(known.values)))

    def _add_pending(self, number: int) -> None:
        self._study.add_trial(create_trial(state=TrialState.RUNNING, **self._described(self._pending[number])))
        self._place[number] = len(self._study.get_trials(deepcopy=False)) - 1

    def _described(self, values: Config) -> dict[str, Any]:
        return {"params": {name: values[name] for name in self._distributions}, "distributions": self._distributions}


def _sampler(method: Literal["tpe", "gp"], seed: int) -> BaseSampler:
    if method == "tpe":
        return TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return GPSampler(seed=seed, n_startup_trials=0)


def distribution(dimension: Dimension) -> BaseDistribution:
    """Optuna's form of a dimension."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    log = dimension.scale == "log"
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=log)
    return FloatDistribution(dimension.low, dimension.high, log=log)
