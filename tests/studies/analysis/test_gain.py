from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studies.analysis import paired_gain, summarise

VALUES = [91.2, 90.9, 91.5, 91.0]
BASELINE = [90.8, 90.6, 91.0, 91.1]


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_paired_gain_is_scipys_paired_t_interval(alpha: float) -> None:
    gain, reference = paired_gain(VALUES, BASELINE, alpha=alpha), stats.ttest_rel(VALUES, BASELINE)
    interval = reference.confidence_interval(1.0 - alpha)
    assert gain.n == 4
    np.testing.assert_allclose([gain.mean, gain.low, gain.high], [np.mean(VALUES) - np.mean(BASELINE), *interval])
    assert gain.different == (reference.pvalue < alpha)


def test_a_summary_is_scipys_t_interval_of_the_mean() -> None:
    summary = summarise(VALUES, alpha=0.1)
    low, high = stats.t.interval(0.9, 3, loc=np.mean(VALUES), scale=stats.sem(VALUES))
    np.testing.assert_allclose([summary.mean, summary.low, summary.high], [np.mean(VALUES), low, high])


def test_one_replicate_has_a_mean_and_no_interval() -> None:
    summary, gain = summarise([90.0]), paired_gain([91.0], [90.0])
    assert (summary.mean, summary.low, summary.high, summary.n) == (90.0, None, None, 1)
    assert (gain.mean, gain.low, gain.high, gain.n, gain.different) == (1.0, None, None, 1, False)


def test_a_gain_that_is_the_same_for_every_seed_is_certain() -> None:
    gain = paired_gain([91.0, 92.0, 93.0], [90.0, 91.0, 92.0])
    assert (gain.low, gain.high, gain.different) == (1.0, 1.0, True)
    assert not paired_gain([90.0, 91.0], [90.0, 91.0]).different


def test_what_is_common_to_a_pair_does_not_count() -> None:
    shift = np.array([0.0, 5.0, -3.0, 40.0])
    plain, shifted = paired_gain(VALUES, BASELINE), paired_gain(VALUES + shift, BASELINE + shift)
    np.testing.assert_allclose([shifted.mean, shifted.low, shifted.high], [plain.mean, plain.low, plain.high])


def test_failed_runs_and_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="baseline must be finite, got nan"):
        paired_gain([1.0, 2.0], [1.0, float("nan")])
    with pytest.raises(ValueError, match="paired by seed, got 2 and 1 numbers"):
        paired_gain([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="values must be a row of at least one number"):
        summarise([])
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 5"):
        summarise([1.0, 2.0], alpha=5)
