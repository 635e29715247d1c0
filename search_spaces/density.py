"""How often a dimension's values occur, smoothed over a grid: what PED-ANOVA compares (`search_spaces.importance`).

A range is cut into cells, a choice has a cell for each value. The kernels are those of Optuna's evaluator, to which the tests hold them;
here they are taken for many draws of a screen at once, without a trial object for each configuration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from search_spaces.space import Choice, Dimension, Value

CELLS = 50
"""Of a range; one of few whole numbers has fewer."""
_NARROWEST = 0.5 / 1.64
"""Of a kernel, in cells: nine tenths of it lie in the cell of its value."""


def cell_count(dimension: Dimension) -> int:
    """How many cells ``dimension`` has.

    >>> from search_spaces import Range
    >>> cell_count(Choice((0.5, 1.0))), cell_count(Range(0.0, 1.0)), cell_count(Range(1, 8, integer=True))
    (2, 50, 8)
    """
    if isinstance(dimension, Choice):
        return len(dimension.values)
    if not dimension.integer:
        return CELLS
    whole = int(dimension.high - dimension.low) + 1
    return min(math.ceil(math.log2(whole)) + 1 if dimension.scale == "log" else whole, CELLS)


def cells_of(dimension: Dimension, values: Sequence[Value]) -> NDArray[np.intp]:
    """The cell of each of some values of ``dimension``, (n,)."""
    if isinstance(dimension, Choice):
        place = {value: cell for cell, value in enumerate(dimension.values)}
        return np.array([place[value] for value in values], dtype=np.intp)
    numbers, ends = np.asarray(values, dtype=np.float64), np.array([dimension.low, dimension.high], dtype=np.float64)
    if dimension.scale == "log":
        numbers, ends = np.log(numbers), np.log(ends)
    last = cell_count(dimension) - 1
    # A value half-way between two cells belongs to the lower one.
    places = np.ceil((numbers - ends[0]) * last / (ends[1] - ends[0]) - 0.5)
    return np.asarray(np.clip(places, 0, last), dtype=np.intp)


def density(counts: NDArray[np.intp], dimension: Dimension) -> NDArray[np.float64]:
    """The smoothed share of each cell, (cells,), from how many values lie in it, (cells,), one at least.

    Each cell that has values is a kernel that weighs as much as they do, and a kernel over the whole dimension weighs as much as one value.
    """
    occupied = np.flatnonzero(counts)
    weights = np.append(counts[occupied], 1.0)
    kernels = _steps(occupied, len(counts)) if isinstance(dimension, Choice) else _bells(occupied, counts)
    return np.asarray(weights @ kernels / weights.sum(), dtype=np.float64)


def _steps(occupied: NDArray[np.intp], cells: int) -> NDArray[np.float64]:
    kernels = np.full((len(occupied) + 1, cells), 1.0 / (len(occupied) + 1))
    kernels[np.arange(len(occupied)), occupied] += 1.0
    return np.asarray(kernels / kernels.sum(axis=1, keepdims=True), dtype=np.float64)


def _bells(occupied: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Normal distributions of one width, by Scott's rule for the counts, cut at the ends of the grid."""
    cells, weights = len(counts), counts[occupied]
    total, below = int(weights.sum()), np.cumsum(weights)
    mean = occupied @ weights / total
    spread = math.sqrt((occupied - mean) ** 2 @ weights / max(1, total - 1))
    first = occupied[np.searchsorted(below, total // 4, side="left")]
    third = occupied[min(len(occupied) - 1, int(np.searchsorted(below, total * 3 // 4, side="right")))]
    width = max(1.059 * min((third - first) / 1.34, spread) * total**-0.2, _NARROWEST)
    centres = np.append(occupied, (cells - 1) / 2.0)[:, None]
    widths = np.append(np.full(len(occupied), width), float(cells))[:, None]
    shares = ndtr((np.arange(cells + 1) - 0.5 - centres) / widths)
    return np.asarray(np.diff(shares, axis=1) / (shares[:, -1:] - shares[:, :1]), dtype=np.float64)
