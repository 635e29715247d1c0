"""Optuna's conditional TPE, with every draw seeded by the trial's number.

Optuna's own sampler carries one random state through a study, so a study rebuilt from its record goes on differently. Here the
suggestion for trial n depends only on the seed, on n and on the trials that the study holds. Imported only when TPE is asked for.
"""

from __future__ import annotations

import warnings
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from margin_core.seeds import derive_seed


class ReplayableTPE(BaseSampler):
    """Multivariate TPE that models each family's knobs jointly, reproducible from the study's history.

    Args:
        seed: The study's seed.
        startup: Trials that are drawn at random before the model is used.
    """

    def __init__(self, seed: int, startup: int) -> None:
        self._seed = seed
        self._startup = startup

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of past trials, group by group."""
        return self._tpe(trial, "groups").infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Draw each group of parameters jointly."""
        tpe = self._tpe(trial, "groups")
        # TPESampler keeps the groups that it inferred last, and draws by them.
        tpe.infer_relative_search_space(study, trial)
        return tpe.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Draw one parameter that no past trial has."""
        return self._tpe(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def _tpe(self, trial: FrozenTrial, purpose: str) -> TPESampler:
        seed = derive_seed(self._seed, "tpe", trial.number, purpose) % 2**32
        with warnings.catch_warnings():
            # Only ``group`` models knobs that exist in one family alone; it has been called experimental since 2021.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=seed, n_startup_trials=self._startup, multivariate=True, group=True, constant_liar=True)
