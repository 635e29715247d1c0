"""Calibration, held to scikit-learn and to brute force over the bins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from margin_core.metrics import ExpectedCalibrationError, expected_calibration_error, negative_log_likelihood


def brute_force_ece(probs: np.ndarray, target: np.ndarray, bins: int) -> float:
    """The definition, bin by bin."""
    confidence, predicted = probs.max(axis=1), probs.argmax(axis=1)
    total = 0.0
    for i in range(bins):
        inside = (confidence >= i / bins) & ((confidence < (i + 1) / bins) | (i == bins - 1))
        if inside.any():
            total += inside.mean() * abs((predicted == target)[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 100])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 30.0])
def test_the_calibration_error_agrees_with_its_definition(bins: int, sharpness: float) -> None:
    generator = np.random.default_rng(bins)
    logits = sharpness * generator.normal(size=(500, 5))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = generator.integers(0, 5, 500)
    measured = expected_calibration_error(torch.from_numpy(probs), torch.from_numpy(target), bins)
    assert measured == pytest.approx(brute_force_ece(probs, target, bins), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=30), st.sampled_from([1, 4, 5, 10, 15]))
def test_confidences_on_the_edges_of_bins_belong_to_the_bin_above_and_1_to_the_last(cases: list[tuple[int, bool]], bins: int) -> None:
    first = np.array([tenths / 10 for tenths, _ in cases])
    probs = np.stack([first, 1.0 - first], axis=1)
    target = np.array([int(right) for _, right in cases])
    measured = expected_calibration_error(torch.from_numpy(probs), torch.from_numpy(target), bins)
    assert measured == pytest.approx(brute_force_ece(probs, target, bins), abs=1e-12)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_the_worst() -> None:
    probs = torch.eye(4)
    assert expected_calibration_error(probs, torch.arange(4)) == 0.0
    assert expected_calibration_error(probs, (torch.arange(4) + 1) % 4) == 1.0


def test_tied_classes_predict_the_first() -> None:
    probs = torch.full((2, 2), 0.5)
    assert expected_calibration_error(probs, torch.tensor([0, 0])) == 0.5
    assert expected_calibration_error(probs, torch.tensor([0, 1])) == 0.0


def test_a_million_examples_are_counted_exactly() -> None:
    # In single precision a count stops growing at 2**24 and a mean of this many drifts long before.
    probs = torch.tensor([[0.75, 0.25]]).repeat(1_000_000, 1)
    target = (torch.arange(1_000_000) % 4 == 3).long()
    assert expected_calibration_error(probs, target) == 0.0


@pytest.mark.parametrize("wrong", [2.0, -0.5, float("nan")])
def test_logits_in_place_of_probabilities_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="take the softmax of logits first"):
        expected_calibration_error(torch.tensor([[0.5, wrong]]), torch.tensor([0]))


def test_a_number_of_bins_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="bins must be >= 1, got 0"):
        expected_calibration_error(torch.tensor([[0.5, 0.5]]), torch.tensor([0]), bins=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_negative_log_likelihood_agrees_with_scikit_learn(dtype: torch.dtype) -> None:
    logits = torch.from_numpy(3.0 * np.random.default_rng(0).normal(size=(200, 6))).to(dtype)
    target = np.random.default_rng(1).integers(0, 6, 200)
    probs = logits.double().softmax(dim=1).numpy()
    expected = log_loss(target, probs, labels=np.arange(6))
    assert negative_log_likelihood(logits, torch.from_numpy(target)) == pytest.approx(expected, rel=1e-12)


def test_a_hopeless_example_costs_its_distance_and_not_infinity() -> None:
    assert negative_log_likelihood(torch.tensor([[1e4, -1e4]]), torch.tensor([1])) == pytest.approx(2e4)


def test_a_confidence_of_exactly_1_is_in_the_last_bin_in_every_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        probs = torch.tensor([[1.0, 0.0], [0.95, 0.05]], dtype=dtype)
        sure = probs[1].max().item()
        # One bin holds both, so their mean confidence is held against one hit of two.
        assert expected_calibration_error(probs, torch.tensor([1, 0]), bins=10) == pytest.approx((1.0 + sure) / 2 - 0.5, abs=1e-12)


def test_constant_logits_are_as_sure_as_they_are_right() -> None:
    probs = torch.zeros(8, 4).softmax(dim=1)
    assert expected_calibration_error(probs, torch.arange(8) % 4) == 0.0


def test_classes_with_logits_of_minus_infinity_have_probability_0() -> None:
    logits = torch.tensor([[float("-inf"), 0.0], [0.0, float("-inf")]])
    assert expected_calibration_error(logits.softmax(dim=1), torch.tensor([1, 0])) == 0.0
    assert negative_log_likelihood(logits, torch.tensor([1, 0])) == 0.0
    assert negative_log_likelihood(logits, torch.tensor([0, 0])) == float("inf")


def test_what_is_no_probability_is_refused_when_the_batches_are_read() -> None:
    calibration = ExpectedCalibrationError()
    calibration.update(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
    calibration.update(torch.tensor([[1.5, -0.5]]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"probs must be in \[0, 1\], got 2 other values: take the softmax of logits first"):
        calibration.compute()


def test_half_precision_counts_beyond_2048() -> None:
    probs = torch.tensor([[0.75, 0.25]], dtype=torch.float16).repeat(5000, 1)
    assert expected_calibration_error(probs, (torch.arange(5000) % 4 == 3).long()) == 0.0


def test_a_confidence_on_an_edge_is_in_the_bin_above_it() -> None:
    # 0.6 and wrong, 0.7 and right: in one bin of [0.6, 0.8) they make up for half of each other, in two they would add up.
    probs = torch.tensor([[0.6, 0.4], [0.7, 0.3]], dtype=torch.float64)
    assert expected_calibration_error(probs, torch.tensor([1, 0]), bins=5) == pytest.approx((0.6 - 0.3) / 2)
