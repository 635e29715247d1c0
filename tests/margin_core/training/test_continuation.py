"""Trials whose process is killed: another process goes on, and arrives at the same numbers to the last bit."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, checkpoint_files
from margin_core.training.checkpoint import read_checkpoint
from margin_core.training.recipe import OPTIMIZERS, SHARPNESS
from tests.margin_core.training.killed import run_in_a_process

EVERYTHING_ELSE = {"ema": 0.9, "mixup": 0.3, "augment": "crop_flip_rotate", "accumulate": 2, "warm_up": 1, "channels_last": True}
PLAIN: dict[str, Any] = {}
# What the CPU has.
PRECISIONS = ("float32", "bfloat16", "float16")
# Each optimiser, sharpness and precision once; every combination is run by `make faults`.
SHORT = [("sgd", "none", "float16", EVERYTHING_ELSE), ("adamw", "asam", "bfloat16", EVERYTHING_ELSE), ("sgd", "sam", "float32", PLAIN)]
LONG = list(itertools.product(OPTIMIZERS, SHARPNESS, PRECISIONS, [PLAIN, EVERYTHING_ELSE]))


def cell(
    optimizer: str = "sgd", sharpness: str = "none", precision: str = "float32", others: dict[str, Any] = PLAIN, *, epochs: int = 3
) -> Cell:
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 100, "optimizer": optimizer, "sharpness": sharpness, "precision": precision}
    settings |= {"lr": 0.05 if optimizer == "sgd" else 0.003, "rho": None if sharpness == "none" else 0.1, **others}
    return Cell(DatasetConfig("digits", 0.1), "mlp-50-20", "ce", {}, {"zero_centroid": 0.1}, Recipe(**settings))


def contents(cell: Cell, path: Path) -> Any:
    return read_checkpoint(path, cell_id=cell.cell_id, study_seed=0, replicate=0)


def equal_bitwise(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal_bitwise(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal_bitwise(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def check_that_kills_leave_no_trace(cell: Cell, folder: Path, *, seed: int) -> None:
    run_in_a_process(cell, folder / "straight.pt")
    moments = random.Random(seed)
    for _ in range(1, cell.recipe.epochs):
        # An epoch calls the network 12 times, for 11 steps and the evaluation, or about twice or four times as often: no life of a process
        # is longer than two epochs, and whatever is drawn some are left for the last.
        run_in_a_process(cell, folder / "killed.pt", killed_at=("call", moments.randint(1, 20)))
    run_in_a_process(cell, folder / "killed.pt")
    straight, killed = (contents(cell, folder / name) for name in ("straight.pt", "killed.pt"))
    assert straight["epoch"] == cell.recipe.epochs
    assert equal_bitwise(killed, straight)


@pytest.mark.parametrize(("optimizer", "sharpness", "precision", "others"), SHORT)
def test_a_trial_that_is_killed_in_mid_step_arrives_where_it_would_have(
    optimizer: str, sharpness: str, precision: str, others: dict[str, Any], tmp_path: Path
) -> None:
    check_that_kills_leave_no_trace(cell(optimizer, sharpness, precision, others), tmp_path, seed=0)


@pytest.mark.faults
@pytest.mark.parametrize(("optimizer", "sharpness", "precision", "others"), LONG)
def test_a_trial_that_is_killed_again_and_again_arrives_where_it_would_have(
    optimizer: str, sharpness: str, precision: str, others: dict[str, Any], tmp_path: Path
) -> None:
    check_that_kills_leave_no_trace(cell(optimizer, sharpness, precision, others, epochs=6), tmp_path, seed=1)


@pytest.mark.parametrize("renames", [1, 2, 3])
def test_a_trial_that_is_killed_while_it_saves_has_a_whole_checkpoint(renames: int, tmp_path: Path) -> None:
    # The first save renames one file, the second two: that of the first, and its own.
    path = tmp_path / "killed.pt"
    run_in_a_process(cell(), path, killed_at=("rename", renames))
    there = [file.exists() for file in checkpoint_files(path)]
    assert there == [[False, False], [True, False], [False, True]][renames - 1]
    if any(there):
        assert contents(cell(), path)["epoch"] == 1
    run_in_a_process(cell(), path)
    run_in_a_process(cell(), tmp_path / "straight.pt")
    assert equal_bitwise(contents(cell(), path), contents(cell(), tmp_path / "straight.pt"))
