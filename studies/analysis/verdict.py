"""The verdict on one knob of one dataset: is a value better than the baseline, and where may the best one lie?

`judge` reads the runs (`studies.analysis.replicates`), compares every cell with the best (`studies.analysis.best`), labels the
outcome by the decision rule of `studies.analysis.rule` and says why (`studies.analysis.reason`). A study of several datasets asks
once for each, at a level that shares the error among them (`studies.analysis.several`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from operator import itemgetter

import numpy as np
import pandas as pd

from studies.analysis.best import Comparison, compare_with_best
from studies.analysis.gain import Gain, paired_gain
from studies.analysis.reason import explain, sentence
from studies.analysis.replicates import Replicates, match_value, read_replicates
from studies.analysis.rule import DEFAULT_SESOI, FIRST_SEEDS, Label, Question, Scale, label_of, seeds_to_decide


@dataclass(frozen=True)
class CellEvidence:
    """What is known of one cell, in the metric's own units, for figures.

    Args:
        value: The knob value; None for a baseline that is no knob value.
        mean: Mean over all seeds: the plain mean where no run is missing, else the least-squares mean. None where the cell was left out.
        standard_error: Standard deviation of its finished runs over the root of their number; None with fewer than two.
        half_width: What noise allows in its difference from the best of the other cells; None where noise cannot be estimated.
        upper_bound: Simultaneous upper bound of how far it falls short of the best; None where noise cannot be estimated.
        may_be_best: Whether it is in the optimum set.
        finished: How many of its runs finished.
        failed: How many of its runs failed.
    """

    value: float | None
    mean: float | None
    standard_error: float | None
    half_width: float | None
    upper_bound: float | None
    may_be_best: bool
    finished: int
    failed: int


@dataclass(frozen=True)
class Verdict:
    """What the seeds say of one knob on one dataset.

    Args:
        label: UNDECIDED, FLAT, WORSE, EDGE, LOCATED or BETTER, by the rule of `studies.analysis.rule`.
        better: Whether the baseline is not in the optimum set.
        optimum_set: The knob values that may be best, rising. A baseline that is no knob value is never among them.
        best: The knob value with the best mean, the smallest of equals; None where there is nothing to compare.
        gain: Mean paired gain of the ``fixed`` value over the baseline, positive where it is better, in the metric's own units;
            None where no value was fixed beforehand, or one of the two was left out.
        gain_ci: The gain's t interval at 1 - alpha, wider in later looks; None with fewer than two pairs.
        n_seeds: How many seeds were compared.
        more_seeds: How many more, each in every cell, are forecast to decide; 0 where the label is decided already. Where noise cannot
            be estimated, what is missing to `FIRST_SEEDS`.
        reason: The verdict in one sentence, with its numbers.
        cells: The evidence, one row per cell: knob values rising, then a baseline that is no knob value.
        question: What was asked.
    """

    label: Label
    better: bool
    optimum_set: tuple[float, ...]
    best: float | None
    gain: float | None
    gain_ci: tuple[float, float] | None
    n_seeds: int
    more_seeds: int
    reason: str
    cells: tuple[CellEvidence, ...]
    question: Question

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain JSON data: strings, numbers, booleans, None, lists and dictionaries."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def judge(
    table: pd.DataFrame,
    *,
    knob: str,
    metric: str,
    baseline: float | pd.DataFrame,
    sesoi: float = DEFAULT_SESOI,
    alpha: float = 0.05,
    strict: bool = False,
    maximize: bool = True,
    extendable: tuple[bool, bool] = (True, True),
    fixed: float | None = None,
    scale: Scale = "linear",
    looks: int = 1,
) -> Verdict:
    """Judge one knob on one dataset from replicates that share their seeds.

    Args:
        table: One row per run, with columns ``seed``, ``knob`` and ``metric``, all of one dataset; NaN where a run failed.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        baseline: The knob value that is the baseline, or a table with columns ``seed`` and ``metric``, paired by seed.
        sesoi: Smallest effect of interest, in the metric's own units, >= 0. The default is 0.2 percentage points, for metrics whose
            name contains "accuracy"; any other metric needs its own.
        alpha: One minus the confidence, in (0, 0.5).
        strict: Whether the optimum set should keep all values that are equally best, not just each of them.
        maximize: Whether higher is better.
        extendable: Whether the grid could be extended below its least and above its greatest value.
        fixed: A knob value that was chosen before these seeds were run; its paired gain over the baseline is told.
        scale: Whether ranges are measured on the knob or on its logarithm; there a baseline of zero lies outside the range.
        looks: How many times the table has been judged, this one included; before it had fewer seeds. Later looks are stricter.

    Raises:
        ValueError: if the table cannot be read (see `studies.analysis.replicates`), ``baseline`` or ``fixed`` is not a value of the
            knob, ``sesoi`` is left out for a metric that is no accuracy, or an argument is out of range.

    Example:
        >>> runs = [(0, 90.1, 90.9, 90.7), (1, 89.9, 90.6, 90.5), (2, 90.4, 91.1, 90.9), (3, 90.2, 91.0, 90.9)]
        >>> rows = [(seed, lam, accuracy) for seed, *row in runs for lam, accuracy in zip((0.0, 1.0, 2.0), row)]
        >>> verdict = judge(pd.DataFrame(rows, columns=["seed", "lam", "accuracy"]), knob="lam", metric="accuracy", baseline=0.0)
        >>> verdict.label, verdict.optimum_set, verdict.n_seeds
        ('LOCATED', (1.0,), 4)
    """
    named = None if isinstance(baseline, pd.DataFrame) else float(baseline)
    question = Question(
        knob=knob,
        metric=metric,
        baseline=named,
        sesoi=sesoi,
        alpha=alpha,
        strict=strict,
        maximize=maximize,
        extendable=extendable,
        fixed=fixed,
        scale=scale,
        looks=looks,
    )
    replicates = read_replicates(table, knob=knob, metric=metric, baseline=baseline)
    question.grid(replicates.tried)
    gain = _fixed_gain(question, replicates)
    obstacle = replicates.obstacle()
    if obstacle is not None:
        return _undecided(question, replicates, gain, obstacle)

    fit = compare_with_best(question.sign * replicates.scores, alpha=question.level, strict=strict)
    allowance = fit.allowance()
    may_be_best = fit.may_be_best(allowance)
    label = label_of(question, replicates, fit, allowance)
    more_seeds = seeds_to_decide(question, replicates, fit) if label == "UNDECIDED" else 0
    return Verdict(
        label=label,
        better=not bool(may_be_best[replicates.baseline]),
        optimum_set=replicates.chosen(may_be_best),
        best=replicates.values[replicates.best(fit.means)],
        gain=gain.mean if gain else None,
        gain_ci=_interval(gain),
        n_seeds=len(replicates.scores),
        more_seeds=more_seeds,
        reason=explain(question, replicates, fit, label, more_seeds),
        cells=_evidence(question, replicates, fit),
        question=question,
    )


def _undecided(question: Question, replicates: Replicates, gain: Gain | None, obstacle: str) -> Verdict:
    """The verdict where noise cannot be estimated: every value may be the best one."""
    cells = _evidence(question, replicates, None)
    ranked = [(question.sign * cell.mean, cell.value) for cell in cells if cell.value is not None and cell.mean is not None]
    n_seeds = len(replicates.scores)
    return Verdict(
        label="UNDECIDED",
        better=False,
        optimum_set=replicates.values,
        best=max(ranked, key=itemgetter(0))[1] if ranked else None,
        gain=gain.mean if gain else None,
        gain_ci=_interval(gain),
        n_seeds=n_seeds,
        more_seeds=max(1, FIRST_SEEDS - n_seeds),
        reason=sentence([obstacle, *replicates.notes(question.knob)]),
        cells=cells,
        question=question,
    )


def _fixed_gain(question: Question, replicates: Replicates) -> Gain | None:
    """The gain of the value that was fixed beforehand, over the seeds that it shares with the baseline."""
    if question.fixed is None:
        return None
    everything = (*replicates.cells, *replicates.left_out)
    value = match_value([cell.value for cell in everything], question.fixed, "fixed", question.knob)
    if value not in replicates.values:
        return None
    scores = question.sign * replicates.scores[:, [replicates.values.index(value), replicates.baseline]]
    pairs = scores[np.isfinite(scores).all(axis=1)]
    return paired_gain(pairs[:, 0], pairs[:, 1], alpha=question.level) if len(pairs) else None


def _interval(gain: Gain | None) -> tuple[float, float] | None:
    return None if gain is None or gain.low is None or gain.high is None else (gain.low, gain.high)


def _evidence(question: Question, replicates: Replicates, fit: Comparison | None) -> tuple[CellEvidence, ...]:
    """The rows for figures; without a fit, those of a table whose noise cannot be estimated."""
    rows = [CellEvidence(cell.value, None, None, None, None, False, cell.finished, cell.failed) for cell in replicates.left_out]
    for cell, column in zip(replicates.cells, replicates.scores.T, strict=True):
        runs = column[np.isfinite(column)]
        mean = float(runs.mean()) if len(runs) else None
        error = float(runs.std(ddof=1)) / math.sqrt(len(runs)) if len(runs) > 1 else None
        rows.append(CellEvidence(cell.value, mean, error, None, None, True, cell.finished, cell.failed))
    if fit is not None:
        allowance = fit.allowance()
        may_be_best, upper_bounds = fit.may_be_best(allowance), fit.upper_bounds(allowance)
        for j in range(len(replicates.cells)):
            rival = int(np.where(np.arange(len(replicates.cells)) == j, -np.inf, fit.means).argmax())
            rows[len(replicates.left_out) + j] = replace(
                rows[len(replicates.left_out) + j],
                mean=question.sign * float(fit.means[j]),
                half_width=float(allowance[rival, j]),
                upper_bound=float(upper_bounds[j]),
                may_be_best=bool(may_be_best[j]),
            )
    return tuple(sorted(rows, key=lambda row: math.inf if row.value is None else row.value))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, float) else value
