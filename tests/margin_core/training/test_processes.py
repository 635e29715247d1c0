"""Trials of several processes: they arrive where the trial of one does, and at the same bits after a break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Trial
from margin_core.training.processes import Processes
from margin_core.training.step import Step
from tests.margin_core.training.test_continuation import equal_bitwise
from tests.margin_core.training.together import in_processes

# 1079 examples: 11 batches of 100, the last of 79, which two processes do not share evenly.
SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": ("ce", "mlp-20", {}),
    "accumulate, clipping, decay": ("arc_face", "mlp-20", {"accumulate": 3, "clip_norm": 0.5, "weight_decay": 0.01}),
    "asam, average": ("gds", "mlp-20", {"sharpness": "asam", "rho": 0.5, "ema": 0.9, "optimizer": "adamw", "lr": 0.003}),
    "mixup, augmentation": ("ce", "mlp-20", {"mixup": 0.3, "augment": "crop_flip_rotate", "sharpness": "sam", "rho": 0.05}),
    "own parameters": ("two_scale", "mlp-20", {}),
    "too few for all in the last batch": ("ce", "mlp-20", {"batch_size": 269}),
}


def trial(family: str, model: str, processes: int, **recipe: Any) -> Trial:
    knobs = {"eta": 0.1} if family == "two_scale" else {}
    settings = {"epochs": 2, "batch_size": 100, "lr": 0.05, **recipe, "processes": processes}
    cell = Cell(DatasetConfig("digits", 0.1), model, family, knobs, {"sample_margin": 0.0, "zero_centroid": 0.1}, Recipe(**settings))
    return Trial(cell, study_seed=0, replicate=0)


def in_float64(trial: Trial) -> Trial:
    trial.model.double()
    trial.loss.double()
    standardise = trial._standardise
    trial._standardise = lambda images: standardise(images).double()
    return trial


def state(trial: Trial) -> dict[str, Tensor]:
    return {**trial.model.state_dict(), **{f"loss.{name}": value for name, value in trial.loss.state_dict().items()}}


def train_all(processes: int) -> list[tuple[dict[str, Tensor], dict[str, float]]]:
    """Every setting for an epoch, in double precision."""
    made = []
    for family, model, recipe in SETTINGS.values():
        one = in_float64(trial(family, model, processes, **recipe))
        report = one.run_epoch()
        made.append((state(one), report.metrics))
    return made


@pytest.fixture(scope="module")
def alone() -> list[tuple[dict[str, Tensor], dict[str, float]]]:
    return train_all(1)


@pytest.mark.parametrize("number", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_arrive_at_the_weights_and_metrics_of_one(
    alone: list[tuple[dict[str, Tensor], dict[str, float]]], number: int
) -> None:
    everyone = in_processes(number, train_all, number)
    for rank, trials in enumerate(everyone):
        for name, (weights, metrics), (expected, reported) in zip(SETTINGS, trials, alone, strict=True):
            for key, value in expected.items():
                assert torch.equal(weights[key], everyone[0][list(SETTINGS).index(name)][0][key]), name
                torch.testing.assert_close(weights[key], value, atol=1e-11, rtol=1e-9, msg=f"{name}: {key}")
            assert metrics["train_loss"] == pytest.approx(reported["train_loss"], rel=1e-10)
            assert metrics.keys() == (reported.keys() if rank == 0 else {"train_loss"})
            if rank == 0:
                assert metrics == pytest.approx(reported, rel=1e-8)


def normalised(processes: int, **recipe: Any) -> tuple[Trial, nn.BatchNorm2d]:
    """A trial whose network begins with batch norm and dropout."""
    one = trial("ce", "mlp-20", processes, **recipe)
    norm = nn.BatchNorm2d(1)
    one.model.backbone = nn.Sequential(norm, nn.Dropout(0.2), one.model.backbone)
    one._step = Step(one.cell.recipe, one._forward, one.objective)
    return one, norm


def running_mean(processes: int) -> Tensor | None:
    """Of all training images, after a step on all of them at once."""
    one, norm = normalised(processes, batch_size=1079, epochs=1)
    one.run_epoch()
    return norm.running_mean


EVERYTHING = {"precision": "float16", "ema": 0.9, "augment": "crop_flip", "accumulate": 2}


def train_and_save(folder: Path) -> tuple[dict[str, Tensor], list[bool], Tensor | None]:
    """Two epochs; the first process saves after one."""
    one, _ = normalised(2, **EVERYTHING)
    processes = Processes.joined(2)
    said = [processes.any(False, one.device), processes.any(processes.first, one.device), processes.differ(3, one.device)]
    said.append(processes.differ(processes.rank, one.device))
    one.run_epoch()
    if processes.first:
        one.save(folder / "first.pt")
    one.run_epoch()
    return state(one), said, running_mean(2)


def go_on_until_the_other_leaves(folder: Path) -> tuple[dict[str, Tensor], str]:
    one, _ = normalised(2, **EVERYTHING)
    one.load(folder / "first.pt")
    one.run_epoch()
    found = state(one)
    if not Processes.joined(2).first:
        return found, ""
    with pytest.raises(ConnectionError) as caught:
        trial("ce", "mlp-20", 2).run_epoch()
    return found, str(caught.value)


def test_processes_have_the_same_statistics_and_go_on_to_the_last_bit(tmp_path: Path) -> None:
    (first, said, mean), (second, _, _) = in_processes(2, train_and_save, tmp_path)
    assert said == [False, True, False, True]
    assert equal_bitwise(first, second)
    torch.testing.assert_close(mean, running_mean(1))
    (again, left_alone), (beside, _) = in_processes(2, go_on_until_the_other_leaves, tmp_path)
    assert equal_bitwise(again, first)
    assert equal_bitwise(beside, first)
    assert left_alone.startswith("another process of the trial is gone")


def test_a_trial_of_several_processes_does_not_train_alone() -> None:
    with pytest.raises(RuntimeError) as caught:
        trial("ce", "mlp-20", 2).run_epoch()
    assert str(caught.value) == "processes is 2: as many processes of one torch.distributed group must train, got 1"
