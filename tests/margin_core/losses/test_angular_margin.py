"""The angular margin: its continuation beyond pi, and its gradient at the ends."""

from __future__ import annotations

import math

import pytest
import torch
from mpmath import acos, mpf, sin
from torch.nn.functional import normalize

from margin_core.losses.angular_margin import LEAST_SINE, angular_margin
from tests.margin_core.losses import oracle

MARGINS = [0.0, 1e-3, 0.1, 0.5, 1.0, math.pi / 2, 3.0, math.pi]
THETAS = torch.linspace(0.0, math.pi, 2001, dtype=torch.float64)


@pytest.mark.parametrize("m", MARGINS)
def test_the_margin_falls_with_the_angle_and_has_no_jump(m: float) -> None:
    psi = angular_margin(THETAS.cos(), m)
    steps = psi.diff()
    assert (steps <= 1e-15).all()
    assert (steps >= -1.01 * THETAS[1]).all()  # |d psi / d theta| <= 1


@pytest.mark.parametrize("m", MARGINS)
def test_values_and_derivatives_are_those_of_the_definition(m: float) -> None:
    for theta in THETAS[1:-1:97].tolist():
        if abs(theta + m - math.pi) < 1e-9:
            continue  # a kink of the second derivative, where rounding decides the side
        cosine = torch.tensor(math.cos(theta), dtype=torch.float64, requires_grad=True)
        psi = angular_margin(cosine, m)
        psi.backward()
        exact = mpf(cosine.item())
        assert abs(mpf(psi.item()) - oracle.psi(acos(exact), mpf(m))) < 1e-14
        slope = oracle.derivative(lambda c: oracle.psi(acos(c), mpf(m)), exact)
        assert cosine.grad is not None
        assert abs(mpf(cosine.grad.item()) - slope) < 1e-12 * max(1, abs(slope))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", MARGINS)
def test_at_the_ends_and_beyond_them_value_and_gradient_are_finite(m: float, dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    ends = torch.tensor([1.0, -1.0, 1.0 + eps, -1.0 - eps, 1.0 - eps, -1.0 + eps], dtype=dtype, requires_grad=True)
    psi = angular_margin(ends, m)
    psi.sum().backward()
    torch.testing.assert_close(psi[0].item(), math.cos(m), rtol=0.0, atol=4 * eps)
    torch.testing.assert_close(psi[1].item(), math.cos(m) - 2.0 if m > 0 else -1.0, rtol=0.0, atol=4 * eps)
    assert ends.grad is not None
    assert ends.grad.isfinite().all()
    assert (ends.grad.abs() <= 1.0 + (math.sin(m) + 4 * eps) / LEAST_SINE[dtype]).all()


def test_without_a_margin_it_is_the_cosine_itself_with_gradient_one() -> None:
    cosine = torch.tensor([-1.0 - 1e-15, -1.0, -0.3, 0.0, 1.0, 1.0 + 1e-15], dtype=torch.float64, requires_grad=True)
    psi = angular_margin(cosine, 0.0)
    psi.sum().backward()
    assert torch.equal(psi, cosine)
    assert cosine.grad is not None
    assert torch.equal(cosine.grad, torch.ones_like(cosine))


@pytest.mark.parametrize("theta", [0.01, 0.5, 1.5, 3.0])
def test_through_a_cosine_head_the_gradient_has_the_size_of_the_sine_of_the_widened_angle(theta: float) -> None:
    m = 0.5
    feature = torch.tensor([3.0 * math.cos(theta), 3.0 * math.sin(theta)], dtype=torch.float64, requires_grad=True)
    angular_margin(normalize(feature, dim=0)[0], m).backward()
    assert feature.grad is not None
    torch.testing.assert_close(feature.grad.norm().item(), abs(math.sin(theta + m)) / 3.0, rtol=1e-9, atol=0.0)


def test_a_feature_on_its_prototype_gets_a_finite_gradient() -> None:
    prototype = torch.nn.functional.normalize(torch.tensor([0.3, -1.2, 0.7]), dim=0)
    feature = (2.0 * prototype).requires_grad_()
    angular_margin(torch.dot(normalize(feature, dim=0), prototype), 0.5).backward()
    assert feature.grad is not None
    assert feature.grad.isfinite().all()
    assert feature.grad.norm() < 1.0


def test_the_margin_s_own_gradient_is_exact() -> None:
    m = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    angular_margin(torch.tensor(0.2, dtype=torch.float64), m).backward()
    assert m.grad is not None
    exact = -sin(acos(mpf(0.2)) + mpf(0.7))
    assert abs(mpf(m.grad.item()) - exact) < 1e-14
