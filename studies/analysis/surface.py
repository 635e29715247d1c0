"""The verdict on two knobs at once: which pairs of their values may be best, and what that leaves of each knob by itself.

Decision rule. Every pair of values that was run is a cell, and all cells are compared with the best as those of one knob are
(`studies.analysis.best`). The label is that of `studies.analysis.rule` with these words for "range": EDGE where the best pair lies at an
end of either knob's grid that could be extended, LOCATED where the optimum set spans at most half the range of both. A knob's *marginal
profile* gives for each of its values the best pair that has it; the value may be best where one of its pairs may. No surface is
fitted, so nothing is said of values between those that were run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studies.analysis.best import Array, Comparison, compare_with_best
from studies.analysis.reason import sentence, terms
from studies.analysis.replicates import Replicates, read_replicates
from studies.analysis.rule import DEFAULT_SESOI, Label, Question, Scale

Pair = tuple[float, float]

_CELL = "cell of the surface"


@dataclass(frozen=True)
class ProfilePoint:
    """One value of one knob, at the best value of the other.

    Args:
        value: The knob's value.
        other: The other knob's value with which it has the best mean.
        mean: That mean; too good where several values of the other knob were run, for it is the best of them.
        upper_bound: Simultaneous upper bound of how far its pairs fall short of the best, of the pair for which that is least.
        may_be_best: Whether a pair with the value is in the optimum set.
    """

    value: float
    other: float
    mean: float
    upper_bound: float
    may_be_best: bool


@dataclass(frozen=True)
class SurfaceVerdict:
    """What the seeds say of two knobs on one dataset.

    Args:
        label: UNDECIDED, FLAT, WORSE, EDGE, LOCATED or BETTER, by the rule of the module's docstring.
        better: Whether the baseline is not in the optimum set.
        optimum_set: The pairs of values that may be best, rising.
        best: The pair with the best mean; None where there is nothing to compare.
        profiles: For each knob its marginal profile, values rising; empty where noise cannot be estimated.
        n_seeds: How many seeds were compared.
        reason: The verdict in one sentence.
    """

    label: Label
    better: bool
    optimum_set: tuple[Pair, ...]
    best: Pair | None
    profiles: Mapping[str, tuple[ProfilePoint, ...]]
    n_seeds: int
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class _Surface:
    """The pairs that were compared, and what is asked of each knob."""

    questions: tuple[Question, Question]
    replicates: Replicates
    pairs: tuple[Pair, ...]
    tried: tuple[Pair, ...]
    fit: Comparison

    def label(self, allowance: Array, kept: NDArray[np.bool_]) -> Label:
        if self.fit.upper_bounds(allowance).max() < self.questions[0].sesoi:
            return "FLAT"
        if kept[self.replicates.baseline]:
            return "WORSE" if kept.sum() == 1 else "UNDECIDED"
        chosen, best = [pair for pair, held in zip(self.pairs, kept, strict=False) if held], self.best()
        located = True
        for place, question in enumerate(self.questions):
            grid = question.grid(tuple(sorted({pair[place] for pair in self.tried})))
            below, above = question.extendable
            if len(grid) > 1 and ((below and best[place] == min(grid)) or (above and best[place] == max(grid))):
                return "EDGE"
            located &= question.span(tuple(pair[place] for pair in chosen)) <= question.span(grid) / 2.0 * (1.0 + 1e-9)
        return "LOCATED" if located else "BETTER"

    def best(self) -> Pair:
        return self.pairs[self.replicates.best(self.fit.means)]

    def profile(self, place: int, allowance: Array, kept: NDArray[np.bool_]) -> tuple[ProfilePoint, ...]:
        bounds, means, points = self.fit.upper_bounds(allowance), self.fit.means, []
        for value in sorted({pair[place] for pair in self.pairs}):
            mine = [index for index, pair in enumerate(self.pairs) if pair[place] == value]
            first = max(mine, key=lambda index: means[index])
            mean = self.questions[0].sign * float(means[first])
            points.append(ProfilePoint(value, self.pairs[first][1 - place], mean, float(bounds[mine].min()), bool(kept[mine].any())))
        return tuple(points)


def judge_surface(
    table: pd.DataFrame,
    *,
    knobs: tuple[str, str],
    metric: str,
    baseline: Pair | pd.DataFrame,
    sesoi: float = DEFAULT_SESOI,
    alpha: float = 0.05,
    strict: bool = False,
    maximize: bool = True,
    extendable: tuple[tuple[bool, bool], tuple[bool, bool]] = ((True, True), (True, True)),
    scales: tuple[Scale, Scale] = ("linear", "linear"),
    looks: int = 1,
) -> SurfaceVerdict:
    """Judge two knobs on one dataset from replicates that share their seeds.

    The more pairs, the wider every allowance: up to 25 is sensible.

    Args:
        table: One row per run, with columns ``seed``, both knobs and ``metric``, all of one dataset; NaN where a run failed.
        knobs: Names of the knobs' columns.
        metric: Name of the metric's column.
        baseline: The pair of values that is the baseline, or a table with columns ``seed`` and ``metric``, paired by seed.
        sesoi: As in `studies.analysis.judge`, and so are ``alpha``, ``strict``, ``maximize`` and ``looks``.
        alpha: See ``sesoi``.
        strict: See ``sesoi``.
        maximize: See ``sesoi``.
        extendable: For each knob whether its grid could be extended below and above.
        scales: For each knob whether its range is measured on it or on its logarithm.
        looks: See ``sesoi``.

    Raises:
        ValueError: if the table cannot be read, the baseline is none of its pairs, or an argument is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = [
        ...     (seed, s, w, 90 - (s - 2) ** 2 - (w - 0.1 * s) ** 2 + 0.1 * rng.standard_normal())
        ...     for seed in range(5)
        ...     for s in (0.0, 1.0, 2.0, 3.0, 4.0)
        ...     for w in (0.0, 0.2, 0.4)
        ... ]
        >>> table = pd.DataFrame(rows, columns=["seed", "s", "w", "accuracy"])
        >>> verdict = judge_surface(table, knobs=("s", "w"), metric="accuracy", baseline=(0.0, 0.0))
        >>> verdict.better, verdict.best, [point.value for point in verdict.profiles["s"] if point.may_be_best]
        (True, (2.0, 0.2), [2.0])
    """
    missing = [knob for knob in knobs if knob not in table.columns]
    if missing:
        raise ValueError(f"table must have a column {missing[0]!r}, got {', '.join(map(str, table.columns))}")
    pairs = sorted({(float(a), float(b)) for a, b in table[[*knobs]].itertuples(index=False, name=None)})
    codes = {pair: float(code) for code, pair in enumerate(pairs)}
    if not isinstance(baseline, pd.DataFrame) and tuple(baseline) not in codes:
        raise ValueError(f"baseline must be a pair of {knobs[0]} and {knobs[1]} in the table, got {baseline!r}")
    coded = table.assign(**{_CELL: [codes[float(a), float(b)] for a, b in table[[*knobs]].itertuples(index=False, name=None)]})
    reference = baseline if isinstance(baseline, pd.DataFrame) else codes[baseline]
    replicates = read_replicates(coded, knob=_CELL, metric=metric, baseline=reference)
    first, second = (
        Question(knob, metric, None if isinstance(baseline, pd.DataFrame) else baseline[place], sesoi, alpha, strict, maximize,
                 extendable[place], scale=scales[place], looks=looks)
        for place, knob in enumerate(knobs)
    )  # fmt: skip
    compared, tried = (tuple(pairs[int(code)] for code in values) for values in (replicates.values, replicates.tried))
    notes = _notes(replicates, pairs, knobs)
    if obstacle := replicates.obstacle():
        return SurfaceVerdict("UNDECIDED", False, compared, None, {}, len(replicates.scores), sentence([obstacle, *notes]))
    fit = compare_with_best(first.sign * replicates.scores, alpha=first.level, strict=strict)
    surface = _Surface((first, second), replicates, compared, tried, fit)
    allowance = fit.allowance()
    kept = fit.may_be_best(allowance)
    label, best = surface.label(allowance, kept), surface.best()
    chosen = tuple(pair for pair, held in zip(compared, kept, strict=False) if held)
    told = f"over {len(replicates.scores)} seeds {len(chosen)} of {len(compared)} pairs may be best, {_named(best, knobs)} in front"
    out = "is out of them" if not kept[replicates.baseline] else "may be too"
    return SurfaceVerdict(
        label=label,
        better=not bool(kept[replicates.baseline]),
        optimum_set=chosen,
        best=best,
        profiles={knob: surface.profile(place, allowance, kept) for place, knob in enumerate(knobs)},
        n_seeds=len(replicates.scores),
        reason=sentence([told, f"the baseline {out}", *terms(first), *notes]),
    )


def _named(pair: Pair, knobs: tuple[str, str]) -> str:
    return " with ".join(f"{knob} = {value:g}" for knob, value in zip(knobs, pair, strict=True))


def _notes(replicates: Replicates, pairs: list[Pair], knobs: tuple[str, str]) -> list[str]:
    cells = (*replicates.cells, *replicates.left_out)
    failed = sum(cell.failed for cell in cells)
    names = ["the baseline" if cell.value is None else _named(pairs[int(cell.value)], knobs) for cell in replicates.left_out]
    return [*([f"{failed} runs failed"] if failed else []), *(f"{name} is left out, for most of its runs are lost" for name in names)]
