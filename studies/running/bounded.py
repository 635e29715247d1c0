"""A source of trials that begins no more of them than a study's budget allows."""

from __future__ import annotations

from collections.abc import Collection

from search_spaces import Outcome
from studies.plan import PlannedTrial
from studies.running.sources import ANY, TrialSource, Wanted


class BoundedTrials:
    """Hands out another source's trials until so many have begun, and those that had begun before in any case.

    Args:
        source: Where the trials come from.
        begun: Keys of the study's trials that have begun, in any stage.
        unfinished: Those of them that have not ended, of this stage.
        limit: How many may begin, or None for any number.
    """

    def __init__(self, source: TrialSource, begun: Collection[str], unfinished: Collection[str], limit: int | None) -> None:
        self.source = source
        self._held_back = False
        self._begun = set(begun)
        self._unfinished = set(unfinished)
        self._limit = limit
        self.done = source.done

    @property
    def total(self) -> int:
        """How many trials the stage has, whether or not the budget allows them."""
        return self.source.total

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next trial that may run, of those that are wanted."""
        while not self._at_limit or self._unfinished:
            trial = self.source.next(wanted)
            if trial is None:
                return None
            if not self._at_limit or trial.key in self._unfinished:
                self._unfinished.discard(trial.key)
                self._begun.add(trial.key)
                return trial
            self._held_back = True
        return None

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Pass the result on."""
        self.source.tell(trial, outcome)

    @property
    def exhausted(self) -> bool:
        """Whether no further trial will ever come."""
        return self.source.exhausted or bool(self.used_up)

    @property
    def used_up(self) -> str:
        """Why trials are held back, in words; empty where none are."""
        if not self._at_limit or self._unfinished or (self.source.exhausted and not self._held_back):
            return ""
        return f"budget.trials is {self._limit}, and {len(self._begun)} trials have begun"

    @property
    def _at_limit(self) -> bool:
        return self._limit is not None and len(self._begun) >= self._limit
