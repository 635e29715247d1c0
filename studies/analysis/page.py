"""Page's trend test: do the cells of each row rise with their column, more often than the order of columns would by chance?

The statistic L is the sum over columns of column number times the sum of the ranks in it, each row being ranked by itself. Its
distribution under the null is that over all orders of each row's ranks, convolved over rows; so p is exact, with tied cells too, given
which of them are tied. Page, Ordered hypotheses for multiple treatments, JASA 58, 1963. SciPy's `page_trend_test` is the same where nothing
is tied, which the tests hold this to; it knows no ties, no stacks of tables and no second side.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from itertools import permutations

import numpy as np

from studies.analysis.best import Array

LEAST_COLUMNS, MOST_COLUMNS = 3, 8
"""Two columns have no trend beside a difference; the orders of more than eight are too many to list."""


def page_p(cells: Array) -> tuple[Array, Array]:
    """The exact p of a rise and of a fall along the columns, one-sided each.

    Args:
        cells: Finite, shape (..., rows, columns); rows are paired measurements, such as seeds.

    Returns:
        Both of the leading shape.

    Raises:
        ValueError: On fewer than 3 or more than 8 columns, or no row.

    Example:
        >>> rise, fall = page_p(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 5.0]]))
        >>> round(float(rise), 4), float(fall)  # each row has one order in six
        (0.0278, 1.0)
    """
    rows, columns = cells.shape[-2:]
    if not LEAST_COLUMNS <= columns <= MOST_COLUMNS or rows < 1:
        raise ValueError(f"cells must have {LEAST_COLUMNS} to {MOST_COLUMNS} columns and a row, got {rows} x {columns}")
    # Twice the ranks: the middle rank of tied cells is a half at worst.
    below, equal = (compare(cells[..., :, None], cells[..., None, :]).sum(axis=-1) for compare in (np.greater, np.equal))
    ranks = (2 * below + equal + 1).reshape(-1, rows, columns)
    totals = ranks.sum(axis=1) @ np.arange(1, columns + 1)
    tied = (np.diff(np.sort(ranks, axis=-1), axis=-1) == 0).any(axis=(1, 2))
    at_least, at_most = _null(((tuple(range(2, 2 * columns + 1, 2)), rows),))
    rise, fall = at_least[totals], at_most[totals]
    for place in tied.nonzero()[0]:
        at_least, at_most = _null(_patterns(ranks[place]))
        rise[place], fall[place] = at_least[totals[place]], at_most[totals[place]]
    return rise.reshape(cells.shape[:-2]), fall.reshape(cells.shape[:-2])


def _patterns(ranks: Array) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Which ranks the rows of a table have, and how many rows have each."""
    return tuple(sorted(Counter(tuple(int(rank) for rank in sorted(row)) for row in ranks).items()))


@lru_cache(maxsize=4096)
def _null(patterns: tuple[tuple[tuple[int, ...], int], ...]) -> tuple[Array, Array]:
    """P(L >= l) and P(L <= l) for each l from 0."""
    chances = np.ones(1)
    for ranks, times in patterns:
        for _ in range(times):
            chances = np.convolve(chances, _of_row(ranks))
    return np.minimum(chances[::-1].cumsum()[::-1], 1.0), np.minimum(chances.cumsum(), 1.0)


@cache
def _of_row(ranks: tuple[int, ...]) -> Array:
    """The chance of each value of a row's part of L, over all orders of its ranks."""
    orders = np.array(list(permutations(ranks)))
    counts = np.bincount(orders @ np.arange(1, len(ranks) + 1))
    return counts / len(orders)
