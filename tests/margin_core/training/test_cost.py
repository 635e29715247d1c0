from __future__ import annotations

import pytest

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Record, Trial, TrialCost, trial_cost

CELL = Cell(DatasetConfig("digits"), "mlp-8", "gds", {"lam": 1.0}, {}, Recipe(epochs=4, batch_size=100))


def test_a_trials_cost_is_its_beginning_its_steps_and_its_evaluations() -> None:
    assert TrialCost(begin=3.0, step=0.5, evaluation=2.0, steps=10, epochs=4, evaluations=6).seconds == 3.0 + 4 * 10 * 0.5 + 6 * 2.0


def test_a_measured_cost_knows_the_steps_and_evaluations_of_its_trial() -> None:
    cost = trial_cost(CELL, study_seed=0, replicate=0, record=Record(train=True, first_steps=3, every_steps=20))
    assert (cost.steps, cost.epochs) == (11, 4)
    assert cost.evaluations == 4 + 3 + 2  # after epochs, steps 1 to 3, and 20 and 40
    assert min(cost.begin, cost.step, cost.evaluation) > 0.0


def test_a_recipe_of_several_processes_is_measured_in_one() -> None:
    together = Cell(CELL.dataset, CELL.model, CELL.family, CELL.knobs, {}, Recipe(epochs=4, batch_size=100, processes=2))
    assert trial_cost(together, study_seed=0, replicate=0).steps == 11


def test_steps_that_are_rehearsed_are_those_of_the_training() -> None:
    whole, rehearsed = (Trial(CELL, study_seed=0, replicate=0) for _ in range(2))
    whole.run_epoch()
    rehearsed.rehearse(11)
    for name, value in whole.model.state_dict().items():
        assert value.equal(rehearsed.model.state_dict()[name])


@pytest.mark.parametrize("steps", [1, 3])
def test_fewer_steps_than_an_epoch_change_the_weights_and_end_no_epoch(steps: int) -> None:
    trial = Trial(CELL, study_seed=0, replicate=0)
    before = {name: value.clone() for name, value in trial.model.state_dict().items()}
    trial.rehearse(steps)
    assert trial.epoch == 0
    assert any(not value.equal(before[name]) for name, value in trial.model.state_dict().items())
