"""What is asked of one knob on one dataset (`Question`), and the rule that answers it with a label (`label_of`).

Let the optimum set be Hsu's at 1 - alpha (`studies.analysis.best`), the baseline being one of the cells compared. The first of these
that holds is the label:

    UNDECIDED   fewer than two seeds
    FLAT        every simultaneous upper bound of a difference from the best is below ``sesoi``, the smallest effect of interest
    WORSE       the baseline alone is in the optimum set
    EDGE        the baseline is not in it, and the best value is at an end of the grid that could be extended
    LOCATED     the baseline is not in it, and it spans at most half the range of the grid, on the knob's own scale
    BETTER      the baseline is not in it
    UNDECIDED   none of these

The ends of the grid are the least and the greatest value tried, a value that was left out because its runs failed among them.

A table that was judged before, with fewer seeds, is looked at again, and each look is a new chance of a false claim. So the first look is
at ``alpha`` and each one after it at a quarter of the one before (`Question.level`): all looks together err at most 4/3 as often as
one, however many there are.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Literal, get_args

from studies.analysis.best import Array, Comparison
from studies.analysis.replicates import Replicates
from studies.choosing import refuse_test_metric

Label = Literal["UNDECIDED", "FLAT", "WORSE", "EDGE", "LOCATED", "BETTER"]
Scale = Literal["linear", "log"]
LABELS: tuple[Label, ...] = get_args(Label)

FIRST_SEEDS = 5
"""Seeds to begin with: with fewer, what the noise seen so far forecasts is worth little."""
MOST_SEEDS = 200
"""A forecast of more seeds stops here, and then means "at least so many"."""
LATER_LOOKS = 0.25
"""What each look after the first is judged at, as a share of the alpha of the one before."""
CHANCE = 0.8
"""The probability of a decision that a forecast of more seeds aims at."""


class PercentagePoints(float):
    """An effect size that only a metric in percent may use, so that any other metric can refuse it."""


DEFAULT_SESOI = PercentagePoints(0.2)


@dataclass(frozen=True)
class Question:
    """What is asked of one knob on one dataset; the arguments of `studies.analysis.judge`, checked.

    Args:
        knob: Name of the knob.
        metric: Name of the metric.
        baseline: The knob value that is the baseline; None where the baseline is no knob value.
        sesoi: Smallest effect of interest, in the metric's own units, >= 0.
        alpha: One minus the confidence, in (0, 0.5).
        looks: How many times the table has been judged, this one included; before it had fewer seeds.
        strict: Whether the optimum set should keep all values that are equally best, not just each of them.
        maximize: Whether higher is better.
        extendable: Whether the grid could be extended below its least and above its greatest value.
        fixed: A knob value that was chosen before the seeds were run.
        scale: Whether ranges are measured on the knob or on its logarithm.

    Raises:
        ValueError: if a value is out of range, ``sesoi`` is in percentage points and the metric is no accuracy, or the metric is measured
            on the test split.
    """

    knob: str
    metric: str
    baseline: float | None
    sesoi: float = DEFAULT_SESOI
    alpha: float = 0.05
    strict: bool = False
    maximize: bool = True
    extendable: tuple[bool, bool] = (True, True)
    fixed: float | None = None
    scale: Scale = "linear"
    looks: int = 1

    def __post_init__(self) -> None:
        refuse_test_metric(self.metric)
        if isinstance(self.sesoi, PercentagePoints) and not self.in_percent:
            raise ValueError(f"sesoi must be given for {self.metric}: only an accuracy has a default (0.2 percentage points)")
        if not (math.isfinite(self.sesoi) and self.sesoi >= 0.0):
            raise ValueError(f"sesoi must be finite and >= 0, got {self.sesoi!r}")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"alpha must be in (0, 0.5), got {self.alpha!r}")
        if self.looks < 1:
            raise ValueError(f"looks must be >= 1, got {self.looks!r}")
        if self.scale not in get_args(Scale):
            raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {self.scale!r}")

    @property
    def level(self) -> float:
        """What the optimum set is made at: ``alpha`` in the first look, a quarter of the one before in each later one."""
        return level(self.alpha, self.looks)

    @property
    def sign(self) -> float:
        """What a score is multiplied with so that higher is better."""
        return 1.0 if self.maximize else -1.0

    @property
    def in_percent(self) -> bool:
        """Whether the metric is an accuracy, which runs from 0 to 100."""
        return "accuracy" in self.metric

    def grid(self, tried: tuple[float, ...]) -> tuple[float, ...]:
        """The values tried that have a place on the scale: on a logarithmic one, a baseline of zero has none.

        Raises:
            ValueError: if another value than the baseline is not positive on a logarithmic scale.
        """
        if self.scale == "linear":
            return tried
        for value in tried:
            if value <= 0.0 and value != self.baseline:
                raise ValueError(f"scale 'log' needs values of {self.knob} > 0 (a baseline excepted), got {value:g}")
        return tuple(value for value in tried if value > 0.0)

    def span(self, values: tuple[float, ...]) -> float:
        """The distance from the least to the greatest of ``values`` on the knob's scale."""
        least, greatest = min(values), max(values)
        return greatest - least if self.scale == "linear" else math.log(greatest / least)


def level(alpha: float, looks: int) -> float:
    """What the last of so many looks is judged at.

    Example:
        >>> level(0.05, 1), level(0.05, 2)
        (0.05, 0.0125)
    """
    return alpha * LATER_LOOKS ** (looks - 1)


def label_of(question: Question, replicates: Replicates, fit: Comparison, allowance: Array) -> Label:
    """The label of cells that were compared; the rule is in the module's docstring.

    Args:
        question: What is asked.
        replicates: The cells that were compared.
        fit: Their comparison, of one table.
        allowance: The leads that noise allows, shape (cells, cells).
    """
    may_be_best = fit.may_be_best(allowance)
    if fit.upper_bounds(allowance).max() < question.sesoi:
        return "FLAT"
    if may_be_best[replicates.baseline]:
        return "WORSE" if may_be_best.sum() == 1 else "UNDECIDED"
    grid, best = question.grid(replicates.tried), replicates.values[replicates.best(fit.means)]
    extend_below, extend_above = question.extendable
    if (extend_below and best == min(grid)) or (extend_above and best == max(grid)):
        return "EDGE"
    # Half the range of a logarithmic grid is seldom exact in floating point.
    half = question.span(grid) / 2.0 * (1.0 + 1e-9)
    return "LOCATED" if 0.0 < half >= question.span(replicates.chosen(may_be_best)) else "BETTER"


def seeds_to_decide(question: Question, replicates: Replicates, fit: Comparison) -> int:
    """How many more seeds, each in every cell, are forecast to give an undecided table a label; 1 to `MOST_SEEDS`.

    The forecast supposes that the means and the noise seen so far are the true ones, and asks for seeds enough that a lead of that
    size then shows with probability `CHANCE` in the next look, which is the stricter one. Both are uncertain after few seeds, so it is a
    guide and no promise; `benchmarks/verdicts.py` measures it.
    """
    then = replace(fit, alpha=question.level * LATER_LOOKS)

    def decided(more_seeds: int) -> bool:
        return label_of(question, replicates, then, then.allowance(more_seeds, CHANCE)) != "UNDECIDED"

    return 1 + bisect_left(range(1, MOST_SEEDS), True, key=decided)
