"""The energies that the families' formulas are written in."""

from __future__ import annotations

import math

import pytest
import torch

from margin_core.losses.energies import ByConfidence, cross_entropy_of_gap, energies, hardest_competitor, knob_tensor, target_score, widen


def test_energies_are_those_of_the_definition_relative_to_the_hardest_competitor() -> None:
    x = torch.tensor([[2.0, -1.0, 0.5], [3.0, 4.0, -2.0]], dtype=torch.float64)
    y, hardest = torch.tensor([1, 1]), torch.tensor([2.0, 3.0], dtype=torch.float64)
    energy = energies(x, y)
    sums = torch.tensor([math.exp(2.0) + math.exp(0.5), math.exp(3.0) + math.exp(-2.0)], dtype=torch.float64)
    assert energy.score.tolist() == target_score(x, y).tolist() == [-1.0, 4.0]
    torch.testing.assert_close(energy.competitors, sums.log() - hardest)
    torch.testing.assert_close(energy.gap, energy.score - sums.log())
    assert energy.hardest is not None
    assert energy.hardest.tolist() == [0.0, 0.0]


def test_a_scale_is_that_of_the_scores() -> None:
    x, y = torch.tensor([[2.0, -1.0, 0.5]] * 2, dtype=torch.float64), torch.tensor([0, 1])
    scale = torch.tensor([0.5, 3.0], dtype=torch.float64)
    scaled, expected = energies(x, y, scale), energies(x * scale.unsqueeze(-1), y)
    for name in ("gap", "competitors", "hardest"):
        torch.testing.assert_close(getattr(scaled, name), getattr(expected, name))


def test_a_scale_by_confidence_is_the_upper_one_from_eta_on() -> None:
    x, y = torch.tensor([[2.0, 1.0], [1.5, 1.0], [1.0, 2.0]]), torch.tensor([0, 0, 0])
    assert ByConfidence(0.5, below=1.0, above=10.0).at(x[:, 0] - x[:, 1]).tolist() == [10.0, 10.0, 1.0]
    assert energies(x, y, ByConfidence(0.75, below=1.0, above=10.0)).gap.tolist() == [10.0, 0.5, -1.0]


def test_of_several_hardest_competitors_the_first_gets_the_gradient() -> None:
    x = torch.tensor([0.5, 2.0, 2.0, 2.0, 1.0], requires_grad=True)
    hardest = energies(x, torch.tensor(1)).hardest
    assert hardest is not None
    hardest.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_the_gap_does_not_lose_digits_to_a_large_common_offset() -> None:
    x, y = torch.tensor([1.0, -0.5, 0.25]), torch.tensor(0)
    assert torch.equal(energies(x, y).gap, energies(x + 2.0**20, y).gap)


def test_cross_entropy_keeps_its_digits_where_the_target_leads_by_far() -> None:
    gap = torch.tensor([21.0, 50.0, 700.0], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy_of_gap(gap), (-gap).exp().log1p(), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_widened_to_float32(dtype: torch.dtype) -> None:
    assert widen(torch.zeros(2, dtype=dtype)).dtype == torch.float32
    assert widen(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64


def test_a_knob_takes_the_scores_dtype_unless_told_another() -> None:
    scores = torch.zeros(3, 4)
    assert knob_tensor(0.5, scores).dtype == torch.float32
    assert knob_tensor(torch.ones(3, dtype=torch.float64), scores).dtype == torch.float32
    assert knob_tensor(0.5, scores, torch.float64).dtype == torch.float64


@pytest.mark.parametrize("target", [torch.tensor([0, 3]), torch.tensor([-1, 0])])
def test_a_class_that_is_not_there_is_refused(target: torch.Tensor) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        energies(torch.zeros(2, 3), target)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.complex64])
def test_a_target_that_is_no_class_index_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="target must hold integer class indices"):
        energies(torch.zeros(2, 3), torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_targets_of_any_integer_type_are_taken(dtype: torch.dtype) -> None:
    assert energies(torch.eye(3), torch.arange(3, dtype=dtype)).score.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_hardest_competitor_is_found_among_low_scores_too(dtype: torch.dtype) -> None:
    assert hardest_competitor(torch.tensor([[0.0, -4e3, -3e3, -3e3]], dtype=dtype), torch.tensor([0])).tolist() == [2]
