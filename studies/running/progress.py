"""What a trial has come to, as it travels from its process to the driver; what is done with it there is left to `callback`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.failures import Cause
from studies.running.causes import cause_of, spoils_process


@dataclass(frozen=True)
class Progress:
    """What a trial has come to since it was last asked.

    Attributes:
        rows: Its epochs as they travel to the ledger.
        status: ``running``, ``paused`` at the end of a segment, ``finished``, ``diverged`` or ``failed``.
        reason: Why it diverged or failed, else empty.
        cause: The same as one of a few causes.
        spoilt: Whether its process is no good for another trial.
    """

    rows: list[dict[str, Any]]
    status: str
    reason: str = ""
    cause: Cause | None = None
    spoilt: bool = False

    def result(self, metric: str, node: str) -> dict[str, Any]:
        """The same as a searcher, a scheduler and callbacks read it.

        Args:
            metric: What a scheduler compares.
            node: Where the trial runs.
        """
        result: dict[str, Any] = {"rows": self.rows, "status": self.status, "reason": self.reason}
        result["done"] = self.status != "running"
        if self.cause is not None:
            result |= {"cause": self.cause, "node": node}
        if self.rows:
            result["epoch"] = self.rows[-1]["epoch"]
            value = self.rows[-1]["metrics"].get(metric)
            if value is not None and self.status != "diverged":
                result[metric] = value
        return result

    @classmethod
    def of_error(cls, error: Exception, rows: list[dict[str, Any]] | None = None) -> Progress:
        """That of a trial that raised."""
        return cls(rows or [], "failed", _sentence(error), cause_of(error), spoils_process(error))


def _sentence(error: Exception) -> str:
    """What was raised, in a line; of an error without words, where."""
    if not str(error).strip():
        raised = traceback.extract_tb(error.__traceback__)[-1:]
        return f"{type(error).__name__}{''.join(f' in line {place.lineno} of {Path(place.filename).name}' for place in raised)}"
    return f"{type(error).__name__}: {error}".splitlines()[0]
