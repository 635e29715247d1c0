"""The verdict on a dial: does the best value of a knob move one way as a property of the data is turned up, and nothing else?

Each seed is a row and each level of the dial a column, for all levels share their seeds. What is compared is the slope of each seed's own
curve, smoothed by a cubic, at one knob value x. Where all levels have their best point at x, all slopes there scatter around zero, however
strongly each curve bends and however noisy it is, so their order is chance; where the best points move up the dial, the slopes at an x
between them rise with it. So, with Page's test (`studies.analysis.page`) for p(x),

    p = gamma + the greatest p(x) over all x that may be a shared optimum at confidence 1 - gamma,   gamma = alpha / 5,

holds its level whatever the shared optimum is (Berger and Boos, JASA 89, 1994). An x may be shared where the sum of all levels' squared
slopes does not reject it at gamma / 2, and it lies beside a value of each level's optimum set at gamma / 2 over their number. It runs from
the lowest to the highest of the levels' seen optima; where none of these may be shared, p(x) is that of the x that suits all levels best;
where an end of the grid may be, p is 1, for there a curve need not be flat. A cubic through skewed points turns beside their best one, by
less than half a step of the grid in all but extreme curves, so each level's slopes are those within half a step of x that come nearest to
zero in the mean, as for SHIFT.
TREND is claimed where p is below alpha, of a rise and a fall together.

The plain use of Page's test, on the knob value at which each seed did best, is told too (`p_places`), but is no claim: where a dial makes
curves flatter, their best seen values scatter more and drift to the middle of the grid, which it takes for a trend.
`benchmarks/dials.py` has the error rates and the power of both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from studies.analysis.best import Array, Comparison, compare_with_best
from studies.analysis.page import LEAST_COLUMNS, MOST_COLUMNS, page_p
from studies.analysis.reason import sentence
from studies.analysis.replicates import read_replicates
from studies.analysis.rule import Scale, level
from studies.analysis.slopes import CUBIC, LEAST_VALUES, knob_range, slope_weights, slopes
from studies.choosing import refuse_test_metric

TrendLabel = Literal["TREND", "UNDECIDED", "NOT TESTABLE"]
Direction = Literal["rises", "falls"]
GAMMA = 0.2
"""The share of alpha that is spent on where a shared optimum may be."""
LEAST_SEEDS = 3
"""With two seeds and three levels, only 36 orders are there to be compared."""


@dataclass(frozen=True)
class TrendVerdict:
    """What the seeds say of one knob along a dial.

    Args:
        label: TREND, UNDECIDED, or NOT TESTABLE where levels, seeds or values are too few.
        trend: Whether the best value moves one way.
        direction: Which way, as the dial is turned up; None without a trend.
        levels: The datasets in the dial's order.
        optima: Where the cubic through each level's means is highest; None where there are too few values for one.
        p: Of the rule in this module's docstring, of both sides; None where it cannot be tested.
        p_places: Of Page's test on the values at which each seed did best, of both sides; no claim. None likewise.
        n_seeds: Seeds that have every value of every level.
        alpha: One minus the confidence.
        reason: The verdict in one sentence.
    """

    label: TrendLabel
    trend: bool
    direction: Direction | None
    levels: tuple[str, ...]
    optima: tuple[float | None, ...]
    p: float | None
    p_places: float | None
    n_seeds: int
    alpha: float
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain JSON data."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return plain


def trend(
    table: pd.DataFrame,
    *,
    levels: Sequence[str],
    knob: str,
    metric: str,
    alpha: float = 0.05,
    maximize: bool = True,
    scale: Scale = "linear",
    looks: int = 1,
) -> TrendVerdict:
    """Judge whether the best value of a knob rises or falls along a dial.

    Args:
        table: One row per run, with columns ``dataset``, ``seed``, ``knob`` and ``metric``; NaN where it failed.
        levels: The datasets of the dial's levels, from the least to the greatest.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        alpha: One minus the confidence, in (0, 0.5).
        maximize: Whether higher is better.
        scale: Whether curves are smoothed over the knob or its logarithm, on which a value of zero has no place.
        looks: How many times the table has been judged, this one included; see `studies.analysis.judge`.

    Raises:
        ValueError: if the table cannot be read (see `studies.analysis.replicates`) or lacks a level, or an argument is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = [
        ...     (noise, seed, lam, 90 - (lam - best) ** 2 + 0.1 * rng.standard_normal())
        ...     for noise, best in (("clean", 1.0), ("some", 1.5), ("much", 2.0))
        ...     for seed in range(5)
        ...     for lam in np.linspace(0, 3, 7)
        ... ]
        >>> found = trend(
        ...     pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"]),
        ...     levels=["clean", "some", "much"],
        ...     knob="lam",
        ...     metric="accuracy",
        ... )
        >>> found.label, found.direction
        ('TREND', 'rises')
    """
    refuse_test_metric(metric)
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha!r}")
    found = [_read(table, name, knob, metric, 1.0 if maximize else -1.0, scale) for name in levels]
    whole = sorted(set.intersection(*(set(each.scores.index) for each in found))) if found else []
    at_level = level(alpha, looks)
    curves, places = [each.scores.loc[whole].to_numpy() for each in found], [each.places for each in found]
    if why := _obstacle(found, curves):
        return TrendVerdict(
            "NOT TESTABLE", False, None, tuple(levels), (None,) * len(found), None, None, len(whole), alpha, sentence([why])
        )
    rise, fall = (float(p) for p in slope_trend([scores[None] for scores in curves], places, at_level))
    rise_seen, fall_seen = (float(p) for p in place_trend(curves, places))
    p, claimed = two_sided(rise, fall), two_sided(rise, fall) < at_level
    direction: Direction | None = ("rises" if rise < fall else "falls") if claimed else None
    optima = tuple(_optimum(scores, each, scale) for scores, each in zip(curves, places, strict=True))
    return TrendVerdict(
        label="TREND" if claimed else "UNDECIDED",
        trend=claimed,
        direction=direction,
        levels=tuple(levels),
        optima=optima,
        p=p,
        p_places=two_sided(rise_seen, fall_seen),
        n_seeds=len(whole),
        alpha=alpha,
        reason=_reason(knob, levels, optima, direction, p, len(whole)),
    )


def slope_trend(curves: Sequence[Array], places: Sequence[Array], alpha: float) -> tuple[Array, Array]:
    """The p of a rise and of a fall by the rule in the module's docstring, one-sided each.

    Args:
        curves: For each level the scores, higher being better, each of shape (tables, seeds, values).
        places: For each level where its values lie on the knob's scale.
        alpha: What gamma is a share of.

    Returns:
        Both of shape (tables,), or scalars where there is one table.
    """
    at, gamma = knob_range(places), GAMMA * alpha
    fits = [compare_with_best(scores) for scores in curves]
    squares = sum(np.square(slopes(fit, each, at).t) for fit, each in zip(fits, places, strict=True))
    flattest = np.stack([_flattest(scores, each, at) for scores, each in zip(curves, places, strict=True)], axis=-1)
    between = _between_optima(fits, places, at)
    squares = np.where(between, squares, np.inf)
    flat = special.fdtrc(len(fits), sum(fit.df for fit in fits), squares / len(fits)) >= gamma / 2.0
    sets = [_beside_best(fit, each, at, gamma / 2.0 / len(fits)) for fit, each in zip(fits, places, strict=True)]
    shared = between & flat & np.all(sets, axis=0)
    looked_at = shared | (squares == squares.min(axis=-1, keepdims=True))
    at_end = np.any([(at <= each[0]) | (at >= each[-1]) for each in places], axis=0)
    greatest = [np.where(looked_at, np.where(shared & at_end, 1.0, p), 0.0).max(axis=-1) for p in page_p(flattest.swapaxes(-3, -2))]
    rise, fall = (np.squeeze(np.minimum(p + gamma / 2.0, 1.0)) for p in greatest)
    return rise, fall


def _beside_best(fit: Comparison, places: Array, at: Array, alpha: float) -> Array:
    """Which points lie half way or nearer to a value of the optimum set at ``alpha``; shape (tables, points)."""
    strict = Comparison(**{**vars(fit), "alpha": alpha})
    nearest = np.abs(at[:, None] - places).argmin(axis=1)
    return np.asarray(strict.may_be_best(strict.allowance())[..., nearest])


def _flattest(scores: Array, places: Array, at: Array) -> Array:
    """Each seed's slope (tables, seeds, points) where the mean slope over seeds is nearest to zero within half a step of each point."""
    own = scores @ slope_weights(places, at).T
    mean = own.mean(axis=-2)
    reach = round(float(np.diff(places).max()) / 2.0 / (at[1] - at[0]))
    windows = np.clip(np.arange(len(at))[:, None] + np.arange(-reach, reach + 1), 0, len(at) - 1)
    nearest = np.take_along_axis(
        np.broadcast_to(windows, (*mean.shape, windows.shape[1])), np.abs(mean[..., windows]).argmin(axis=-1)[..., None], axis=-1
    )
    return np.take_along_axis(own, np.swapaxes(nearest, -1, -2), axis=-1)


