"""What more seeds would show: how small a difference from the baseline so many of them can tell.

Rule. The allowance of `studies.analysis.best` between the baseline and its nearest rival is what a lead must go beyond. It is worked out
for other numbers of seeds from the noise and the missing runs seen so far, at the same confidence. That is a forecast of the noise, and
says nothing of how large the true difference is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies.analysis.best import compare_with_best
from studies.analysis.replicates import read_replicates
from studies.analysis.rule import MOST_SEEDS, Question

FEWEST = 2


@dataclass(frozen=True)
class Outlook:
    """The least difference that can be told, by number of seeds.

    Attributes:
        now: How many seeds were compared.
        lead: How far the best value is ahead of the baseline, in the metric's own units; below zero where it is behind.
        seeds: Numbers of seeds, rising, ``now`` among them.
        tells: For each of them the least lead that is told apart from none.
    """

    now: int
    lead: float
    seeds: tuple[int, ...]
    tells: tuple[float, ...]

    @property
    def tells_now(self) -> float:
        """What the seeds there are can tell."""
        return self.tells[self.seeds.index(self.now)]

    def seeds_for(self, difference: float) -> int | None:
        """About how many seeds tell a difference; None where it is not positive, at least the fewest that were worked out.

        Example:
            >>> seen = Outlook(now=4, lead=0.3, seeds=(4, 9, 16), tells=(0.6, 0.4, 0.3))
            >>> seen.seeds_for(0.4), seen.seeds_for(0.15)
            (9, 64)
        """
        if difference <= 0.0:
            return None
        # What so many seeds tell falls about as one over their root.
        beyond = 2.0 * max(math.log(self.tells[-1] / difference), 0.0)
        between = np.interp(-math.log(difference), -np.log(self.tells), np.log(self.seeds))
        return math.ceil(math.exp(float(between) + beyond) - 1e-6)


def outlook(table: pd.DataFrame, question: Question, baseline: float | pd.DataFrame) -> Outlook | None:
    """Work out what other numbers of seeds would tell; None where noise cannot be estimated.

    Args:
        table: As of `studies.analysis.judge`, with columns ``seed``, the knob and the metric.
        question: What was asked of it.
        baseline: A value of the knob, or a table with columns ``seed`` and the metric.

    Example:
        >>> runs = [(0, 90.1, 90.9, 90.7), (1, 89.9, 90.6, 90.5), (2, 90.4, 91.1, 90.9), (3, 90.2, 91.0, 90.9)]
        >>> rows = [(seed, lam, accuracy) for seed, *row in runs for lam, accuracy in zip((0.0, 1.0, 2.0), row)]
        >>> table = pd.DataFrame(rows, columns=["seed", "lam", "accuracy"])
        >>> seen = outlook(table, Question(knob="lam", metric="accuracy", baseline=0.0), 0.0)
        >>> seen.now, round(seen.lead, 2), seen.tells_now < 0.15
        (4, 0.75, True)
    """
    replicates = read_replicates(table, knob=question.knob, metric=question.metric, baseline=baseline)
    if replicates.obstacle() is not None:
        return None
    fit = compare_with_best(question.sign * replicates.scores, alpha=question.level, strict=question.strict)
    if not float(fit.residual_variance) > 0.0:
        return None
    others = [column for column in range(len(replicates.cells)) if column != replicates.baseline]
    rival = max(others, key=lambda column: float(fit.means[column]))
    now = len(replicates.scores)
    seeds = _numbers(now, whole=bool(np.isfinite(replicates.scores).all()))
    tells = [float(fit.allowance(number - now)[rival, replicates.baseline]) for number in seeds]
    return Outlook(now, float(fit.lead[rival, replicates.baseline]), tuple(seeds), tuple(tells))


def _numbers(now: int, *, whole: bool) -> Sequence[int]:
    """A few numbers of seeds from the fewest, or from ``now`` where runs are missing, to four times ``now``."""
    fewer = {FEWEST, round(math.sqrt(FEWEST * now))} if whole else set()
    return sorted({*fewer, now, *(min(times * now, now + MOST_SEEDS) for times in (2, 4))})
