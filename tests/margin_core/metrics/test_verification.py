"""Verification, held to every threshold there is."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from margin_core.metrics import tar_at_far, verification

SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=15)


@given(SCORES, SCORES, st.sampled_from([0.1, 0.2, 1 / 3, 0.5, 0.75, 1.0]))
def test_the_threshold_is_the_smallest_with_no_more_false_accepts_than_asked_for(
    genuine: list[int], impostor: list[int], far: float
) -> None:
    scores = torch.tensor(genuine, dtype=torch.float64), torch.tensor(impostor, dtype=torch.float64)
    if far < 1 / len(impostor):
        with pytest.raises(ValueError, match=rf"far must be in \[.*, 1\]: {len(impostor)} impostor pairs measure no less, got {far}"):
            tar_at_far(*scores, far)
        return
    point = tar_at_far(*scores, far)
    # Every threshold that tells scores apart, and those in between them.
    thresholds = [-math.inf, *sorted({value / 2 for value in range(13)})]
    fit = [t for t in thresholds if sum(score > t for score in impostor) / len(impostor) <= far]
    assert point.threshold == min(fit)
    assert point.far == sum(score > min(fit) for score in impostor) / len(impostor) <= far
    assert point.tar == pytest.approx(100.0 * sum(score > min(fit) for score in genuine) / len(genuine))


@given(st.integers(1, 400), st.data())
def test_a_rate_of_k_in_n_lets_exactly_k_of_n_in(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    point = tar_at_far(torch.zeros(1), torch.arange(n, dtype=torch.float64), k / n)  # 29 / 100 * 100 is less than 29
    assert Fraction(point.far).limit_denominator(n) == Fraction(k, n)


@given(SCORES, SCORES)
def test_the_equal_error_rate_is_the_least_that_neither_error_exceeds(genuine: list[int], impostor: list[int]) -> None:
    # One embedding for each score: its cosine with the first axis.
    rows = [[score / 6, math.sqrt(1 - (score / 6) ** 2)] for score in [6, *genuine, *impostor]]
    pairs = torch.tensor([[0, i + 1] for i in range(len(genuine) + len(impostor))])
    same = torch.tensor([True] * len(genuine) + [False] * len(impostor))
    measured = verification(torch.tensor(rows, dtype=torch.float64), pairs, same, far=1.0)
    least = min(
        max(sum(score > t for score in impostor) / len(impostor), sum(score <= t for score in genuine) / len(genuine)) for t in range(-1, 7)
    )
    assert measured.equal_error_rate == pytest.approx(least)
    assert (measured.genuine, measured.impostors) == (len(genuine), len(impostor))


def test_true_accepts_grow_with_the_rate_of_false_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    genuine, impostor = torch.randn(200, generator=generator) + 1.0, torch.randn(1000, generator=generator)
    points = [tar_at_far(genuine, impostor, far) for far in (0.001, 0.01, 0.1, 0.5, 1.0)]
    assert [point.tar for point in points] == sorted(point.tar for point in points)
    assert [point.far for point in points] == pytest.approx([0.001, 0.01, 0.1, 0.5, 1.0])
    assert (points[-1].tar, points[-1].threshold) == (100.0, -math.inf)


def test_scores_that_all_tie_are_all_rejected() -> None:
    point = tar_at_far(torch.zeros(5), torch.zeros(10), 0.5)
    assert (point.far, point.tar) == (0.0, 0.0)


@pytest.mark.parametrize("far", [0.0, -0.1, 1.1, 0.003, math.nan])
def test_a_rate_that_the_impostors_cannot_measure_is_refused(far: float) -> None:
    with pytest.raises(ValueError, match=r"far must be in \[0.00333333, 1\]: 300 impostor pairs measure no less, got"):
        tar_at_far(torch.ones(3), torch.zeros(300), far)


def test_the_length_of_an_embedding_does_not_matter_and_a_zero_one_has_cosine_0() -> None:
    rows = torch.tensor([[1e-30, 0.0], [1e30, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    pairs, same = torch.tensor([[0, 1], [0, 2], [0, 3]]), torch.tensor([True, False, False])
    point = verification(rows, pairs, same, far=0.5).points[0]
    assert (point.tar, point.far, point.threshold) == (100.0, 0.5, -1.0)


def test_many_pairs_are_compared_in_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, pairs = torch.randn(50, 2**14, generator=generator), torch.randint(50, (700, 2), generator=generator)
    same = torch.arange(700) % 2 == 0
    units = torch.nn.functional.normalize(rows.double(), dim=1)
    scores = (units[pairs[:, 0]] * units[pairs[:, 1]]).sum(dim=1)
    point = verification(rows, pairs, same, far=0.1).points[0]
    assert point.threshold == pytest.approx(tar_at_far(scores[same], scores[~same], 0.1).threshold, abs=1e-12)


def test_arguments_that_do_not_fit_are_named() -> None:
    rows, pairs, same = torch.eye(3), torch.tensor([[0, 1], [1, 2]]), torch.tensor([True, False])
    bad: list[tuple[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]] = [
        (r"embeddings must be \(N, d\), got \(3,\)", (rows[0], pairs, same)),
        (r"embeddings must be finite, got 3 other values", (rows.where(rows == 0.0, math.inf), pairs, same)),
        (r"pairs must be integers \(P, 2\), got torch.int64 \(4,\)", (rows, pairs.flatten(), same)),
        (r"pairs must be integers \(P, 2\), got torch.float32 \(2, 2\)", (rows, pairs.float(), same)),
        (r"pairs must be rows of embeddings, in \[0, 3\), got values from 1 to 3", (rows, pairs + 1, same)),
        (r"same must be bool \(2,\) to go with pairs, got torch.int64 \(2,\)", (rows, pairs, same.long())),
        (r"same must hold true and false, got 2 true of 2", (rows, pairs, same | True)),
        (r"same must hold true and false, got 0 true of 0", (rows, pairs[:0], same[:0])),
    ]
    for message, arguments in bad:
        with pytest.raises(ValueError, match=message):
            verification(*arguments)
    with pytest.raises(ValueError, match=r"genuine and impostor must be \(N,\) with N >= 1, got \(0,\) and \(2,\)"):
        tar_at_far(torch.zeros(0), torch.zeros(2), 0.5)
