"""What a study would take: its stages with their trials and seeds and, where a few steps of each kind of trial are tried, device-hours.

A cost is measured for each dataset and family, the model being one, in this process and without Ray. It is an estimate of a study that runs
undisturbed on such a machine as this: trials that share a GPU slow each other, and those that a rule stops early take less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from margin_core.data import check_dataset
from margin_core.machine import prepare_to_train
from margin_core.training import TrialCost, trial_cost
from studies.extension import processor
from studies.plan import FIRST_REPLICATE, build_cell, confirm_trials, one_of_each, screen_trials
from studies.preflight import CallError
from studies.spec import StudySpec
from studies.spending import devices
from studies.stage_sizes import StageSize, stage_sizes

# Searchers whose configurations are known beforehand.
_LISTED = ("grid", "sobol", "random")
_REPLICATE = FIRST_REPLICATE["screen"]

Costs = Mapping[tuple[str, str], TrialCost]
"""What a trial costs, by what the study calls its dataset, and by family."""


@dataclass(frozen=True)
class StageEstimate:
    """A stage, and what it would take.

    Attributes:
        size: Its cells and trials.
        seeds: Replicates of each cell, at most.
        epochs: Of all its trials together.
        device_hours: What they hold of GPUs, or of processors where they hold no GPU; None where no cost was measured.
    """

    size: StageSize
    seeds: int
    epochs: int
    device_hours: float | None

    def to_dict(self, price: float | None) -> dict[str, Any]:
        """Plain data, with the cost at ``price`` for each device-hour."""
        measured = {} if self.device_hours is None else {"device_hours": self.device_hours}
        cost = {} if self.device_hours is None or price is None else {"cost": self.device_hours * price}
        size = self.size
        counted = {"stage": size.stage, "cells": size.cells, "seeds": self.seeds, "trials": size.trials, "epochs": self.epochs}
        return {**counted, "at_most": size.at_most, **measured, **cost}


def estimate(spec: StudySpec, costs: Costs | None = None) -> list[StageEstimate]:
    """Each stage of a study, with device-hours where ``costs`` are known."""
    estimates = []
    for size in stage_sizes(spec):
        section = getattr(spec, size.stage)
        hours = None if costs is None else _stage_seconds(spec, size, costs) * devices(spec) / 3600.0
        estimates.append(StageEstimate(size, section.seeds, size.trainings * spec.recipe.epochs, hours))
    return estimates


def _stage_seconds(spec: StudySpec, size: StageSize, costs: Costs) -> float:
    """Of all trials of a stage; where it is not known yet which families have them, all have as many."""
    trials = _known_trials(spec, size)
    if trials is None:
        return size.trainings * fmean(cost.seconds for cost in costs.values())
    return sum(count * costs[kind].seconds for kind, count in trials.items())


def _known_trials(spec: StudySpec, size: StageSize) -> Counter[tuple[str, str]] | None:
    """How many trials of each dataset and family a stage has, where that is known beforehand."""
    if size.stage == "confirm" and spec.screen is None:
        planned = confirm_trials(spec)
    elif (
        size.stage == "screen"
        and spec.screen is not None
        and spec.screen.searcher in _LISTED
        and not (spec.screen.racing or spec.screen.pbt)
    ):
        planned = screen_trials(spec)
    else:
        return None
    return Counter((trial.dataset, trial.cell.family) for trial in planned)


def probe(spec: StudySpec, data_root: Path | None) -> Iterator[tuple[tuple[str, str], TrialCost]]:
    """Try a few steps of one cell of each dataset and family on this machine.

    Yields:
        What was tried, as soon as it was, with its cost.

    Raises:
        CallError: The study's trials run on a GPU, and this machine has none; or a dataset or its weights are not there.
    """
    import torch

    threads, device = processor(spec)
    if device == "cuda" and not torch.cuda.is_available():
        raise CallError("--probe tries a few steps where it is called, and resources.gpu asks for a GPU, which this machine has not")
    prepare_to_train(threads)
    record, seed = spec.record.record(), spec.seed
    for entry in spec.datasets:
        dataset = entry.config()
        for family, config in one_of_each(spec).items():  # which configuration it is changes little of what a step costs
            cell = build_cell(spec, dataset, config)
            try:
                check_dataset(entry.dataset, data_root)
                cost = trial_cost(cell, study_seed=seed, replicate=_REPLICATE, data_root=data_root, device=device, record=record)
            except (ValueError, OSError) as error:
                raise CallError(str(error)) from error
            yield (dataset.key, family), cost
