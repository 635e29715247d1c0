"""The verdict across datasets: does the best value of a knob move with the data?

Decision rule. SHIFT is claimed where one of these holds, and else nothing is, which is not a finding of no shift:

    slopes      the profile-slope test (`studies.analysis.slopes`) rejects one shared optimum with a cubic, although each optimum may be
                off by half a step of the grid, and with a quartic: by the same measure where some curve is no cubic, for which an F test
                at `FIT_DOUBT` / D is enough, and without it where all are
    zoom        it rejects with a cubic on the grid, and on the finer grid of a zoom stage, with seeds of its own, although each optimum
                may be off by half a step of that
    disjoint    the optimum sets of the D datasets at alpha / D have no value in common, those next to each other counting as one

The bare test, with a cubic and nothing else, is told too, but it is no claim: it takes equal optima of curves that are skewed to
opposite sides for different ones. The F test of an interaction between dataset and knob is never used, for unequal curvature
makes it reject. `benchmarks/verdicts.py` has the error rates and the power of all of these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studies.analysis.best import Array, Comparison, compare_with_best
from studies.analysis.reason import sentence
from studies.analysis.replicates import Replicates, read_replicates
from studies.analysis.rule import Scale, level
from studies.analysis.slopes import CUBIC, LEAST_VALUES, QUARTIC, Slopes, knob_range, lack_of_fit, shared_optimum, slopes
from studies.choosing import refuse_test_metric

ShiftLabel = Literal["SHIFT", "UNDECIDED"]
FIT_DOUBT = 0.3
"""Where the least p of the curves' lack of fit is below this share of their number, the optimum of a quartic may be off too."""


@dataclass(frozen=True)
class OptimumEvidence:
    """Where one dataset's curve has its best point.

    Args:
        dataset: The dataset.
        optimum: Where the cubic through its means is highest; None where there are too few values or seeds for one.
        interval: Where it may be at confidence 1 - alpha, half a step of the grid allowed for; None likewise.
        optimum_set: The knob values that may be best at confidence 1 - alpha / D, rising.
        n_seeds: How many seeds were compared.
    """

    dataset: str
    optimum: float | None
    interval: tuple[float, float] | None
    optimum_set: tuple[float, ...]
    n_seeds: int


@dataclass(frozen=True)
class ShiftVerdict:
    """What the seeds say of one knob over several datasets.

    Args:
        label: SHIFT or UNDECIDED.
        shift: Whether the best value moves with the data.
        datasets: The evidence, by rising optimum, those without one last.
        apart: Pairs of datasets that are told apart by the same rule at alpha over their number, the lower optimum first.
        shared: The value that suits all curves best; None where the slopes cannot be tested.
        p_bare: Of the slope test with a cubic alone; None likewise.
        p_guarded: The greatest that the rule asks of the slopes; None likewise.
        p_zoom: The greatest that it asks of them with a zoom; None likewise or without one.
        disjoint: Whether the optimum sets have no value in common.
        alpha: One minus the confidence.
        reason: The verdict in one sentence.
    """

    label: ShiftLabel
    shift: bool
    datasets: tuple[OptimumEvidence, ...]
    apart: tuple[tuple[str, str], ...]
    shared: float | None
    p_bare: float | None
    p_guarded: float | None
    p_zoom: float | None
    disjoint: bool
    alpha: float
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain JSON data."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return plain


@dataclass(frozen=True)
class _Dataset:
    """One dataset's cells, compared; ``fit`` is None where they cannot be."""

    name: str
    values: tuple[float, ...]
    places: Array
    n_seeds: int
    fit: Comparison | None

    @property
    def has_slopes(self) -> bool:
        return self.fit is not None and len(self.values) >= LEAST_VALUES and float(self.fit.residual_variance) > 0.0

    def slopes(self, at: Array, *, slack: bool = False) -> Slopes:
        assert self.fit is not None
        return slopes(self.fit, self.places, at, slack=slack)

    def optimum_set(self, alpha: float) -> tuple[float, ...]:
        if self.fit is None:
            return self.values
        fit = Comparison(**{**vars(self.fit), "alpha": alpha})
        return tuple(value for value, kept in zip(self.values, fit.may_be_best(fit.allowance()), strict=True) if kept)


