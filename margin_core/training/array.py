"""Trials that are trained side by side as one array, each as it would be alone.

Trials that share dataset, model and recipe, but for learning rate and weight decay, join an array and leave it between epochs.
"""

from __future__ import annotations

from collections.abc import Iterator

from margin_core.training.cell import Cell
from margin_core.training.trial import EpochReport, Trial


def why_alone(cell: Cell) -> str:
    """Why trials of a cell cannot join an array, in a few words; empty if they can."""
    return ""


def alike(cell: Cell) -> str:
    """What the trials of an array have in common, of a cell: dataset, model, weights and recipe but for learning rate and weight decay."""
    return f"{cell.dataset.key}"


class TrialArray:
    """Trials side by side.

    Trials may begin and end at different epochs. Those of one replicate that are at the same epoch of its stream of batches share their
    batches, which is where most of the gain is: see `phase`.
    """

    def __init__(self) -> None:
        self._trials: list[Trial] = []

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
        self._trials.append(trial)

    def leave(self, trial: Trial) -> None:
        """Let a trial go: from now on it has tensors of its own, and may go on alone."""
        self._trials.remove(trial)

    def run_epoch(self) -> list[tuple[Trial, EpochReport]]:
        """Train every trial for one epoch; of each its report. A trial's seconds are its share of those of the array.

        Raises:
            RuntimeError: Where one of them is done.
        """
        return [(trial, trial.run_epoch()) for trial in self._trials]
