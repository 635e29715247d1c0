"""Copies of a trial's files on a storage, so that no node needs a folder of another.

A trial works on files of its own node: it fetches its checkpoints when it starts, and sends them when they are saved. What a checkpoint
is, and which of two is whole, is left to `margin_core.training`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from margin_core.training import checkpoint_files
from studies.storage import Storage
from studies.stored import CHECKPOINTS, EXAMPLES

logger = logging.getLogger(__name__)


class TrialCopies:
    """Copies of one trial's files; without a storage there are none to make.

    Args:
        url: The storage's URL, or None.
        study: The study's folder there.
    """

    def __init__(self, url: str | None, study: str) -> None:
        self._storage = None if url is None else Storage(url, study)

    def fetch(self, checkpoint: Path) -> None:
        """Bring the checkpoints and the history that the storage has. Raises `OSError` where it does not answer."""
        if self._storage is not None:
            for file in _files(checkpoint):
                file.unlink(missing_ok=True)
                self._storage.get(f"{CHECKPOINTS}/{file.name}", file)

    def send(self, checkpoint: Path) -> None:
        """Copy a checkpoint that was just saved, with its history, and keep the one before.

        A storage that does not answer costs the trial this checkpoint, and nothing else.
        """
        if self._storage is None:
            return
        last, before, history = (f"{CHECKPOINTS}/{file.name}" for file in _files(checkpoint))
        try:
            # First, as on the node: a history longer than its checkpoint is cut, a shorter one is of no use.
            self._storage.put(checkpoint.with_suffix(".json"), history)
            self._storage.move(last, before)
            self._storage.put(checkpoint, last)
        except OSError as error:
            logger.warning("%s does not reach the storage: %s", checkpoint.name, error)

    def send_examples(self, file: Path) -> None:
        """Copy what a trained network makes of each test example. Raises `OSError`, for it is a result."""
        if self._storage is not None:
            self._storage.put(file, f"{EXAMPLES}/{file.name}")

    def remove(self, checkpoint: Path) -> None:
        """Remove the checkpoints and the history from the storage; what stays there because it does not answer is removed at the end."""
        if self._storage is None:
            return
        try:
            for file in _files(checkpoint):
                self._storage.remove(f"{CHECKPOINTS}/{file.name}")
        except OSError as error:
            logger.warning("%s stays on the storage: %s", checkpoint.name, error)


def _files(checkpoint: Path) -> Iterator[Path]:
    yield from checkpoint_files(checkpoint)
    yield checkpoint.with_suffix(".json")


@cache
def own_folder() -> str:
    """A folder of this process alone."""
    return tempfile.mkdtemp(prefix="margin-studies-")
