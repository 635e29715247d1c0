"""What came of a configuration, as a searcher that learns is told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What came of a configuration.

    Attributes:
        values: What was measured, the study's metric first; None where it was lost.
        stopped_after: The epoch after which a rule ended it, so that its values are those of a shorter training; None if none did.

    Example:
        >>> Outcome.of(93.5).value, Outcome.of(float("nan")).value
        (93.5, None)
    """

    values: tuple[float, ...] | None
    stopped_after: int | None = None

    @classmethod
    def of(cls, *values: float | None, stopped_after: int | None = None) -> Outcome:
        """The outcome with these values; lost where one of them is none or no number."""
        numbers = tuple(value for value in values if value is not None and not math.isnan(value))
        return cls(numbers if len(numbers) == len(values) else None, stopped_after)

    @property
    def value(self) -> float | None:
        """The study's metric."""
        return None if self.values is None else self.values[0]

    def badness(self, maximize: bool) -> tuple[float, ...]:
        """What outcomes are sorted by, the best first: whole trainings, stopped ones from the longest to the shortest, lost ones.

        Example:
            >>> outcomes = [Outcome(None), Outcome((9.0,), stopped_after=1), Outcome((3.0,)), Outcome((2.0,), stopped_after=4)]
            >>> [outcome.value for outcome in sorted(outcomes, key=lambda outcome: outcome.badness(maximize=True))]
            [3.0, 2.0, 9.0, None]
        """
        if self.value is None:
            return 2.0, 0.0, 0.0
        cost = -self.value if maximize else self.value
        return (0.0, 0.0, cost) if self.stopped_after is None else (1.0, -float(self.stopped_after), cost)
