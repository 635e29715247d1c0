"""What tests of arrays share: trials of any family on few digits, alone or in an array, and what it is for two to be the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.training import Cell, EpochReport, Recipe, Setting, Trial
from margin_core.training.array import TrialArray

FEW = DatasetConfig("digits", images_per_class=50)  # 500 examples: seven batches of 64, and one of 52

# None has its default, and there is one of each kind of schedule.
KNOBS: dict[str, dict[str, Setting]] = {
    "ce": {"label_smoothing": 0.1},
    "gds": {"lam": 1.5, "tau": 0.7},
    "gradient_decay": {"beta": Schedule("linear", 0.1, 2.0, 0.5), "tau": 1.5},
    "two_scale": {"eta": 0.1, "ratio": 3.0},
    "focal": {"gamma": Schedule("cosine", 0.5, 3.0)},
    "gce": {"q": 0.3},
    "truncated_ce": {"k": 0.02},
    "ohem": {"keep": 0.3},
    "norm_face": {"s": 10.0},
    "cos_face": {"m": Schedule("step", 0.0, 0.3, 0.4), "s": 12.0},
    "arc_face": {"m": 0.3, "s": 8.0},
    "sphere_face": {"m": 2.0, "lam": 1.0, "s": 9.0},
    "margin_softmax": {"m1": 1.2, "m2": 0.1, "m3": 0.2, "s": 11.0},
    "l_softmax": {"m": Schedule("path", 2.0, then=((0.3, 3.0),)), "lam": 5.0},
    "gm_softmax": {"alpha1": 1.2, "alpha2": 0.8, "beta1": -0.1, "beta2": 0.1, "s": 7.0},
    "lm_softmax": {"s": 6.0},
    "ldam": {"max_margin": 0.4, "s": 13.0},
}


def cell(
    family: str = "ce",
    knobs: dict[str, Setting] | None = None,
    regularizers: dict[str, float | Schedule] | None = None,
    *,
    dataset: DatasetConfig = FEW,
    model: str = "mlp-50-20",
    backbone: Any = "trained",
    **recipe: Any,
) -> Cell:
    """A cell of seven epochs of eight steps; of a family's knobs those in `KNOBS`."""
    settings = {"epochs": 7, "batch_size": 64, "lr": 0.05, "weight_decay": 1e-3, **recipe}
    return Cell(
        dataset, model, family, KNOBS[family] if knobs is None else knobs, regularizers or {}, Recipe(**settings), backbone=backbone
    )


def begin(of: Cell, replicate: int = 0, *, dtype: torch.dtype = torch.float64, **arguments: Any) -> Trial:
    """A trial at its beginning, in float64."""
    trial = Trial(of, **{"study_seed": 0, "replicate": replicate, **arguments})
    trial.model.to(dtype)
    return trial


def array_of(trials: Iterable[Trial]) -> TrialArray:
    array = TrialArray()
    for trial in trials:
        array.join(trial)
    return array


def run(array: TrialArray, epochs: int) -> dict[Trial, list[EpochReport]]:
    """So many epochs of an array; of each trial its reports."""
    reports: dict[Trial, list[EpochReport]] = {trial: [] for trial in array}
    for _ in range(epochs):
        for trial, report in array.run_epoch():
            reports[trial].append(report)
    return reports


def alone(trial: Trial, epochs: int) -> list[EpochReport]:
    """So many epochs of a trial by itself."""
    return [trial.run_epoch() for _ in range(epochs)]


def state(trial: Trial) -> list[Tensor]:
    """Weights and running statistics in the order of the network's layers, then the loss's own parameters."""
    return [*trial.model.state_dict().values(), *(parameter.detach() for parameter in trial.loss.parameters())]


def copy(trial: Trial) -> list[Tensor]:
    return [tensor.clone() for tensor in state(trial)]


def assert_same_state(trial: Trial, expected: Sequence[Tensor], bound: float = 1e-12) -> None:
    """Each number of a trial's state is the expected one to ``bound``, of itself where it is above 1."""
    names = [*trial.model.state_dict(), *(name for name, _ in trial.loss.named_parameters())]
    for name, own, other in zip(names, state(trial), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=bound, atol=bound, msg=lambda text, name=name: f"{trial.cell.family} {name}: {text}")


def assert_same_reports(own: Sequence[EpochReport], other: Sequence[EpochReport], bound: float = 1e-9) -> None:
    """Two trials have reported the same, seconds aside."""
    assert [(report.epoch, report.diverged) for report in own] == [(report.epoch, report.diverged) for report in other]
    for one, two in zip(own, other, strict=True):
        assert [step.step for step in one.steps] == [step.step for step in two.steps]
        for first, second in zip((one, *one.steps), (two, *two.steps), strict=True):
            assert list(first.metrics) == list(second.metrics)
            for name, value in first.metrics.items():
                # A ranking is by distances in single precision, where two that are nearly equal may change places.
                near = 1e-4 if name.endswith("_map") else bound
                assert value == pytest.approx(second.metrics[name], rel=near, abs=near, nan_ok=True), name


def assert_as_alone(of: Sequence[Cell], epochs: int, **arguments: Any) -> None:
    """Trials of these cells are and report in one array what each is and reports alone."""
    together, apart = ([begin(each, **arguments) for each in of] for _ in range(2))
    reports = run(array_of(together), epochs)
    for trial, twin in zip(together, apart, strict=True):
        assert_same_reports(reports[trial], alone(twin, epochs))
        assert_same_state(trial, state(twin))


def varied(cells: Iterable[Cell]) -> list[Cell]:
    """The same with other learning rates and weight decays, from one to the next."""
    rates, decays = (1.0, 0.5, 1.5, 0.2), (0.0, 1e-3, 1e-2)
    return [
        replace(each, recipe=replace(each.recipe, lr=rates[place % 4] * float(each.recipe.lr), weight_decay=decays[place % 3]))  # type: ignore[arg-type]
        for place, each in enumerate(cells)
    ]
