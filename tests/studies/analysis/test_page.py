"""Page's test, held to SciPy's where nothing is tied, to every order by hand where something is, and to its level."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from studies.analysis import page_p


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 3), (5, 4), (10, 5)])
def test_without_ties_it_is_scipy_s(rows: int, columns: int) -> None:
    generator = np.random.default_rng([rows, columns])
    for _ in range(3):
        cells = generator.standard_normal((rows, columns)) + 0.3 * np.arange(columns)
        rise, fall = page_p(cells)
        assert rise == pytest.approx(stats.page_trend_test(cells, method="exact").pvalue)
        assert fall == pytest.approx(stats.page_trend_test(cells[:, ::-1], method="exact").pvalue)


def test_with_ties_it_is_the_share_of_all_orders_of_each_row() -> None:
    cells = np.array([[1.0, 1.0, 2.0, 3.0], [0.0, 5.0, 5.0, 5.0]])
    ranks = stats.rankdata(cells, axis=-1)
    seen = (ranks.sum(axis=0) * np.arange(1, 5)).sum()
    totals = [sum(np.dot(order, np.arange(1, 5)) for order in orders) for orders in product(*(permutations(row) for row in ranks))]
    rise, fall = page_p(cells)
    assert rise == pytest.approx(np.mean([total >= seen for total in totals]))
    assert fall == pytest.approx(np.mean([total <= seen for total in totals]))


def test_where_all_is_tied_nothing_is_said() -> None:
    assert [float(p) for p in page_p(np.zeros((4, 3)))] == [1.0, 1.0]


def test_a_stack_of_tables_is_each_of_them_by_itself() -> None:
    cells = np.random.default_rng(0).integers(0, 4, (6, 5, 4)).astype(float)
    rise, fall = page_p(cells)
    for place, table in enumerate(cells):
        assert (rise[place], fall[place]) == page_p(table)


def test_it_depends_on_the_order_within_rows_alone() -> None:
    cells = np.random.default_rng(1).standard_normal((6, 4))
    assert page_p(np.exp(3.0 * cells) + 7.0 * np.arange(6)[:, None]) == page_p(cells)


def test_it_rejects_as_often_as_it_says_where_columns_do_not_differ() -> None:
    rise, _ = page_p(np.random.default_rng(2).standard_normal((20_000, 6, 4)))
    for alpha in (0.01, 0.05, 0.2):
        assert (rise < alpha).mean() <= alpha + 3.0 * np.sqrt(alpha * (1.0 - alpha) / 20_000)
    assert (rise < 0.05).mean() > 0.035  # exact, and so conservative by the steps of L only


@pytest.mark.parametrize("shape", [(3, 2), (3, 9), (0, 3)])
def test_what_has_no_trend_to_ask_for_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cells must have 3 to 8 columns and a row"):
        page_p(np.zeros(shape))
