from __future__ import annotations

import pytest
from scipy.stats import binom

from studies.analysis.failure_rate import failure_rate


@pytest.mark.parametrize(("failed", "runs"), [(0, 5), (1, 5), (3, 10), (5, 5)])
def test_the_interval_ends_where_so_few_or_so_many_failures_would_be_rarer_than_alpha_allows(failed: int, runs: int) -> None:
    seen = failure_rate(failed, runs, alpha=0.1)
    assert seen.rate == failed / runs
    if failed > 0:
        assert binom.sf(failed - 1, runs, seen.low) == pytest.approx(0.05)
    if failed < runs:
        assert binom.cdf(failed, runs, seen.high) == pytest.approx(0.05)
    assert 0.0 <= seen.low <= seen.rate <= seen.high <= 1.0


@pytest.mark.parametrize(("failed", "runs"), [(0, 0), (-1, 3), (4, 3)])
def test_counts_that_cannot_be_are_refused(failed: int, runs: int) -> None:
    with pytest.raises(ValueError, match=f"failed must be from 0 to runs, and runs at least 1, got {failed} of {runs}"):
        failure_rate(failed, runs)