def shift(
    table: pd.DataFrame,
    *,
    knob: str,
    metric: str,
    alpha: float = 0.05,
    maximize: bool = True,
    scale: Scale = "linear",
    looks: int = 1,
    zoom: pd.DataFrame | None = None,
    called: str = "",
) -> ShiftVerdict:
    """Judge whether the best value of a knob moves between datasets, from replicates that share their seeds within each.

    Args:
        table: One row per run, with columns ``dataset``, ``seed``, ``knob`` and ``metric``, of at least two datasets; NaN where it failed.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        alpha: One minus the confidence, in (0, 0.5).
        maximize: Whether higher is better.
        scale: Whether curves are smoothed over the knob or its logarithm, on which a value of zero has no place.
        looks: How many times the table has been judged, this one included; see `studies.analysis.judge`.
        zoom: The same of a finer grid around each dataset's optimum, with seeds of its own.
        called: What the reason calls the knob; by default its column's name.

    Raises:
        ValueError: if a table cannot be read (see `studies.analysis.replicates`), has no column ``dataset`` or fewer than two datasets,
            or an argument is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = [
        ...     (d, seed, lam, 90 - (lam - best) ** 2 + 0.1 * rng.standard_normal())
        ...     for d, best in (("cub", 0.5), ("cars", 2.5))
        ...     for seed in range(5)
        ...     for lam in np.linspace(0, 3, 7)
        ... ]
        >>> verdict = shift(pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"]), knob="lam", metric="accuracy")
        >>> verdict.label, verdict.apart
        ('SHIFT', (('cub', 'cars'),))
    """
    refuse_test_metric(metric)
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha!r}")
    at_level, sign = level(alpha, looks), 1.0 if maximize else -1.0
    coarse = _read(table, knob, metric, sign, scale)
    if len(coarse) < 2:
        raise ValueError(f"table must hold two datasets at least, got {', '.join(each.name for each in coarse) or 'none'}")
    fine = _read(zoom, knob, metric, sign, scale) if zoom is not None else []
    found = _Found(coarse, [each for each in fine if any(each.name == other.name for other in coarse)])
    claimed = found.claims(at_level)
    evidence = sorted(
        (_evidence(each, found.at, at_level, len(coarse), scale) for each in coarse),
        key=lambda each: math.inf if each.optimum is None else each.optimum,
    )
    pairs = list(combinations([each.dataset for each in evidence], 2))
    apart = [pair for pair in pairs if claimed and found.only(pair).claims(at_level / len(pairs))]
    return ShiftVerdict(
        label="SHIFT" if claimed else "UNDECIDED",
        shift=claimed,
        datasets=tuple(evidence),
        apart=tuple(apart),
        shared=found.shared(scale),
        p_bare=found.p_bare,
        p_guarded=found.p_guarded,
        p_zoom=found.p_zoom,
        disjoint=found.disjoint(at_level),
        alpha=alpha,
        reason=_reason(found, evidence, apart, called or knob, claimed, at_level),
    )


