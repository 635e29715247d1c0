"""A trial on disk at the end of an epoch: written whole or not at all, and read only into the trial it is of."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from torch import Tensor

FORMAT = 2


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or one of another trial."""


class Checkpoint(TypedDict):
    """All that a trial needs to go on as if it had never stopped. Data order and schedules follow from the epoch."""

    cell_id: str
    study_seed: int
    replicate: int
    epoch: int
    diverged: bool
    model: dict[str, Tensor]
    loss: dict[str, Tensor]
    step: dict[str, Any]


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``.

    It is written beside ``path`` and then renamed, so a process that is killed leaves the former file as it was. It is not flushed
    to the disk, which would cost a short trial more than its training: what a loss of power tears, `read_checkpoint` refuses.

    Args:
        path: Where to; its folder is made where it is missing.
        checkpoint: What `read_checkpoint` is to give back.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": FORMAT, **checkpoint}, file)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def read_checkpoint(path: str | Path, *, cell_id: str, study_seed: int, replicate: int) -> Checkpoint:
    """Read what `write_checkpoint` wrote. No code in the file is run.

    Args:
        path: Where from.
        cell_id: The cell that the file must be of.
        study_seed: The study's seed that it must be of.
        replicate: The replicate that it must be of.

    Raises:
        FileNotFoundError: Where there is no such file.
        CheckpointError: Where the file is torn, no checkpoint of this format, or of another trial.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(contents, dict) or contents.pop("format", None) != FORMAT or contents.keys() != Checkpoint.__annotations__.keys():
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
    for name, own in (("cell_id", cell_id), ("study_seed", study_seed), ("replicate", replicate)):
        if contents[name] != own:
            raise CheckpointError(f"{path} is of another trial: its {name} is {contents[name]!r}, this trial's is {own!r}")
    return cast(Checkpoint, contents)
