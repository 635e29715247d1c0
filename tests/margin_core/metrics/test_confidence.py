"""The confidence histogram: the bins of the gradient-decay paper's table."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from margin_core.metrics import confidence_histogram


def of_two(own: list[float]) -> tuple[Tensor, Tensor]:
    first = torch.tensor(own, dtype=torch.float64)
    return torch.stack([first, 1.0 - first], dim=1), torch.zeros(len(own), dtype=torch.int64)


def test_a_bin_has_its_upper_edge_and_the_first_its_lower_one_too() -> None:
    assert confidence_histogram(*of_two([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])).tolist() == [2, 1, 1, 1, 1]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40), st.lists(st.floats(0.001, 0.999), max_size=8, unique=True))
def test_counts_sum_to_the_number_of_examples_and_are_those_of_the_definition(own: list[float], inner: list[float]) -> None:
    edges = [0.0, *sorted(inner), 1.0]
    counts = confidence_histogram(*of_two(own), edges)
    assert counts.dtype == torch.int64
    assert int(counts.sum()) == len(own)
    for i, (low, high) in enumerate(pairwise(edges)):
        assert int(counts[i]) == sum(low < p <= high or (i == 0 and p == 0.0) for p in own)


def test_a_softmax_that_rounds_above_1_is_in_the_last_bin() -> None:
    probs = torch.tensor([[1.0 + 2.0**-23, 0.0]])
    assert confidence_histogram(probs, torch.tensor([0])).tolist() == [0, 0, 0, 0, 1]


def test_the_own_class_is_counted_and_not_the_most_probable_one() -> None:
    probs = torch.tensor([[0.7, 0.1, 0.2]])
    assert confidence_histogram(probs, torch.tensor([1])).tolist() == [1, 0, 0, 0, 0]


def test_constant_logits_and_logits_of_minus_infinity_are_counted() -> None:
    logits = torch.tensor([[0.0, 0.0], [float("-inf"), 0.0], [0.0, float("-inf")]])
    assert confidence_histogram(logits.softmax(dim=1), torch.zeros(3, dtype=torch.int64)).tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "edges", [(), (0.0,), (0.1, 1.0), (0.0, 0.9), (0.0, 0.5, 0.5, 1.0), (0.0, 0.6, 0.4, 1.0), (0.0, float("nan"), 1.0)]
)
def test_edges_that_do_not_rise_from_0_to_1_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="edges must rise from 0 to 1, got"):
        confidence_histogram(*of_two([0.5]), edges)


@pytest.mark.parametrize("wrong", [2.0, -0.5, float("nan")])
def test_logits_in_place_of_probabilities_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"probs must be in \[0, 1\], got 1 other values: take the softmax of logits first"):
        confidence_histogram(torch.tensor([[0.5, wrong]]), torch.tensor([0]))
