"""From a table of runs to paired scores: one row per seed, one column per cell, and an account of the runs that are not there.

Reading rule. A run whose metric is not finite has failed, and is counted, never dropped unseen. A cell is left out, by name, where
fewer than two of its runs finished although other cells have more, or where at least as many failed as finished: what is left of
such a cell says more about luck than about the cell. A seed that finished in one cell only compares nothing and is left out too. All
other runs are used, whether or not their seed finished everywhere. Two rows for one seed and knob value are an error.

What the scores say is left to `studies.analysis.best`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studies.analysis.best import Array, degrees_of_freedom


@dataclass(frozen=True)
class Cell:
    """The runs of one cell, counted.

    Args:
        value: The knob value; None for a baseline that is no knob value.
        finished: How many of its runs have a finite metric.
        failed: How many have not.
    """

    value: float | None
    finished: int
    failed: int

    def name(self, knob: str) -> str:
        """What a sentence calls it."""
        return "the baseline" if self.value is None else f"{knob} = {self.value:g}"

    def comparable(self, least: int) -> bool:
        """Whether at least ``least`` of its runs finished, and more than failed."""
        return self.finished >= least and self.finished > self.failed


@dataclass(frozen=True)
class Replicates:
    """Paired scores of the cells that can be compared.

    Args:
        cells: The columns of ``scores``: knob values rising, then the baseline where it is no knob value.
        scores: The metric in its own units, shape (seeds, cells), NaN where a run is missing or failed.
        baseline: The baseline's column; it is there whatever became of its runs.
        left_out: The cells that were left out.
        seeds_left_out: How many seeds were left out.
    """

    cells: tuple[Cell, ...]
    scores: Array
    baseline: int
    left_out: tuple[Cell, ...] = ()
    seeds_left_out: int = 0

    @property
    def values(self) -> tuple[float, ...]:
        """The knob values of the columns, rising."""
        return tuple(cell.value for cell in self.cells if cell.value is not None)

    @property
    def tried(self) -> tuple[float, ...]:
        """The knob values whose runs finished or failed, rising: those of the columns and those left out because they failed."""
        failed = (cell.value for cell in self.left_out if cell.value is not None and cell.failed)
        return tuple(sorted([*self.values, *failed]))

    def chosen(self, mask: NDArray[np.bool_]) -> tuple[float, ...]:
        """The knob values of the columns that a mask holds true."""
        return tuple(value for value, kept in zip(self.values, mask, strict=False) if kept)

    def best(self, means: Array) -> int:
        """The column of the knob value with the highest mean, the smallest of equals."""
        return int(np.argmax(means[: len(self.values)]))

    def obstacle(self) -> str | None:
        """Why nothing can be compared, in words; None where it can."""
        if max((cell.finished for cell in (*self.cells, *self.left_out)), default=0) < 2:
            return "one run per cell: noise cannot be estimated"
        if not self.cells[self.baseline].comparable(2):
            return "the baseline has too few finished runs to compare with"
        if len(self.cells) < 2:
            return "no cell has enough finished runs to compare with the baseline"
        if degrees_of_freedom(np.isfinite(self.scores)) < 1:
            return "too few seeds are shared between the cells: noise cannot be estimated"
        return None

    def notes(self, knob: str) -> list[str]:
        """What a reader must know about failed, missing and left out runs, a clause each."""
        clauses = []
        everything = (*self.cells, *self.left_out)
        failed = ", ".join(f"{cell.name(knob)}: {cell.failed} of {cell.finished + cell.failed}" for cell in everything if cell.failed)
        if failed:
            clauses.append(f"{_counted(sum(cell.failed for cell in everything), 'run')} failed ({failed})")
        for cell in self.left_out:
            clauses.append(f"{cell.name(knob)} is left out: {_counted(cell.finished, 'run')} finished, {cell.failed} failed")
        finished = int(np.isfinite(self.scores).sum())
        if finished < self.scores.size:
            clauses.append(f"{finished} of the {self.scores.size} runs compared finished, which the allowances take into account")
        if self.seeds_left_out:
            clauses.append(f"{_counted(self.seeds_left_out, 'seed')} left out that finished in one cell only")
        return clauses


def read_replicates(table: pd.DataFrame, *, knob: str, metric: str, baseline: float | pd.DataFrame) -> Replicates:
    """Lay out a table of runs by seed and cell; the reading rule is in the module's docstring.

    Args:
        table: One row per run of one dataset, with columns ``seed``, ``knob`` and ``metric``.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        baseline: A value of the knob, or a table with columns ``seed`` and ``metric`` whose runs join as one more cell.

    Raises:
        ValueError: if a column is missing, the table is empty or holds several datasets, a knob value or seed is not usable, two
            rows share a seed and a knob value, or ``baseline`` is not a value of the knob.
    """
    runs = _checked(table, "table", metric, knob)
    known, columns = np.unique(runs.values, return_inverse=True)
    values: list[float | None] = known.tolist()
    reference = None
    if isinstance(baseline, pd.DataFrame):
        arm = _checked(baseline, "baseline", metric)
        columns = np.concatenate([columns, np.full(len(arm.seeds), len(values))])
        values.append(None)
        runs = _Runs(*(np.concatenate(pair) for pair in zip(runs, arm, strict=True)))
    else:
        reference = match_value(values, baseline, "baseline", knob)
    seeds, order = pd.factorize(runs.seeds, sort=True)
    scores = np.full((len(order), len(values)), np.nan)
    scores[seeds, columns] = runs.scores
    rows = np.bincount(columns, minlength=len(values)).tolist()
    finished = np.isfinite(scores).sum(axis=0).tolist()
    cells = [Cell(value, done, total - done) for value, done, total in zip(values, finished, rows, strict=True)]
    least = min(2, max(finished))
    kept = [j for j, cell in enumerate(cells) if cell.comparable(least) or cell.value == reference]
    shared = np.isfinite(scores[:, kept]).sum(axis=1)
    return Replicates(
        cells=tuple(cells[j] for j in kept),
        scores=scores[:, kept][shared >= 2],
        baseline=[values[j] for j in kept].index(reference),
        left_out=tuple(cell for j, cell in enumerate(cells) if j not in kept),
        seeds_left_out=int((shared == 1).sum()),
    )


def match_value(values: Sequence[float | None], wanted: float, argument: str, knob: str) -> float:
    """The value of the knob that ``wanted`` means, up to rounding.

    Raises:
        ValueError: if there is none, naming ``argument``.
    """
    known = [value for value in values if value is not None]
    for value in known:
        if math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12):
            return value
    raise ValueError(f"{argument} must be a value of {knob} in the table ({_listed(known)}), got {wanted!r}")


class _Runs(NamedTuple):
    """The columns that are read, (n,) each; the score of a run that failed is NaN."""

    seeds: NDArray[Any]
    values: Array
    scores: Array


def _checked(table: pd.DataFrame, name: str, metric: str, knob: str | None = None) -> _Runs:
    keys = ["seed"] if knob is None else ["seed", knob]
    for column in [*keys, metric]:
        if column not in table.columns:
            raise ValueError(f"{name} must have a column {column!r}, got {_listed(table.columns)}")
    if table.empty and knob is not None:
        raise ValueError(f"{name} must have at least one run, got none")
    if "dataset" in table.columns and table["dataset"].nunique() > 1:
        raise ValueError(f"{name} must hold one dataset, got {_listed(sorted(table['dataset'].unique()))}")
    seeds, values = table["seed"].to_numpy(), np.zeros(len(table)) if knob is None else _numbers(table, name, knob)
    if pd.isna(seeds).any():
        raise ValueError(f"{name} must name the seed of every run, got a row without one")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must have a finite {knob} in every row, got {values[~np.isfinite(values)][0]}")
    places = pd.factorize(seeds)[0] * len(table) + np.unique(values, return_inverse=True)[1]
    again = pd.Series(places).duplicated().to_numpy()
    if again.any():
        twice = ", ".join(f"{key} {_listed([column[again][0]])}" for key, column in zip(keys, (seeds, values), strict=False))
        raise ValueError(f"{name} must have one row per {' and '.join(keys)}, got two for {twice}")
    scores = _numbers(table, name, metric)
    return _Runs(seeds, values, np.where(np.isfinite(scores), scores, np.nan))


def _numbers(table: pd.DataFrame, name: str, column: str) -> Array:
    try:
        return np.asarray(pd.to_numeric(table[column]).astype(np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must have numbers in column {column!r}: {error}") from error


def _listed(items: Iterable[object]) -> str:
    return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in items)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
