"""Trials that are trained side by side as one array, each as it would be alone.

Trials that share dataset, model, batches and kind of optimiser join an array and leave it between epochs; family, knobs, regularisers,
learning rate, weight decay, seed and epoch are each one's own. A trial in an array is a `Trial` like any other, whose tensors lie in the
array's: it is evaluated, saved and read as ever. What the array does for all of them at once are the steps of an epoch and the network's
part in the evaluation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch

from margin_core.data import dataset_info
from margin_core.losses import Loss, build_loss, get_family
from margin_core.models import MODELS, build_backbone
from margin_core.seeds import seeded_initialisation
from margin_core.training.array_objective import place, stream
from margin_core.training.cell import Cell
from margin_core.training.recipe import Recipe
from margin_core.training.record import SPLITS, Split
from margin_core.training.reports import EpochReport, Predictions, StepReport
from margin_core.training.side_by_side import SideBySide, release
from margin_core.training.stacked import Given, StackedBackbone, StackingError, check_stack
from margin_core.training.trial import Trial

# What trials of an array may have each for itself. Of what else there is in a recipe, an array has the plain form only.
_OWN = {"epochs", "lr", "weight_decay", "lr_schedule", "clip_norm", "lr_steps", "lr_factor", "warm_up"}
_COMMON = {"batch_size", "optimizer", "momentum", "augment", "precision"}

# Scores of all trials that are kept at once, in an evaluation; where there are more, each trial has its own.
MOST_VALUES = 2**26


def why_alone(cell: Cell) -> str:
    """Why trials of a cell cannot join an array, in a few words; empty if they can."""
    plain = Recipe(1)
    for name, value in vars(cell.recipe).items():
        if name not in _OWN | _COMMON and value != getattr(plain, name) and name not in ("rho", "eta"):
            return f"{name} is {value}"
    if cell.recipe.precision == "float16":
        return "precision is float16, whose loss is scaled"
    family = get_family(cell.family)
    if (family.module or Loss).forward is not Loss.forward:
        return f"the family {cell.family} does more with a batch than its function says"
    needs: dict[str, Any] = {name: [1, 1] for name in family.needs}
    if any(own.ndim > 0 for own in build_loss(cell.family, num_classes=2, **needs).parameters()):
        return f"the family {cell.family} trains more than single numbers of its own"
    return "" if cell.backbone == "frozen" else _why_no_stack(cell.model, dataset_info(cell.dataset.name, cell.dataset.size).in_shape)


@lru_cache
def _why_no_stack(model: str, in_shape: tuple[int, int, int] | None) -> str:
    if model.startswith("timm"):
        return "the model is one of timm's"
    shape = in_shape or (3, 64, 64)
    try:
        with torch.device("meta"):
            StackedBackbone(build_backbone(model, shape))
        if model.partition("-")[0] not in MODELS.ours:  # which are tested
            with seeded_initialisation("stacking"):
                check_stack(build_backbone(model, shape), shape)
    except StackingError as error:
        return f"the model {model} cannot be done for several trials at once: {error}"
    return ""


def alike(cell: Cell) -> str:
    """What the trials of an array have in common, of a cell, as a key: dataset, network, batches, precision and kind of optimiser."""
    common = {name: value for name, value in cell.to_dict().items() if name in ("dataset", "model", "weights", "backbone")}
    recipe = {name: getattr(cell.recipe, name) for name in sorted(_COMMON)}
    return json.dumps(common | recipe, sort_keys=True)


class TrialArray:
    """Trials side by side.

    Trials may begin and end at different epochs. Those of one replicate that are at the same epoch of its stream of batches share their
    batches, which is where most of the gain is: see `phase`.

    Example:
        >>> from margin_core.data import DatasetConfig
        >>> cells = [Cell(DatasetConfig("digits"), "mlp-20", "gds", {"lam": lam}, {}, Recipe(epochs=2)) for lam in (0.5, 2.0)]
        >>> array = TrialArray()
        >>> for cell in cells:
        ...     array.join(Trial(cell, study_seed=0, replicate=0))
        >>> [(trial.cell.knobs["lam"], report.epoch) for trial, report in array.run_epoch()]
        [(0.5, 1), (2.0, 1)]
    """

    def __init__(self) -> None:
        self._trials: list[Trial] = []
        self._backbone: StackedBackbone | None = None
        self._stacked: SideBySide | None = None

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def phase(self, replicate: int) -> int:
        """The phase at which a new trial of a replicate shares the batches of one that is there; 0 where there is none."""
        return next((trial.phase + trial.epoch for trial in self._trials if trial.replicate == replicate), 0)

    def join(self, trial: Trial) -> None:
        """Take a trial in, at its beginning or where it was loaded.

        Raises:
            ValueError: Where it cannot be in an array, or not in one with the trials that are there.
        """
        if trial in self._trials:
            raise ValueError(f"trials of {trial.cell.cell_id} join an array once, and replicate {trial.replicate} is in the array already")
        if reason := why_alone(trial.cell):
            raise ValueError(f"trials of {trial.cell.cell_id} cannot join an array: {reason}")
        for other in self._trials[:1]:
            there, asked = ((alike(some.cell), some.batch_sizes, some.device, some.model.head.weight.dtype) for some in (other, trial))
            if there != asked:
                both = f"trials of {trial.cell.cell_id} and {other.cell.cell_id}"
                raise ValueError(f"{both} cannot be in one array: they have not the same batches and precision")
        self._trials.append(trial)
        self._stacked = None

    def leave(self, trial: Trial) -> None:
        """Let a trial go: from now on it has tensors of its own, and may go on alone."""
        self._trials.remove(trial)
        release(trial)
        self._stacked = None
        if not self._trials:
            self._backbone = None  # the next trial may be of another network

    def run_epoch(self) -> list[tuple[Trial, EpochReport]]:
        """Train every trial for one epoch; of each its report, with its share of the seconds, in the order in which they joined.

        Raises:
            RuntimeError: Where one of them is done.
        """
        for trial in self._trials:
            if trial.done:
                raise RuntimeError(f"{trial.cell.cell_id} replicate {trial.replicate} is done after epoch {trial.epoch}")
        if not self._trials:
            return []
        started = time.perf_counter()
        stacked = self._put_side_by_side()
        placed = stacked.trials
        losses, steps = self._train(stacked)
        seen = self._seen(stacked)
        reports = {
            id(trial): trial.end_epoch(loss, tuple(within), seen=said)
            for trial, loss, within, said in zip(placed, losses, steps, seen, strict=True)
        }
        seconds = (time.perf_counter() - started) / len(placed)
        return [(trial, replace(reports[id(trial)], seconds=seconds)) for trial in self._trials]

    def rehearse(self) -> None:
        """Take the steps of an epoch, to see what they cost. The trials have changed, and are to be thrown away after it."""
        if self._trials:
            self._train(self._put_side_by_side())

    def _put_side_by_side(self) -> SideBySide:
        """The trials as they are to be trained; put together anew where one has come or gone."""
        if self._stacked is None:
            self._backbone = self._backbone or StackedBackbone(self._trials[0].model.backbone)
            self._stacked = SideBySide(sorted(self._trials, key=place), self._backbone)
        return self._stacked

    def _train(self, stacked: SideBySide) -> tuple[list[float], list[list[StepReport]]]:
        """Take the steps of an epoch; of each trial the mean of its objective, and what was measured on the way."""
        trials, sizes = stacked.trials, stacked.trials[0].batch_sizes
        keys = [stream(trial) for trial in trials]
        runs = [(key, len(list(same))) for key, same in groupby(keys)]
        streams = {key: trial.training_batches() for key, trial in dict(zip(keys, trials, strict=True)).items()}
        made = [trial.epoch * trial.steps_per_epoch for trial in trials]
        sums = torch.zeros(len(trials), dtype=torch.float64, device=trials[0].device)
        reports: list[list[StepReport]] = [[] for _ in trials]
        for step, size in enumerate(sizes):
            now = {key: next(batches) for key, batches in streams.items()}
            given = Given(tuple((count, now[key][0]) for key, count in runs))
            target = torch.cat([now[key][1].expand(count, -1) for key, count in runs])
            sums += stacked.step(given, target, [first + step for first in made]) * size
            for trial, first, own in zip(trials, made, reports, strict=True):
                if trial.record.at_step(first + step + 1):
                    own.append(trial.step_report(first + step + 1))
        return (sums / sum(sizes)).tolist(), reports

    def _seen(self, stacked: SideBySide) -> list[dict[Split, Predictions]]:
        """What each trial says of the examples that it reports on."""
        trials = stacked.trials
        asked: list[Split] = ["val", *(split for split in SPLITS if any(trial.record.looks_at(split) for trial in trials))]
        data = trials[0].data
        count = {"val": len(data.val_indices), "train": len(data.train_indices), "test": len(data.test_indices)}
        fit = [split for split in asked if 0 < len(trials) * count[split] * data.num_classes <= MOST_VALUES]
        said = [self._predictions(stacked, split) for split in fit]
        return [dict(zip(fit, own, strict=True)) for own in zip(*said, strict=True)] if fit else [{} for _ in trials]

    @staticmethod
    def _predictions(stacked: SideBySide, split: Split) -> list[Predictions]:
        trials = stacked.trials
        seeds = [stream(trial)[:2] for trial in trials]
        runs = [(seed, len(list(same))) for seed, same in groupby(seeds)]
        pictures = {seed: trial.pictures(split) for seed, trial in dict(zip(seeds, trials, strict=True)).items()}
        outputs = []
        for batches in zip(*pictures.values(), strict=True):
            now = dict(zip(pictures, batches, strict=True))
            outputs.append(stacked.outputs(Given(tuple((count, now[seed]) for seed, count in runs))))
        return [trial.predictions(split, own) for trial, own in zip(trials, zip(*outputs, strict=True), strict=True)]
