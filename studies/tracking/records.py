"""What a ledger is made of: how a trial stands, what was changed of a study, and the error of a ledger that cannot be used.

How they are written is `studies.tracking.ledger`'s, how they are read `studies.tracking.readings`'.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from studies.difference import Difference

Status = Literal["running", "paused", "interrupted", "finished", "stopped", "diverged", "failed"]
ENDED: tuple[Status, ...] = ("finished", "stopped", "diverged", "failed")
ChangeKind = Literal["branched", "extended", "continued"]
SUCCEEDED: tuple[Status, ...] = ("finished", "stopped")


class LedgerError(ValueError):
    """A ledger cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the ledger knows it.

    ``copied_from`` names the study that ran it, where that was not this one. ``phase`` is that of `margin_core.training.Trial`: with it the
    trial can be run again by itself.
    """

    key: str
    stage: str
    cell_id: str
    dataset: str
    family: str
    seed: int
    status: Status
    reason: str
    started: float
    ended: float | None
    attempts: int
    copied_from: str
    phase: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What was changed of a study, and when.

    Attributes:
        kind: ``branched`` from its parent, ``extended`` by a changed study file, or ``continued`` with other versions of packages, another
            budget or the like.
        at: When, in seconds since 1970.
        ended: How many of the study's trials had ended by then.
        differences: What was changed.
    """

    kind: ChangeKind
    at: float
    ended: int
    differences: tuple[Difference, ...]

    @property
    def when(self) -> str:
        """The time in words."""
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        differences = [{"key": entry.key, "was": entry.was, "now": entry.now} for entry in self.differences]
        return {"kind": self.kind, "at": self.at, "trials_ended": self.ended, "differences": differences}

    def __str__(self) -> str:
        after = f", after {self.ended} trials had ended" if self.ended else ""
        return f"{self.kind} on {self.when}{after}: {'; '.join(map(str, self.differences))}"
