"""How often each trial was tried, and whether it is tried again and where, by the cause of its failure and the study's policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from studies.failures import WORDS, Cause, Policy


class Attempts:
    """Counts the failures of trials, each cause by itself.

    Args:
        policies: What is done for each cause.
    """

    def __init__(self, policies: Mapping[Cause, Policy]) -> None:
        self._policies = policies
        self._counts: Counter[tuple[str, Cause]] = Counter()
        self._left: dict[str, set[str]] = {}

    def again(self, key: str, cause: Cause, told: str, node: str) -> tuple[bool, str]:
        """Count a failure; returns whether the trial is tried again, and what to say of it.

        Args:
            key: The trial.
            cause: Why it failed.
            told: The same in detail.
            node: Where it ran, or empty where nobody knows.
        """
        policy = self._policies[cause]
        self._counts[key, cause] += 1
        count = self._counts[key, cause]
        if policy.elsewhere and node:
            self._left.setdefault(key, set()).add(node)
        attempt = f" in attempt {count} of {policy.tries}" if policy.tries > 1 else ""
        return count < policy.tries, f"{WORDS[cause]}{attempt}: {told}"

    def left(self, key: str) -> frozenset[str]:
        """The nodes on which a trial is not to be tried again."""
        return frozenset(self._left.get(key, ()))