def _between_optima(fits: Sequence[Comparison], places: Sequence[Array], at: Array) -> Array:
    """Which points lie from the lowest to the highest optimum of cubics through the levels' means; shape (tables, points)."""
    optima = []
    for fit, each in zip(fits, places, strict=True):
        powers = [np.vander((x - each[0]) / (each[-1] - each[0]), CUBIC + 1) for x in (each, np.clip(at, each[0], each[-1]))]
        curve = fit.means @ (powers[1] @ np.linalg.pinv(powers[0])).T
        optima.append(curve.argmax(axis=-1))
    low, high = np.min(optima, axis=0)[..., None], np.max(optima, axis=0)[..., None]
    points = np.arange(len(at))
    return np.asarray((low <= points) & (points <= high))


def place_trend(curves: Sequence[Array], places: Sequence[Array]) -> tuple[Array, Array]:
    """The p of a rise and of a fall of the knob values at which each seed did best, one-sided each; shapes as for `slope_trend`."""
    return page_p(np.stack([each[scores.argmax(axis=-1)] for scores, each in zip(curves, places, strict=True)], axis=-1))


def two_sided(rise: float, fall: float) -> float:
    """The p of either."""
    return min(1.0, 2.0 * min(rise, fall))


@dataclass(frozen=True)
class _Level:
    """One level's whole seeds: scores, higher being better, a row for each seed and a column for each place."""

    name: str
    scores: pd.DataFrame
    places: Array


