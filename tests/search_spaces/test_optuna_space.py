"""TPE over a conditional space: what it is asked, how it repeats itself, and how a study is rebuilt from its record."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Choice, Condition, Config, Parameter, Range, Space, frozen_trial, suggest, tpe_sampler

optuna.logging.set_verbosity(optuna.logging.WARNING)

GDS, DECAY = Condition("family", ("gds",)), Condition("family", ("gradient_decay",))
SPACE = Space(
    (
        Parameter("family", Choice(("ce", "gds", "gradient_decay"))),
        Parameter("gds.lam", Range(0.0, 4.0), GDS),
        Parameter("gds.tau", Choice((0.5, 1.0, 2.0)), GDS),
        Parameter("gradient_decay.beta", Range(0.001, 1.0, scale="log"), DECAY),
        Parameter("gradient_decay.m", Range(1, 8, integer=True), DECAY),
        Parameter("lr", Range(0.01, 1.0, scale="log")),
    )
)


def accuracy(config: Config) -> float:
    """A smooth accuracy that prefers gds at lam 1."""
    at_best = {"ce": 90.0, "gds": 93.0, "gradient_decay": 91.0}[str(config["family"])]
    away = (float(config.get("gds.lam", 1.0)) - 1.0) ** 2 + math.log10(float(config["lr"]) / 0.1) ** 2
    return at_best - away - float(config.get("gradient_decay.beta", 0.0))


def new_study(seed: int) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=tpe_sampler(seed))


def search(study: optuna.Study, count: int, objective: Callable[[Config], float] = accuracy) -> list[Config]:
    configs = []
    for _ in range(count):
        trial = study.ask()
        configs.append(suggest(SPACE, trial))
        study.tell(trial, objective(configs[-1]))
    return configs


def rebuilt(seed: int, configs: list[Config]) -> optuna.Study:
    study = new_study(seed)
    for config in configs:
        study.add_trial(frozen_trial(SPACE, config, accuracy(config)))
    return study


def test_sixty_tpe_trials_have_only_parameters_that_exist():
    configs = search(new_study(0), 60)
    for config in configs:
        SPACE.check(config)
    assert {config["family"] for config in configs} == {"ce", "gds", "gradient_decay"}


class DrawnJointly(optuna.samplers.BaseSampler):
    """Hands everything to the sampler under test, and keeps which parameters it draws together."""

    def __init__(self, inner: optuna.samplers.BaseSampler) -> None:
        self.inner = inner
        self.names: set[str] = set()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        drawn = self.inner.sample_relative(study, trial, search_space)
        self.names |= set(drawn)
        return drawn

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.inner.sample_independent(study, trial, param_name, param_distribution)


def test_knobs_that_exist_in_one_family_alone_are_drawn_by_the_joint_model():
    sampler = DrawnJointly(tpe_sampler(0))
    search(optuna.create_study(direction="maximize", sampler=sampler), 30)
    assert sampler.names == {parameter.name for parameter in SPACE.parameters}


def test_the_same_seed_and_history_give_the_same_suggestions_and_another_seed_others():
    assert search(new_study(3), 30) == search(new_study(3), 30)
    assert search(new_study(3), 30) != search(new_study(4), 30)


@pytest.mark.parametrize("stopped_after", [1, 9, 10, 11, 25])
def test_a_study_rebuilt_from_its_record_goes_on_as_if_never_stopped(stopped_after):
    uninterrupted = search(new_study(7), 32)
    resumed = search(rebuilt(7, uninterrupted[:stopped_after]), 32 - stopped_after)
    assert resumed == uninterrupted[stopped_after:]


def test_trials_asked_for_before_any_is_finished_differ():
    study = new_study(0)
    configs = [suggest(SPACE, study.ask()) for _ in range(10)]
    assert all(config not in configs[:place] for place, config in enumerate(configs))


def test_suggestions_do_not_depend_on_the_order_in_which_a_batch_is_reported():
    def batches(backwards: bool) -> list[Config]:
        study, configs = new_study(2), []
        for _ in range(6):
            batch = [(trial, suggest(SPACE, trial)) for trial in (study.ask() for _ in range(4))]
            configs += [config for _, config in batch]
            for trial, config in reversed(batch) if backwards else batch:
                study.tell(trial, accuracy(config))
        return configs

    assert batches(backwards=True) == batches(backwards=False)


def test_values_of_the_space_can_be_put_in_the_queue_first():
    wanted = {"family": "gds", "gds.lam": 0.5, "gds.tau": 2.0, "lr": 0.1}
    study = new_study(0)
    study.enqueue_trial(wanted)
    assert search(study, 1) == [wanted]


def test_a_failed_trial_keeps_its_number_and_has_no_value():
    study = new_study(0)
    study.add_trial(frozen_trial(SPACE, {"family": "ce", "lr": 0.1}, None))
    assert [(trial.number, trial.state, trial.value) for trial in study.trials] == [(0, TrialState.FAIL, None)]
    assert study.ask().number == 1


def test_a_record_that_is_not_of_the_space_is_refused():
    with pytest.raises(ValueError, match=r"^gds\.tau must be one of 0\.5, 1\.0, 2\.0, got 3\.0$"):
        frozen_trial(SPACE, {"family": "gds", "gds.lam": 0.5, "gds.tau": 3.0, "lr": 0.1}, 1.0)
    with pytest.raises(ValueError, match=r"^value must be a number, or None for a failed trial, got nan$"):
        frozen_trial(SPACE, {"family": "ce", "lr": 0.1}, math.nan)


def test_a_negative_start_is_refused():
    with pytest.raises(ValueError, match=r"^startup must be >= 0, got -1$"):
        tpe_sampler(0, startup=-1)


def test_the_search_runs_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(new_study(0), 15)


def test_optuna_is_not_imported_before_it_is_asked_for():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", "import sys, search_spaces; assert 'optuna' not in sys.modules"], env=environment, check=True)
