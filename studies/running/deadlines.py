"""Which running trials have been silent or have run for too long. It knows nothing of Ray: who is told and kills is `limits`.

A silence is measured by the time in which the driver was looking. A driver that was itself stopped, or busy for minutes, finds reports
waiting for it when it looks again, and must not take that for their silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from studies.budget import TrialBudgetSection
from studies.failures import Cause

# Seconds: the longest time between two looks that counts, and the least and the first silence by default.
_LONGEST_LOOK, _LEAST, _FIRST = 10.0, 3600.0, 86400.0
_TIMES = 20.0


@dataclass
class _Running:
    """A running trial: when it began, when it was last heard of, and whether an epoch of this attempt has been reported."""

    dataset: str
    spent: float
    began: float
    heard: float
    reported: bool = False


@dataclass(frozen=True)
class Overdue:
    """A trial that must not go on.

    Attributes:
        trial_id: The trial, as Ray Tune calls it.
        cause: ``hang`` or ``time``.
        told: The same in detail.
    """

    trial_id: str
    cause: Cause
    told: str


class Deadlines:
    """Follows the running trials.

    The silence before an attempt's first report has a measure of its own: it includes reading the dataset and compiling.

    Args:
        limits: What the study file allows.
        clock: Tells the time in seconds.
    """

    def __init__(self, limits: TrialBudgetSection, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._looked = clock()
        self._now = 0.0
        self._trials: dict[str, _Running] = {}
        self._longest: dict[tuple[str, bool], float] = {}

    def began(self, trial_id: str, dataset: str, spent: float = 0.0) -> None:
        """A trial begins, or begins again after it has run for ``spent`` seconds."""
        self.look()
        self._trials[trial_id] = _Running(dataset, spent, self._now, self._now)

    def heard(self, trial_id: str, *, epochs: bool) -> None:
        """Something is heard of a trial: ``epochs`` that it has run, or only that it waits for its processes."""
        self.look()
        trial = self._trials.get(trial_id)
        if trial is None:
            return
        if epochs:
            kind = trial.dataset, trial.reported
            self._longest[kind] = max(self._longest.get(kind, 0.0), self._now - trial.heard)
            trial.reported = True
        trial.heard = self._now

    def ended(self, trial_id: str) -> None:
        """A trial runs no longer."""
        self._trials.pop(trial_id, None)

    def look(self) -> None:
        """Let time go on; to be called every second or so."""
        now = self._clock()
        self._now += min(now - self._looked, _LONGEST_LOOK)
        self._looked = now

    def overdue(self) -> Iterator[Overdue]:
        """The trials that are to be killed, each once."""
        self.look()
        for trial_id, trial in list(self._trials.items()):
            silent, allowed = self._now - trial.heard, self._allowed(trial)
            ran = trial.spent + self._now - trial.began
            if silent > allowed:
                said = "since its last report" if trial.reported else "since it began"
                yield self._over(
                    trial_id, "hang", f"nothing was heard of it for {_words(silent)} {said}, and {_words(allowed)} are allowed"
                )
            elif self._limits.hours is not None and ran > 3600.0 * self._limits.hours:
                yield self._over(trial_id, "time", f"it ran for {_words(ran)}, and budget.trial.hours is {self._limits.hours:g}")

    def _over(self, trial_id: str, cause: Cause, told: str) -> Overdue:
        self.ended(trial_id)
        return Overdue(trial_id, cause, told)

    def _allowed(self, trial: _Running) -> float:
        if self._limits.silent_hours is not None:
            return 3600.0 * self._limits.silent_hours
        known = self._longest.get((trial.dataset, trial.reported))
        return _FIRST if known is None else max(_LEAST, _TIMES * known)


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120.0 else f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"
