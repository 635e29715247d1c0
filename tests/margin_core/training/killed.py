"""Trials in processes of their own, which are killed in the middle of what they do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Imported before the server forks, so that no process does it again: the digits are scikit-learn's, and torch's first optimiser imports
# its compiler.
import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo

from margin_core.training import Cell, Trial, checkpoint_files

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


def run_in_a_process(cell: Cell, path: Path, *, killed_at: tuple[str, int] | None = None) -> None:
    """Train a cell from where ``path`` left it, saving each epoch there, in a process that does not outlive a moment.

    Args:
        cell: The cell.
        path: Its checkpoint.
        killed_at: The process is killed when the network is called ("call") or a file renamed ("rename") for the given time; None: never.
    """
    process = SERVER.Process(target=_train, args=(cell.to_dict(), path, killed_at))
    process.start()
    process.join()
    assert process.exitcode == (0 if killed_at is None else -signal.SIGKILL)


def _train(cell: dict[str, object], path: Path, killed_at: tuple[str, int] | None) -> None:
    torch.set_num_threads(1)
    trial = Trial(Cell.from_dict(cell), study_seed=0, replicate=0)
    if any(file.exists() for file in checkpoint_files(path)):
        trial.load(path)
    if killed_at is not None:
        what, times = killed_at
        die = _at_the(times)
        if what == "call":
            trial.model.register_forward_hook(lambda *_: die())
        else:
            sys.addaudithook(lambda event, _: die() if event == "os.rename" else None)
    while not trial.done:
        trial.run_epoch()
        trial.save(path)


def _at_the(times: int) -> Callable[[], Any]:
    left = [times]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count
