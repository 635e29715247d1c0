"""What the verdicts say where the truth is known: how often each label comes out, and how often the optimum set holds the best value.

A study's plan can ask here how many seeds an effect of a given size needs; the tests and `benchmarks/verdicts.py` hold the analysis
to the error rates it claims. Scores are drawn as truth + seed + noise and go through the same comparison and rule as `judge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.best import Array, compare_with_best
from studies.analysis.replicates import Cell, Replicates
from studies.analysis.rule import Label, Question, label_of, seeds_to_decide

GRID: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""The knob's values; the first is the baseline."""

TRUTHS: Mapping[str, Callable[[Array], Array]] = {
    "flat": lambda knob: 0.0 * knob,
    "quadratic": lambda knob: -((knob - 1.5) ** 2),
    "skewed": lambda knob: -np.where(knob < 1.0, 4.0, 0.5) * (knob - 1.0) ** 2,
    "plateau": lambda knob: -(np.maximum(1.5 - knob, 0.0) ** 2),
    "edge": lambda knob: knob**2,
    "slope": lambda knob: knob,
    "worse": lambda knob: -np.where(knob > 0.0, 1.0 + knob, 0.0),
    "step": lambda knob: np.where(knob == 1.5, 1.0, 0.0),
}
"""True means, in curvatures, as functions of the knob."""

Errors = Literal["normal", "heavy", "uneven", "growing"]


@dataclass(frozen=True)
class Scenario:
    """A known truth and how it is seen.

    Args:
        truth: One of `TRUTHS`.
        curvature: What the truth is multiplied with, in percentage points.
        seeds: How many seeds each cell is run with.
        noise: Standard deviation of one run, in percentage points.
        correlation: Share of its variance that all cells of a seed have in common, in [0, 1).
        errors: Noise of a normal distribution; of a ``heavy``-tailed one (t with 4 degrees of freedom); ``uneven``, that of the baseline
            twice as large as the others'; or ``growing`` along the grid to twice as much.
        missing: Share of the runs that are missing at random, in [0, 1).
    """

    truth: str
    curvature: float = 0.1
    seeds: int = 5
    noise: float = 0.25
    correlation: float = 0.3
    errors: Errors = "normal"
    missing: float = 0.0

    @property
    def means(self) -> Array:
        """The true mean of every cell."""
        return self.curvature * np.asarray(TRUTHS[self.truth](np.array(GRID)), dtype=np.float64)

    @property
    def best(self) -> NDArray[np.bool_]:
        """Which cells are truly best."""
        return np.asarray(self.means > self.means.max() - 1e-12)

    def draw(self, generator: np.random.Generator, repetitions: int, seeds: int) -> Array:
        """Scores of as many independent studies, shape (repetitions, seeds, cells)."""
        shape = (repetitions, seeds, len(GRID))
        own = generator.standard_t(4, shape) / np.sqrt(2.0) if self.errors == "heavy" else generator.standard_normal(shape)
        if self.errors == "uneven":
            own[..., 0] *= 2.0
        if self.errors == "growing":
            own *= np.linspace(1.0, 2.0, len(GRID))
        shared = generator.standard_normal((repetitions, seeds, 1))
        scores = self.means + self.noise * (np.sqrt(self.correlation) * shared + np.sqrt(1.0 - self.correlation) * own)
        return np.where(generator.random(shape) < self.missing, np.nan, scores)


@dataclass(frozen=True)
class Frequencies:
    """What came out over many repetitions, as shares of them.

    Args:
        labels: How often each label.
        better: How often the baseline was left out of the optimum set.
        covered: How often a truly best value was in the optimum set, of the one for which that was rarest.
        all_covered: How often all truly best values were in it.
        located_elsewhere: How often the label was LOCATED although no truly best value was in the set.
        width: Mean span of the optimum set, in units of the knob.
        repetitions: How many repetitions.
    """

    labels: Mapping[Label, float]
    better: float
    covered: float
    all_covered: float
    located_elsewhere: float
    width: float
    repetitions: int


