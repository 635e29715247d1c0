"""Margins, held to angles that are known and to brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from margin_core.metrics import MeanSampleMargin, class_margin, sample_margin


def test_opposite_prototypes_are_180_degrees_apart() -> None:
    prototype = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    assert class_margin(torch.cat([prototype, -2.0 * prototype])) == pytest.approx(180.0, abs=1e-12)


def test_parallel_prototypes_are_0_degrees_apart() -> None:
    prototype = torch.randn(1, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert class_margin(torch.cat([prototype, 3.0 * prototype])) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("angle", [1e-4, 1e-6, math.pi - 1e-4])
def test_nearly_parallel_and_nearly_opposite_prototypes_keep_their_angle(angle: float) -> None:
    prototypes = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    assert class_margin(prototypes) == pytest.approx(math.degrees(angle), rel=1e-9)


def test_a_margin_of_a_ten_thousandth_radian_is_seen_in_single_precision() -> None:
    prototypes = torch.tensor([[1.0, 0.0], [math.cos(1e-4), math.sin(1e-4)]])
    # In single precision the arc cosine of this dot product is 0: cos(1e-4) rounds to 1.
    assert class_margin(prototypes) == pytest.approx(math.degrees(1e-4), rel=1e-6)


@pytest.mark.parametrize(("classes", "width"), [(2, 1), (5, 3), (12, 30)])
def test_the_class_margin_is_the_least_of_all_pairwise_angles(classes: int, width: int) -> None:
    prototypes = np.random.default_rng(classes).normal(size=(classes, width))
    units = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    angles = [math.degrees(math.acos(np.clip(units[i] @ units[j], -1, 1))) for i, j in itertools.combinations(range(classes), 2)]
    assert class_margin(torch.from_numpy(prototypes)) == pytest.approx(min(angles), abs=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_lengths_of_prototypes_do_not_matter(scale: float) -> None:
    prototypes = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    assert class_margin(prototypes * scale) == pytest.approx(class_margin(prototypes), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_a_prototype_without_a_direction_makes_the_class_margin_nan(value: float) -> None:
    prototypes = torch.eye(3)
    prototypes[1] = value
    assert math.isnan(class_margin(prototypes))


def test_the_class_margin_of_a_parameter_leaves_its_gradient_alone() -> None:
    weight = torch.nn.Parameter(torch.eye(3))
    class_margin(weight)
    assert weight.grad is None


def test_prototypes_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match=r"prototypes must be \(K, d\) with K >= 2, got \(1, 5\)"):
        class_margin(torch.ones(1, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_margin_is_the_cosine_to_the_own_prototype_less_the_best_other(dtype: torch.dtype) -> None:
    cosines = np.random.default_rng(0).uniform(-1, 1, size=(50, 6))
    cosines[:10, 2] = cosines[:10, 4]  # ties
    target = np.random.default_rng(1).integers(0, 6, 50)
    expected = [row[label] - max(np.delete(row, label)) for row, label in zip(cosines, target, strict=True)]
    measured = sample_margin(torch.from_numpy(cosines).to(dtype), torch.from_numpy(target))
    assert measured.dtype == dtype
    torch.testing.assert_close(measured.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0.0)


def test_opposite_prototypes_give_margins_of_2_and_minus_2() -> None:
    assert sample_margin(torch.tensor([[1.0, -1.0], [1.0, -1.0]]), torch.tensor([0, 1])).tolist() == [2.0, -2.0]


@pytest.mark.parametrize("block", [1, 2, 7, 100])
def test_the_class_margin_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    prototypes = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    whole = class_margin(prototypes)
    monkeypatch.setattr("margin_core.metrics.margins.BLOCK", block)
    assert class_margin(prototypes) == whole
    prototypes[19] = 0.0
    assert math.isnan(class_margin(prototypes))


def test_the_sample_margin_passes_gradient_and_its_mean_over_batches_does_not() -> None:
    cosines = torch.tensor([[0.5, 0.25]], requires_grad=True)
    sample_margin(cosines, torch.tensor([0])).sum().backward()
    assert cosines.grad is not None
    assert cosines.grad.tolist() == [[1.0, -1.0]]
    mean = MeanSampleMargin()
    mean.update(cosines, torch.tensor([0]))
    assert mean.compute() == 0.25


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_cosines_give_margins_in_single(dtype: torch.dtype) -> None:
    cosines = torch.tensor([[1.0, 0.99]], dtype=dtype)
    assert sample_margin(cosines, torch.tensor([0])).tolist() == [1.0 - float(cosines[0, 1])]