class _Found:
    """The tests of one choice of datasets."""

    def __init__(self, coarse: Sequence[_Dataset], fine: Sequence[_Dataset]) -> None:
        self.coarse, self.fine = coarse, fine
        self.at = knob_range([each.places for each in coarse])
        testable = all(each.has_slopes for each in coarse)
        closer = testable and len(fine) == len(coarse) and all(each.has_slopes for each in fine)
        self.p_bare: float | None = None
        self._shared: float | None = None
        if testable:
            p, place = shared_optimum([each.slopes(self.at) for each in coarse])
            self.p_bare, self._shared = float(p), float(place)
        self.p_guarded = float(guarded_p(*_fits(coarse))) if testable else None
        self.p_zoom = max(self.p_bare, float(slack_p(*_fits(fine)))) if closer and self.p_bare is not None else None

    def only(self, names: Sequence[str]) -> _Found:
        """The same of some of the datasets."""
        return _Found([each for each in self.coarse if each.name in names], [each for each in self.fine if each.name in names])

    def claims(self, alpha: float) -> bool:
        """Whether SHIFT is claimed; the rule is in the module's docstring."""
        return any(p is not None and p < alpha for p in (self.p_guarded, self.p_zoom)) or self.disjoint(alpha)

    def disjoint(self, alpha: float) -> bool:
        """Whether the optimum sets at alpha over the number of datasets have no value in common."""
        share = alpha / len(self.coarse)
        return disjoint([each.places for each in self.coarse], [_mask(each, each.optimum_set(share)) for each in self.coarse])

    def shared(self, scale: Scale) -> float | None:
        """The value that suits all curves best."""
        return None if self._shared is None else _value(self._shared, scale)


def disjoint(places: Sequence[Array], kept: Sequence[Array]) -> bool:
    """Whether sets of values have none in common, each value reaching half way to its neighbours on its own grid.

    Example:
        >>> grid = np.array([0.0, 1.0, 2.0])
        >>> disjoint([grid, grid], [grid < 1, grid > 1]), disjoint([grid, grid], [grid < 1, grid == 1])
        (True, False)
    """
    reach = []
    for grid, mask in zip(places, kept, strict=True):
        middles = (grid[1:] + grid[:-1]) / 2.0
        low, high = np.concatenate([grid[:1], middles]), np.concatenate([middles, grid[-1:]])
        reach.append((low[mask.astype(bool)], high[mask.astype(bool)]))
    # Closed stretches that overlap do so at the lower end of one of them.
    ends = np.concatenate([low for low, _ in reach])
    return not any(all(((low <= end) & (end <= high)).any() for low, high in reach) for end in ends)


def guarded_p(fits: Sequence[Comparison], places: Sequence[Array]) -> Array:
    """The greatest p that the rule asks of the slopes; of the fits' leading shape.

    Args:
        fits: The comparison of each dataset's cells.
        places: Where they lie on the knob's scale.
    """
    at, pairs = knob_range(places), list(zip(fits, places, strict=True))
    cubic = slack_p(fits, places)
    strict = shared_optimum([slopes(fit, each, at, degree=QUARTIC) for fit, each in pairs])[0]
    slack = shared_optimum([slopes(fit, each, at, degree=QUARTIC, slack=True) for fit, each in pairs])[0]
    cubics = np.min([lack_of_fit(fit, each) for fit, each in pairs], axis=0) > FIT_DOUBT / len(pairs)
    return np.maximum(cubic, np.where(cubics, strict, slack))


def slack_p(fits: Sequence[Comparison], places: Sequence[Array]) -> Array:
    """The p of the slope test with a cubic, each optimum being off by half a step at most; of the fits' leading shape."""
    at = knob_range(places)
    return shared_optimum([slopes(fit, each, at, slack=True) for fit, each in zip(fits, places, strict=True)])[0]


def _fits(datasets: Sequence[_Dataset]) -> tuple[list[Comparison], list[Array]]:
    return [each.fit for each in datasets if each.fit is not None], [each.places for each in datasets]


def _read(table: pd.DataFrame, knob: str, metric: str, sign: float, scale: Scale) -> list[_Dataset]:
    for column in ("dataset", knob, metric):
        if column not in table.columns:
            raise ValueError(f"table must have a column {column!r}, got {', '.join(map(str, table.columns))}")
    rows = table[table[knob] > 0.0] if scale == "log" else table
    return [_dataset(str(name), mine, knob, metric, sign, scale) for name, mine in rows.groupby("dataset", sort=True)]


