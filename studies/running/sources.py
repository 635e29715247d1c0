"""Where a stage's trials come from, one at a time: a list laid out beforehand, or a searcher that learns.

A source knows nothing of Ray. Told what the ledger holds already, it hands out only what is missing, which is all that resuming is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from search_spaces import Outcome
from studies.plan import PlannedTrial


class TrialSource(Protocol):
    """Hands out a stage's trials and is told their results."""

    done: int
    """How many of them had ended before."""

    @property
    def total(self) -> int:
        """How many trials the stage has, those that ended before included."""

    def next(self) -> PlannedTrial | None:
        """The next trial, or None while there is none to hand out."""

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

    def next(self) -> PlannedTrial | None:
        """The next trial in the plan's order."""
        return self._waiting.popleft() if self._waiting else None

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Results change nothing here."""

    @property
    def exhausted(self) -> bool:
        """Whether the list has been handed out."""
        return not self._waiting
