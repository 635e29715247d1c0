"""What a trial will cost, from a few of its steps: for a preview, not for a benchmark."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from margin_core.training.batches import batch_sizes
from margin_core.training.cell import Cell
from margin_core.training.record import SPLITS, Record
from margin_core.training.trial import Trial

# Steps before the clock is started, and how long is measured at most, in steps and in seconds.
_WARM_UP, _MOST, _SECONDS = 2, 200, 2.0


@dataclass(frozen=True)
class TrialCost:
    """What a trial takes, in seconds.

    Attributes:
        begin: To read the dataset, build the network and take the first steps, with what compiling takes.
        step: A step of the training.
        evaluation: Measuring what is measured after an epoch.
        steps: Steps of an epoch.
        epochs: Epochs of the trial.
        evaluations: How often it is measured, after epochs and within them.
    """

    begin: float
    step: float
    evaluation: float
    steps: int
    epochs: int
    evaluations: int

    @property
    def seconds(self) -> float:
        """The whole trial."""
        return self.begin + self.epochs * self.steps * self.step + self.evaluations * self.evaluation


def trial_cost(
    cell: Cell,
    *,
    study_seed: int,
    replicate: int,
    data_root: str | Path | None = None,
    device: str | torch.device = "cpu",
    record: Record = Record(),  # noqa: B008 -- a frozen value
) -> TrialCost:
    """Measure a trial's cost in this process, in a few seconds.

    Nothing else should run on the device meanwhile. A recipe of several processes is measured in one: its cost is then that of all of them
    together, were there nothing to wait for.

    Args:
        cell: What is trained.
        study_seed: The study's seed.
        replicate: Number of the replicate.
        data_root: Folder of the datasets.
        device: Where to compute.
        record: What is measured beside the metrics that always are.

    Example:
        >>> from margin_core.data import DatasetConfig
        >>> from margin_core.training import Recipe
        >>> cell = Cell(DatasetConfig("digits"), "mlp-16", "ce", {}, {}, Recipe(epochs=3, batch_size=64))
        >>> cost = trial_cost(cell, study_seed=0, replicate=0)
        >>> cost.steps, cost.epochs, cost.seconds > 0
        (17, 3, True)
    """
    alone = replace(cell, recipe=replace(cell.recipe, processes=1))
    quiet = replace(record, first_steps=0, every_steps=None)

    def opened() -> Trial:
        return Trial(alone, study_seed=study_seed, replicate=replicate, data_root=data_root, device=device, record=quiet)

    opened()  # decodes pictures and computes features where nobody has yet: once, not for each trial
    started = time.perf_counter()
    trial = opened()
    trial.rehearse(_WARM_UP)
    begin = time.perf_counter() - started
    sizes = batch_sizes(len(trial.data.train_y), cell.recipe.batch_size)
    step = _seconds_of_a_step(trial, len(sizes))
    trial.evaluate("val")
    started = time.perf_counter()
    trial.evaluate("val")
    for split in SPLITS:
        if record.looks_at(split):
            trial.evaluate(split)
    evaluation = time.perf_counter() - started
    within = sum(record.at_step(number) for number in range(1, cell.recipe.epochs * len(sizes) + 1))
    return TrialCost(begin, step, evaluation, len(sizes), cell.recipe.epochs, cell.recipe.epochs + within)


def _seconds_of_a_step(trial: Trial, steps: int) -> float:
    """The mean over ever longer runs of steps."""
    total, done, count = 0.0, 0, 1
    while total < _SECONDS and done < _MOST:
        taken = min(count, steps)
        started = time.perf_counter()
        trial.rehearse(taken)
        total, done, count = total + time.perf_counter() - started, done + taken, 2 * count
    return total / done
