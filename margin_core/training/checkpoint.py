"""A trial on disk at the end of an epoch: written whole or not at all, and read only into the trial it is of.

The checkpoint before the last one stays beside it, for the case that the last one is found to be broken.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from torch import Tensor

FORMAT = 3
_DIGEST = hashlib.sha256

logger = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or one of another trial."""


def checkpoint_files(path: str | Path) -> tuple[Path, Path]:
    """The files of the checkpoints that are saved to ``path``: of the last one, and of the one before it."""
    path = Path(path)
    return path, path.with_name(f"{path.name}.before")


class Checkpoint(TypedDict):
    """All that a trial needs to go on as if it had never stopped. Data order and schedules follow from the epoch."""

    cell_id: str
    study_seed: int
    replicate: int
    phase: int
    epoch: int
    diverged: bool
    model: dict[str, Tensor]
    loss: dict[str, Tensor]
    step: dict[str, Any]


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``, and keep what was there as the one before.

    It is written beside ``path`` and then renamed, so a process that is killed leaves whole files, whenever that is. It is not flushed
    to the disk, which would cost a short trial more than its training: what a loss of power tears, `read_checkpoint` passes over.

    Args:
        path: Where to; its folder is made where it is missing.
        checkpoint: What `read_checkpoint` is to give back.
    """
    path, before = checkpoint_files(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, io.BytesIO() as contents:
            torch.save({"format": FORMAT, **_own(checkpoint)}, contents)
            # torch's own format does not notice a number that is changed on the disk.
            file.write(_DIGEST(contents.getbuffer()).digest())
            file.write(contents.getbuffer())
        if path.exists():
            os.replace(path, before)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _own(value: Any) -> Any:
    """The same with tensors that have no more memory than they need: torch writes that of a view whole."""
    if isinstance(value, Tensor):
        return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value
    if isinstance(value, dict):
        return {key: _own(part) for key, part in value.items()}
    return [_own(part) for part in value] if isinstance(value, list) else value


def read_checkpoint(path: str | Path, *, cell_id: str, study_seed: int, replicate: int) -> Checkpoint:
    """Read what `write_checkpoint` last wrote, or, where that is not whole, what it wrote before. No code in a file is run.

    Args:
        path: Where from.
        cell_id: The cell that the file must be of.
        study_seed: The study's seed that it must be of.
        replicate: The replicate that it must be of.

    Raises:
        FileNotFoundError: Where there is no such file, nor one before.
        CheckpointError: Where none of the files is a whole checkpoint of this format and of this trial; it tells of the last one.
    """
    files = [file for file in checkpoint_files(path) if file.exists()]
    if not files:
        raise FileNotFoundError(f"there is no checkpoint {path}")
    errors = []
    for file in files:
        try:
            return _read(file, {"cell_id": cell_id, "study_seed": study_seed, "replicate": replicate})
        except CheckpointError as error:
            logger.warning("%s", error)
            errors.append(error)
    raise errors[0]


def _read(path: Path, own: dict[str, str | int]) -> Checkpoint:
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    size = _DIGEST().digest_size
    if _DIGEST(data[size:]).digest() != data[:size]:
        raise CheckpointError(f"{path} is not a whole checkpoint: its contents are not those that were written")
    try:
        contents = torch.load(io.BytesIO(data[size:]), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {str(error).partition(chr(10))[0]}") from error
    written = contents.pop("format", None) if isinstance(contents, dict) else None
    if written == 2:  # before there were phases
        contents["phase"] = 0
    if written not in (2, FORMAT) or contents.keys() != Checkpoint.__annotations__.keys():
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
    for name, value in own.items():
        if contents[name] != value:
            raise CheckpointError(f"{path} is of another trial: its {name} is {contents[name]!r}, this trial's is {value!r}")
    return cast(Checkpoint, contents)
