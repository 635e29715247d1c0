"""Accuracies, held to scikit-learn and to brute force in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from margin_core.metrics import close_enough_accuracy, top_k_accuracy

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@st.composite
def tied_scores(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Scores of few distinct values, so that ties are the rule, and targets."""
    examples, classes = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    values = draw(st.lists(st.integers(0, 3), min_size=examples * classes, max_size=examples * classes))
    target = draw(st.lists(st.integers(0, classes - 1), min_size=examples, max_size=examples))
    return torch.tensor(values, dtype=torch.float32).view(examples, classes), torch.tensor(target)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_agrees_with_scikit_learn_where_nothing_ties(dtype: torch.dtype, k: int) -> None:
    generator = np.random.default_rng(k)
    # Distinct whole numbers up to 7 are exact in every dtype.
    scores = generator.permuted(np.tile(np.arange(7.0), (200, 1)), axis=1)
    target = generator.integers(0, 7, 200)
    expected = 100.0 * top_k_accuracy_score(target, scores, k=k, labels=np.arange(7))
    assert top_k_accuracy(torch.from_numpy(scores).to(dtype), torch.from_numpy(target), k) == pytest.approx(expected, abs=1e-12)


@given(tied_scores())
def test_a_rank_counts_the_greater_scores_and_the_equal_ones_of_smaller_index(case: tuple[Tensor, Tensor]) -> None:
    scores, target = case
    classes = scores.shape[1]
    for k in range(1, classes + 1):
        hits = 0
        for row, label in zip(scores.tolist(), target.tolist(), strict=True):
            ranked = sorted(range(classes), key=lambda j: (-row[j], j))
            hits += label in ranked[:k]
        assert top_k_accuracy(scores, target, k) == pytest.approx(100.0 * hits / len(target), abs=1e-12)


@given(tied_scores(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_close_enough_accuracy_counts_what_is_within_the_distance_of_the_best(case: tuple[Tensor, Tensor], at: float) -> None:
    scores, target = case
    probs = scores / 4.0  # quarters: exact, so that the bound itself is met exactly
    hits = sum(row[label] >= max(row) - at for row, label in zip(probs.tolist(), target.tolist(), strict=True))
    assert close_enough_accuracy(probs, target, at) == pytest.approx(100.0 * hits / len(target), abs=1e-12)


@given(tied_scores())
def test_accuracies_grow_with_k_and_with_the_distance(case: tuple[Tensor, Tensor]) -> None:
    scores, target = case
    by_k = [top_k_accuracy(scores, target, k) for k in range(1, scores.shape[1] + 1)]
    assert by_k == sorted(by_k)
    assert by_k[-1] == 100.0
    by_distance = [close_enough_accuracy(scores / 4.0, target, at) for at in (0.0, 0.1, 0.5, 1.0)]
    assert by_distance == sorted(by_distance)
    assert by_distance[0] >= by_k[0]
    assert by_distance[-1] == 100.0


def test_constant_scores_hit_the_first_class_only() -> None:
    assert top_k_accuracy(torch.zeros(4, 4), torch.arange(4), k=1) == 25.0


def test_an_example_with_a_nan_is_a_miss() -> None:
    scores = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    assert top_k_accuracy(scores, torch.tensor([0, 0]), k=1) == 50.0
    assert top_k_accuracy(scores, torch.tensor([1, 1]), k=2) == 50.0


def test_arguments_that_do_not_fit_are_named() -> None:
    scores, target = torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"k must be in \[1, 4\], got 5"):
        top_k_accuracy(scores, target, 5)
    with pytest.raises(ValueError, match=r"k must be in \[1, 4\], got 0"):
        top_k_accuracy(scores, target, 0)
    with pytest.raises(ValueError, match=r"at must be in \[0, 1\], got 1.5"):
        close_enough_accuracy(scores, target, 1.5)
    with pytest.raises(ValueError, match=r"target must be \(3,\) to go with scores, got \(2,\)"):
        top_k_accuracy(scores, target[:2], 1)
    with pytest.raises(ValueError, match=r"scores must be \(N, K\) with N >= 1 and K >= 2, got \(0, 4\)"):
        top_k_accuracy(scores[:0], target[:0], 1)