@dataclass(frozen=True)
class FollowUp:
    """What came of the forecasts of more seeds, over the repetitions that were undecided at first.

    Args:
        undecided: Share of all repetitions that were undecided.
        asked: Median forecast of more seeds.
        decided: How often the table had a label once those seeds were added.
        better: How often, of all repetitions, the baseline was out of the optimum set at any look.
        careless: The same if each look were judged as the first is.
    """

    undecided: float
    asked: float
    decided: float
    better: float
    careless: float


QUESTION = Question(knob="knob", metric="accuracy", baseline=GRID[0])


def simulate(scenario: Scenario, *, repetitions: int, seed: int, question: Question = QUESTION) -> Frequencies:
    """Judge many independent studies of one scenario.

    Args:
        scenario: The truth and how it is seen.
        repetitions: How many studies.
        seed: Of the random numbers; equal seeds give equal frequencies.
        question: What is asked; its knob runs over `GRID` and its baseline is the first value.
    """
    scores = scenario.draw(np.random.default_rng(seed), repetitions, scenario.seeds)
    labels: list[Label] = []
    sets = []
    # Studies that miss different runs cannot be fitted at once.
    for batch in [scores] if scenario.missing == 0.0 else np.split(scores, repetitions):
        replicates = _replicates(batch)
        fit = compare_with_best(batch, alpha=question.alpha, strict=question.strict)
        allowance = fit.allowance()
        sets.append(fit.may_be_best(allowance))
        labels += [label_of(question, replicates, fit.one(i), allowance[i]) for i in range(len(batch))]
    kept = np.concatenate(sets)
    holds = kept[:, scenario.best]
    located = np.array([label == "LOCATED" for label in labels])
    knob = np.array(GRID)
    return Frequencies(
        labels={label: count / repetitions for label, count in Counter(labels).items()},
        better=float((~kept[:, 0]).mean()),
        covered=float(holds.mean(axis=0).min()),
        all_covered=float(holds.all(axis=1).mean()),
        located_elsewhere=float((located & ~holds.any(axis=1)).mean()),
        width=float((np.where(kept, knob, -np.inf).max(axis=1) - np.where(kept, knob, np.inf).min(axis=1)).mean()),
        repetitions=repetitions,
    )


def follow_up(scenario: Scenario, *, repetitions: int, seed: int, looks: int = 2, question: Question = QUESTION) -> FollowUp:
    """Run the seeds that an undecided table asks for, and look again, as long as it is undecided.

    Args:
        scenario: The truth and how it is seen at first.
        repetitions: How many studies.
        seed: Of the random numbers; equal seeds give equal frequencies.
        looks: How many looks at most.
        question: What is asked; its knob runs over `GRID` and its baseline is the first value.
    """
    generator = np.random.default_rng(seed)
    asked, decided, better, careless = [], 0, 0, 0
    for scores in scenario.draw(generator, repetitions, scenario.seeds):
        replicates, better_so_far = _replicates(scores), False
        for look in range(1, looks + 1):
            this = replace(question, looks=look)
            fit = compare_with_best(scores, alpha=this.level, strict=question.strict)
            better_so_far |= not replace(fit, alpha=question.alpha).kept(replicates.baseline)
            undecided = label_of(this, replicates, fit, fit.allowance()) == "UNDECIDED"
            decided += look == 2 and not undecided
            if not undecided or look == looks:
                break
            more = seeds_to_decide(this, replicates, fit)
            asked += [more] if look == 1 else []
            scores = np.concatenate([scores, scenario.draw(generator, 1, more)[0]])
        better += not fit.kept(replicates.baseline)
        careless += better_so_far
    undecided_share = len(asked) / repetitions
    return FollowUp(
        undecided_share, float(np.median(asked or [0])), decided / max(len(asked), 1), better / repetitions, careless / repetitions
    )


def _replicates(scores: Array) -> Replicates:
    """The cells of `GRID` as the rule wants to know them."""
    counts = np.isfinite(scores.reshape(-1, *scores.shape[-2:])[0]).sum(axis=0)
    return Replicates(tuple(Cell(value, int(count), 0) for value, count in zip(GRID, counts, strict=True)), scores, baseline=0)