def _dataset(name: str, rows: pd.DataFrame, knob: str, metric: str, sign: float, scale: Scale) -> _Dataset:
    finished = pd.to_numeric(rows[metric]).groupby(rows[knob]).count()
    # Any cell will do for a baseline that is not left out; the one with the most runs needs no such favour.
    replicates = read_replicates(rows, knob=knob, metric=metric, baseline=float(finished.index[int(finished.to_numpy().argmax())]))
    values = replicates.values
    places = np.log(values) if scale == "log" else np.array(values)
    fit = compare_with_best(sign * replicates.scores) if _comparable(replicates) else None
    return _Dataset(name, values, places, len(replicates.scores), fit)


def _comparable(replicates: Replicates) -> bool:
    return len(replicates.cells) >= 2 and replicates.obstacle() is None


def _mask(dataset: _Dataset, kept: tuple[float, ...]) -> Array:
    return np.array([value in kept for value in dataset.values], dtype=np.float64)


def _value(place: float, scale: Scale) -> float:
    return float(np.exp(place)) if scale == "log" else float(place)


def _evidence(dataset: _Dataset, at: Array, alpha: float, number: int, scale: Scale) -> OptimumEvidence:
    optimum, interval, kept = None, None, dataset.optimum_set(alpha / number)
    if dataset.has_slopes:
        assert dataset.fit is not None
        inside = at[(at >= dataset.places[0]) & (at <= dataset.places[-1])]
        curve = np.polynomial.Polynomial.fit(dataset.places, dataset.fit.means, CUBIC)
        optimum = _value(float(inside[curve(inside).argmax()]), scale)
        turns = dataset.slopes(inside, slack=True).allowed(alpha).astype(bool)
        allowed = inside[turns & _within_reach(dataset.places, _mask(dataset, kept), inside)]
        interval = (_value(float(allowed[0]), scale), _value(float(allowed[-1]), scale)) if len(allowed) else None
    return OptimumEvidence(dataset.name, optimum, interval, kept, dataset.n_seeds)


def _within_reach(places: Array, kept: Array, at: Array) -> NDArray[np.bool_]:
    """Which places a curve may have its best point at, if the best of its values is among those kept: within a step of one of them.

    Far from the optimum a slope may vanish too, where the curve is level again.
    """
    steps = np.concatenate([places[:1], places, places[-1:]])
    near = [(steps[place] <= at) & (at <= steps[place + 2]) for place in np.flatnonzero(kept)]
    return np.any(near, axis=0) if near else np.zeros(len(at), dtype=bool)


def _reason(
    found: _Found, evidence: Sequence[OptimumEvidence], apart: Sequence[tuple[str, str]], knob: str, claimed: bool, alpha: float
) -> str:
    clauses = []
    if found.p_bare is None:
        least = min(found.coarse, key=lambda each: (each.has_slopes, each.n_seeds))
        what = (
            "one run per cell"
            if least.n_seeds < 2
            else f"fewer than {LEAST_VALUES} values"
            if len(least.values) < LEAST_VALUES
            else "no noise"
        )
        clauses.append(f"slopes cannot be tested: {least.name} has {what}")
    elif claimed:
        clauses.append(f"no one {knob} can be best on all {len(evidence)} datasets (slope test p = {found.p_bare:.2g})")
    elif found.p_bare < alpha:
        guarded = f"p = {found.p_guarded:.2g} once half a step of the grid is allowed for"
        clauses.append(f"the curves turn at different {knob} (p = {found.p_bare:.2g}), but skewed curves would too: {guarded}")
    else:
        clauses.append(
            f"one {knob} may be best on all {len(evidence)} datasets (slope test p = {found.p_bare:.2g}), which is not shown either"
        )
    if found.disjoint(alpha):
        clauses.append(f"the {knob} that may be best on each have none in common")
    for each in evidence:
        if each.optimum is not None and each.interval is not None:
            clauses.append(f"{each.dataset} is best near {each.optimum:.2g} ({each.interval[0]:.2g} to {each.interval[1]:.2g})")
    if apart and len(evidence) > 2:
        clauses.append("told apart: " + ", ".join(f"{low} below {high}" for low, high in apart))
    return sentence(clauses)
