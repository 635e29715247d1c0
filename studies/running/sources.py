"""Where a stage's trials come from, one at a time: a list laid out beforehand, or a searcher that learns.

A source knows nothing of Ray. Told what the ledger holds already, it hands out only what is missing, which is all that resuming is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from search_spaces import Outcome
from studies.plan import PlannedTrial


@dataclass(frozen=True)
class Wanted:
    """Which trials are asked for: an array takes those of one dataset, and is fastest with few replicates.

    Attributes:
        dataset: Of this dataset alone; of any, where it is None.
        replicates: Rather of these replicates, where the source knows its trials beforehand.
    """

    dataset: str | None = None
    replicates: Collection[int] = ()

    def takes(self, trial: PlannedTrial) -> bool:
        """Whether a trial is of the dataset."""
        return self.dataset in (None, trial.dataset)


ANY = Wanted()


class TrialSource(Protocol):
    """Hands out a stage's trials and is told their results."""

    done: int
    """How many of them had ended before."""

    @property
    def total(self) -> int:
        """How many trials the stage has, those that ended before included."""

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next trial, of those that are wanted, or None while there is none to hand out."""

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """What came of a trial; lost where it failed or diverged."""

    @property
    def exhausted(self) -> bool:
        """Whether no further trial will ever come."""


class ListedTrials:
    """Trials that are known before the stage starts (grid, Sobol, random, confirm).

    Args:
        planned: Every trial of the stage.
        ended: Keys of those that have ended already.
    """

    def __init__(self, planned: Sequence[PlannedTrial], ended: Iterable[str] = ()) -> None:
        done = set(ended)
        self.total = len(planned)
        self._waiting = deque(trial for trial in planned if trial.key not in done)
        self.done = self.total - len(self._waiting)

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next trial in the plan's order, of those that are wanted."""
        found = None
        for place, trial in enumerate(self._waiting):
            if wanted.takes(trial):
                found = place if found is None else found
                if not wanted.replicates or trial.replicate in wanted.replicates:
                    found = place
                    break
        if found is None:
            return None
        trial = self._waiting[found]
        del self._waiting[found]
        return trial

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Results change nothing here."""

    @property
    def exhausted(self) -> bool:
        """Whether the list has been handed out."""
        return not self._waiting