def _read(table: pd.DataFrame, name: str, knob: str, metric: str, sign: float, scale: Scale) -> _Level:
    for column in ("dataset", knob, metric):
        if column not in table.columns:
            raise ValueError(f"table must have a column {column!r}, got {', '.join(map(str, table.columns))}")
    mine = table[table["dataset"] == name]
    mine = mine[mine[knob] > 0.0] if scale == "log" else mine
    if mine.empty:
        raise ValueError(f"table must hold every level, got none of {name!r}")
    finished = pd.to_numeric(mine[metric]).groupby(mine[knob]).count()
    # Any cell will do for a baseline that is not left out; the one with the most runs needs no such favour.
    values = list(read_replicates(mine, knob=knob, metric=metric, baseline=float(finished.index[int(finished.to_numpy().argmax())])).values)
    wide = mine.assign(**{metric: sign * pd.to_numeric(mine[metric])}).pivot(index="seed", columns=knob, values=metric)[values]
    whole = wide[np.isfinite(wide.to_numpy()).all(axis=1)]
    return _Level(name, whole, np.log(values) if scale == "log" else np.array(values))


def _obstacle(found: Sequence[_Level], curves: Sequence[Array]) -> str:
    """Why nothing can be tested, in words; empty where it can."""
    seeds = len(curves[0]) if curves else 0
    if not LEAST_COLUMNS <= len(found) <= MOST_COLUMNS:
        return f"a trend needs {LEAST_COLUMNS} to {MOST_COLUMNS} levels, and there are {len(found)}"
    if few := [each for each in found if len(each.places) < LEAST_VALUES]:
        return f"a trend needs {LEAST_VALUES} values of the knob at each level, and {few[0].name} has {len(few[0].places)}"
    if seeds < LEAST_SEEDS:
        return f"a trend needs {LEAST_SEEDS} seeds that have every value of every level, and there are {seeds}"
    if still := [each for each, scores in zip(found, curves, strict=True) if not _noisy(compare_with_best(scores))]:
        return f"the seeds of {still[0].name} show no noise at all, as if they were one run"
    return ""


def _noisy(fit: Comparison) -> bool:
    return float(fit.residual_variance) > fit.rounding**2


def _optimum(scores: Array, places: Array, scale: Scale) -> float:
    fine = np.linspace(places[0], places[-1], 241)
    best = float(fine[np.polynomial.Polynomial.fit(places, scores.mean(axis=0), CUBIC)(fine).argmax()])
    return float(np.exp(best)) if scale == "log" else best


def _reason(knob: str, levels: Sequence[str], optima: Sequence[float | None], direction: Direction | None, p: float, seeds: int) -> str:
    seen = ", ".join(f"{name} near {optimum:.2g}" for name, optimum in zip(levels, optima, strict=True) if optimum is not None)
    moves = f"the best {knob} {direction} along the dial" if direction else f"one {knob} may be best along the whole dial"
    return sentence([f"over {seeds} seeds {moves} (p = {p:.2g})", f"best by a cubic: {seen}"])
