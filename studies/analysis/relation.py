"""The verdict on descriptors: does the best value of a knob go with what datasets are like?

Each dataset is one observation, its optimum y with an error, beside its descriptors. The strength of a relation is |r|, the correlation of
a descriptor and y weighted by 1 / (error^2 + tau^2), tau^2 being the variance of the optima beyond their errors (DerSimonian and Laird,
Controlled Clinical Trials 7, 1986). Its chance is told by permuting the optima, each with its error, over the datasets: all D! orders up
to eight datasets, random ones beyond. A few *primary* descriptors were named before any optimum was seen, and share one level through the
greatest |r| of them in each permutation (Westfall and Young). All others explore: their q are Benjamini and Hochberg's, and no claim.

RELATED is claimed where a primary descriptor has p < alpha. With fewer than `LEAST_DATASETS` datasets the question is refused: three
datasets are in the order of a descriptor, one way or the other, with probability 1/3, and in that of one of fifteen nearly always. A
relation takes a dozen datasets (`benchmarks/dials.py`), so turn a dial within one dataset instead (`studies.analysis.trend`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import permutations
from typing import Literal

import numpy as np
import pandas as pd

from studies.analysis.best import Array
from studies.analysis.reason import sentence

RelationLabel = Literal["RELATED", "UNDECIDED", "NOT TESTABLE"]
LEAST_DATASETS = 5
"""With four even the perfect order has p = 2/24 > 0.05."""
ALL_ORDERS, RANDOM_ORDERS = 8, 10_000
"""Datasets up to which every permutation is taken, and how many random ones are beyond."""


@dataclass(frozen=True)
class Correlation:
    """One descriptor beside the optima.

    Args:
        descriptor: Its name.
        primary: Whether it was named before any optimum was seen.
        r: The weighted correlation.
        p: Of a primary descriptor: the chance that any of them would be as strong. Of another: its own chance, beside the others' as q.
    """

    descriptor: str
    primary: bool
    r: float
    p: float


@dataclass(frozen=True)
class RelationVerdict:
    """What datasets say of optima and descriptors.

    Args:
        label: RELATED, UNDECIDED, or NOT TESTABLE where the numbers cannot carry it.
        related: Whether an optimum goes with a primary descriptor.
        correlations: The descriptors, the primary ones first, each by falling strength; empty where it is not testable.
        n_datasets: How many datasets there are.
        alpha: One minus the confidence.
        reason: The verdict in one sentence.
    """

    label: RelationLabel
    related: bool
    correlations: tuple[Correlation, ...]
    n_datasets: int
    alpha: float
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The verdict as plain JSON data."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return plain


def relate(
    table: pd.DataFrame, *, primary: Sequence[str], exploratory: Sequence[str] = (), alpha: float = 0.05, seed: int = 0
) -> RelationVerdict:
    """Judge whether optima go with descriptors over datasets.

    Args:
        table: One row per dataset, with columns ``dataset``, ``optimum``, ``error`` (> 0) and the descriptors. Datasets are independent
            ones: levels of a dial on one of them are not.
        primary: The descriptors that were named beforehand.
        exploratory: Others.
        alpha: One minus the confidence, in (0, 0.5).
        seed: Of the random orders, where there are more than eight datasets.

    Raises:
        ValueError: if a column is missing, a dataset stands twice, an error is not positive, or alpha is out of range.

    Example:
        >>> best = pd.DataFrame({"dataset": ["cub", "dogs", "cars"], "optimum": [1.0, 1.5, 2.0], "error": 0.2, "label_noise": [3, 2, 1]})
        >>> relate(best, primary=["label_noise"]).label
        'NOT TESTABLE'
    """
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha!r}")
    for column in ("dataset", "optimum", "error", *primary, *exploratory):
        if column not in table.columns:
            raise ValueError(f"table must have a column {column!r}, got {', '.join(map(str, table.columns))}")
    if table["dataset"].duplicated().any():
        raise ValueError(f"table must have one row per dataset, got two for {table['dataset'][table['dataset'].duplicated()].iloc[0]!r}")
    if not (table["error"] > 0.0).all():
        raise ValueError(f"error must be > 0, got {float(table['error'].min())!r}")
    measured = table[np.isfinite(table["optimum"].to_numpy(dtype=np.float64))]
    known = {name: measured[name].to_numpy(dtype=np.float64) for name in (*primary, *exploratory)}
    usable = {name: values for name, values in known.items() if np.isfinite(values).all() and len(np.unique(values)) > 1}
    if why := _refusal(measured, [name for name in primary if name in usable]):
        return RelationVerdict("NOT TESTABLE", False, (), len(measured), alpha, sentence([f"not testable: {why}"]))
    from scipy import stats  # takes a second to import, which every report would spend

    optima, errors = (measured[column].to_numpy(dtype=np.float64) for column in ("optimum", "error"))
    orders = _orders(len(measured), seed)
    strengths = {
        name: correlations(values, optima, 1.0 / (np.square(errors) + _between(optima, errors)), orders) for name, values in usable.items()
    }
    named = [name for name in primary if name in usable]
    greatest = np.abs(np.stack([strengths[name] for name in named])).max(axis=0)
    found = [Correlation(name, True, float(strengths[name][0]), _share(greatest, abs(strengths[name][0]))) for name in named]
    others = [name for name in exploratory if name in usable]
    chances = [_share(np.abs(strengths[name]), abs(strengths[name][0])) for name in others]
    adjusted = stats.false_discovery_control(chances) if chances else []
    found += [Correlation(name, False, float(strengths[name][0]), float(q)) for name, q in zip(others, adjusted, strict=True)]
    found.sort(key=lambda each: (not each.primary, -abs(each.r)))
    related = found[0].p < alpha
    return RelationVerdict(
        "RELATED" if related else "UNDECIDED", related, tuple(found), len(measured), alpha, _reason(found, len(measured), alpha)
    )


def correlations(descriptor: Array, optima: Array, weights: Array, orders: Array) -> Array:
    """The weighted correlation of a descriptor (D,) with the optima (D,) in each of some orders (P, D); shape (P,)."""
    y, w = optima[orders], weights[orders] / weights.sum()
    x = descriptor - (w @ descriptor)[:, None]
    y = y - (w * y).sum(axis=1, keepdims=True)
    spread = (w * x * x).sum(axis=1) * (w * y * y).sum(axis=1)
    return np.asarray((w * x * y).sum(axis=1) / np.sqrt(spread))


def _refusal(measured: pd.DataFrame, named: Sequence[str]) -> str:
    number = len(measured)
    if number == 0:
        return "no dataset has a curve that tells where it is best"
    if number < LEAST_DATASETS:
        counted = f"{number} dataset{'' if number == 1 else 's'}"
        chance = ", of which any order comes about by chance too easily" if number > 1 else ""
        return f"{counted}{chance}; at least {LEAST_DATASETS} are needed, and 12 to find a strong relation"
    if not named:
        return "no primary descriptor is known of all datasets and differs between them"
    if np.ptp(measured["optimum"].to_numpy()) == 0.0:
        return "the optima do not differ"
    return ""


@lru_cache(maxsize=4)
def _orders(number: int, seed: int) -> Array:
    """The order as it is first, then all others, or random ones where they are too many."""
    if number <= ALL_ORDERS:
        return np.array(list(permutations(range(number))))
    generator = np.random.default_rng(seed)
    drawn = generator.permuted(np.tile(np.arange(number), (RANDOM_ORDERS, 1)), axis=1)
    return np.concatenate([np.arange(number)[None], drawn])


def _between(optima: Array, errors: Array) -> float:
    """tau^2 by the method of moments."""
    weights = 1.0 / np.square(errors)
    mean = (weights * optima).sum() / weights.sum()
    excess = float((weights * np.square(optima - mean)).sum()) - (len(optima) - 1)
    return max(0.0, excess / float(weights.sum() - np.square(weights).sum() / weights.sum()))


def _share(permuted: Array, seen: float) -> float:
    """How many orders, that which is seen among them, have as strong a relation."""
    return float((permuted >= seen - 1e-12).mean())


def _reason(found: Sequence[Correlation], number: int, alpha: float) -> str:
    first = found[0]
    claimed = [f"{each.descriptor} (r = {each.r:.2f}, p = {each.p:.2g})" for each in found if each.primary and each.p < alpha]
    if claimed:
        return sentence([f"over {number} datasets the optimum goes with {', '.join(claimed)}"])
    strongest = f"the strongest of the primary descriptors, {first.descriptor}, has r = {first.r:.2f}, p = {first.p:.2g}"
    return sentence([f"over {number} datasets no relation is shown", strongest])
