"""Accuracies, held to scikit-learn and to brute force in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from margin_core.metrics import SuperclassAccuracy, close_enough_accuracy, superclass_accuracy, top_k_accuracy

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
    with pytest.raises(ValueError, match=r"TopKAccuracy\(k=1\) needs at least one example, got none"):
        top_k_accuracy(scores[:0], target[:0], 1)


@given(tied_scores(), st.data())
def test_a_superclass_is_hit_at_least_as_often_as_a_class(case: tuple[Tensor, Tensor], data: st.DataObject) -> None:
    scores, target = case
    classes = scores.shape[1]
    groups = torch.tensor(data.draw(st.lists(st.integers(-1, 2), min_size=classes, max_size=classes)))
    measured = superclass_accuracy(scores, target, groups)
    assert measured >= top_k_accuracy(scores, target, 1)
    predicted = [row.index(max(row)) for row in scores.tolist()]
    hits = sum(int(groups[p]) == int(groups[label]) for p, label in zip(predicted, target.tolist(), strict=True))
    assert measured == pytest.approx(100.0 * hits / len(target), abs=1e-12)


def test_with_a_group_for_each_class_the_superclass_accuracy_is_the_accuracy_and_with_one_for_all_it_is_100() -> None:
    scores, target = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 4
    assert superclass_accuracy(scores, target, torch.tensor([7, 3, 5, 1])) == top_k_accuracy(scores, target, 1)
    assert superclass_accuracy(scores, target, torch.zeros(4, dtype=torch.int64)) == 100.0


def test_a_nan_is_no_hit_of_its_superclass_either() -> None:
    scores = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    assert superclass_accuracy(scores, torch.tensor([0, 0]), torch.tensor([0, 0])) == 50.0


@pytest.mark.parametrize("target", [0, 1])
def test_at_a_distance_of_0_the_close_enough_accuracy_is_the_accuracy_where_nothing_ties(target: int) -> None:
    probs = torch.randn(200, 2, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
    targets = torch.full((200,), target)
    assert close_enough_accuracy(probs, targets, at=0.0) == top_k_accuracy(probs, targets, 1)


def test_an_untrained_network_is_close_enough() -> None:
    assert close_enough_accuracy(torch.full((4, 4), 0.25), torch.arange(4), at=0.0) == 100.0


def test_classes_with_logits_of_minus_infinity_come_last_and_tie_there() -> None:
    scores = torch.tensor([[float("-inf"), 0.0, float("-inf")]])
    assert [top_k_accuracy(scores, torch.tensor([0]), k) for k in (1, 2, 3)] == [0.0, 100.0, 100.0]
    assert [top_k_accuracy(scores, torch.tensor([2]), k) for k in (1, 2, 3)] == [0.0, 0.0, 100.0]
    assert superclass_accuracy(scores, torch.tensor([2]), torch.tensor([0, 1, 1])) == 100.0


def test_groups_that_do_not_fit_are_named() -> None:
    scores, target = torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"groups must be \(4,\) to go with scores, got \(3,\)"):
        superclass_accuracy(scores, target, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"groups must be integers \(K,\), got torch.float32 \(4,\)"):
        superclass_accuracy(scores, target, torch.zeros(4))


def test_counters_of_other_groups_are_not_merged() -> None:
    one, other = SuperclassAccuracy(torch.tensor([0, 1])), SuperclassAccuracy(torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"other must be SuperclassAccuracy\(groups=\(0, 1\)\) to be merged with it, got Super"):
        one.merge(other)
