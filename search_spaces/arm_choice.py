"""Which arm of a space is worth the next configuration: TPE's rule for one choice, which needs no more than counts."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter

import numpy as np

from search_spaces.outcome import Outcome

_CANDIDATES = 24  # and at most 25 of the best tenth count as good: Optuna's own numbers
_MOST_GOOD = 25


class ArmChoice:
    """Chooses among arms by how many of the good configurations are theirs, and how many of the others.

    The best tenth is good, 25 at most. Candidates are drawn by the shares that arms have among the good, and the one is taken whose share
    there is largest beside its share among the others, where those that are still measured count (Bergstra et al., Algorithms for
    Hyper-Parameter Optimization, NeurIPS 2011, section 4). One more configuration on either side, spread over all arms, keeps every
    arm possible.

    Args:
        count: How many arms there are.
        maximize: Whether more is better.
    """

    def __init__(self, count: int, *, maximize: bool) -> None:
        self._count = count
        self._maximize = maximize
        self._ranked: list[tuple[tuple[float, ...], int]] = []
        self._of_arm: Counter[int] = Counter()

    @property
    def known(self) -> int:
        """How many configurations have come to an end that teaches something."""
        return len(self._ranked)

    def ask(self, seed: int) -> int:
        """An arm's place."""
        good = Counter(place for _, place in self._ranked[: min(math.ceil(0.1 * len(self._ranked)), _MOST_GOOD)])
        better = np.array([good[place] + 1.0 / self._count for place in range(self._count)])
        others = np.array([self._of_arm[place] - good[place] + 1.0 / self._count for place in range(self._count)])
        drawn = np.random.default_rng(seed).choice(self._count, size=_CANDIDATES, p=better / better.sum())
        return int(max(drawn, key=lambda place: better[place] / others[place]))

    def begin(self, place: int) -> None:
        """A configuration of an arm is going to be measured, or was elsewhere."""
        self._of_arm[place] += 1

    def tell(self, place: int, outcome: Outcome) -> None:
        """What came of it; a lost one teaches nothing."""
        if outcome.values is None:
            self._of_arm[place] -= 1
        else:
            insort(self._ranked, (outcome.badness(self._maximize), place))
