"""The angular margin: its continuation beyond pi, and its gradient at the ends."""

from __future__ import annotations

import math

import pytest
import torch
from mpmath import acos, mpf, pi
from torch.nn.functional import normalize

from margin_core.losses.angular_margin import LEAST_SINE, angular_margin
from margin_core.testing.exact import derivative
from tests.margin_core.losses import oracle

M2 = [0.0, 1e-3, 0.1, 0.5, 1.0, math.pi / 2, 3.0, math.pi]
MARGINS = [(1.0, m2) for m2 in M2]
MARGINS += [(m1, m2) for m1 in (0.9, 1.0 + 1e-9, 1.35, 2.0, 3.0 - 1e-7, 3.0, 4.0, 7.0) for m2 in (0.0, 0.05, 0.4, math.pi)]
THETAS = torch.linspace(0.0, math.pi, 2001, dtype=torch.float64)
NEAR_THE_ENDS = [sign * (1.0 - 10.0**-digits) for digits in range(1, 16) for sign in (1, -1)]


def exact_psi(c: mpf, m1: float, m2: float) -> mpf:
    return oracle.psi(acos(c), mpf(m1), mpf(m2))


@pytest.mark.parametrize(("m1", "m2"), MARGINS)
def test_the_margin_falls_with_the_angle_and_has_no_jump(m1: float, m2: float) -> None:
    psi = angular_margin(THETAS.cos(), m1=m1, m2=m2)
    steps = psi.diff()
    assert (steps <= (1e-15 if m1 == 1.0 else 4e-15)).all()
    assert (steps >= -1.01 * m1 * THETAS[1]).all()  # |d psi / d theta| <= m1


@pytest.mark.parametrize(("m1", "m2"), MARGINS)
def test_values_and_derivatives_are_those_of_the_definition_also_near_the_ends(m1: float, m2: float) -> None:
    for at in [*THETAS[1:-1:97].cos().tolist(), *NEAR_THE_ENDS]:
        cosine = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        psi = angular_margin(cosine, m1=m1, m2=m2)
        psi.backward()
        exact = exact_psi(mpf(at), m1, m2)
        assert abs(mpf(psi.item()) - exact) < 2e-15 * max(1, abs(exact))
        slope = derivative(lambda c: exact_psi(c, m1, m2), mpf(at))
        assert cosine.grad is not None
        assert abs(mpf(cosine.grad.item()) - slope) < 1e-13 * max(1, abs(slope))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m1", "m2"), MARGINS)
def test_at_the_ends_and_beyond_them_value_and_gradient_are_finite(m1: float, m2: float, dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    ends = torch.tensor([1.0, -1.0, 1.0 + eps, -1.0 - eps, 1.0 - eps, -1.0 + eps], dtype=dtype, requires_grad=True)
    psi = angular_margin(ends, m1=m1, m2=m2)
    psi.sum().backward()
    tolerance = 4 * m1 * eps
    torch.testing.assert_close(psi[0].item(), float(exact_psi(mpf(1), m1, m2)), rtol=0.0, atol=tolerance)
    torch.testing.assert_close(psi[1].item(), float(exact_psi(mpf(-1), m1, m2)), rtol=0.0, atol=tolerance)
    assert ends.grad is not None
    assert ends.grad.isfinite().all()
    assert (ends.grad.abs() <= m1**2 + m1 * (1.0 + 4 * eps) / LEAST_SINE[dtype]).all()


@pytest.mark.parametrize("m", [2.0, 3.0, 4.0])
def test_the_last_stretch_ends_at_pi(m: float) -> None:
    psi = angular_margin(torch.tensor(-1.0, dtype=torch.float64), m1=m)
    assert psi.item() == 1.0 - 2.0 * m
    assert psi.item() == float(oracle.psi(pi - mpf(10) ** -40, mpf(m), mpf(0)))


@pytest.mark.parametrize(("m1", "m2"), [(1.0, 0.5), (1.35, 0.2), (3.0, 0.0), (4.0, 0.3)])
def test_without_a_continuation_it_is_the_cosine_of_the_widened_angle_which_rises_again(m1: float, m2: float) -> None:
    psi = angular_margin(THETAS.cos(), m1=m1, m2=m2, beyond_pi="none")
    # A cosine of one rounding step from 1 tells an angle of 1e-3 to 1e-13 only.
    torch.testing.assert_close(psi, (m1 * THETAS + m2).cos(), rtol=0.0, atol=1e-12)
    below = m1 * THETAS + m2 <= math.pi
    assert torch.equal(psi[below], angular_margin(THETAS.cos(), m1=m1, m2=m2)[below])
    assert (psi.diff() > 1e-6).any()


@pytest.mark.parametrize(("m1", "m2", "m3"), [(1.0, 0.5, 0.0), (1.0, 0.3, 0.2), (1.35, 0.0, 0.0), (4.0, 0.0, 0.0), (3.0, 0.3, 0.05)])
def test_continued_it_lies_below_the_line_by_which_the_paper_bounds_it(m1: float, m2: float, m3: float) -> None:
    cosine = THETAS.cos()
    line = math.cos(m2) * cosine - m3
    assert (angular_margin(cosine, m1=m1, m2=m2) - m3 <= line + 1e-14).all()
    if m1 > 1.0:
        assert (angular_margin(cosine, m1=m1, m2=m2, beyond_pi="none") - m3 > line + 0.1).any()


@pytest.mark.parametrize(("m1", "m2"), [(1.0, 0.0), (1.0, 0.5), (1.35, 0.2), (4.0, 0.0)])
def test_straight_through_has_the_same_value_with_a_slope_of_one(m1: float, m2: float) -> None:
    cosine, margin = THETAS.cos().requires_grad_(), torch.tensor(m2, dtype=torch.float64, requires_grad=True)
    psi = angular_margin(cosine, m1=m1, m2=margin, gradient="straight_through")
    assert torch.equal(psi, angular_margin(cosine, m1=m1, m2=m2))
    slope, exact = (torch.autograd.grad(p.sum(), (cosine, margin)) for p in (psi, angular_margin(cosine, m1=m1, m2=margin)))
    assert torch.equal(slope[0], torch.ones_like(cosine))
    assert torch.equal(slope[1], exact[1])  # to the margin itself the gradient is the exact one


def test_an_unknown_reading_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="angular_margin: gradient must be one of exact, straight_through, got 'none'"):
        angular_margin(THETAS, gradient="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="angular_margin: beyond_pi must be one of continue, none, got 'easy_margin'"):
        angular_margin(THETAS, beyond_pi="easy_margin")  # type: ignore[arg-type]


def test_without_a_margin_it_is_the_cosine_itself_with_gradient_one() -> None:
    cosine = torch.tensor([-1.0 - 1e-15, -1.0, -0.3, 0.0, 1.0, 1.0 + 1e-15], dtype=torch.float64, requires_grad=True)
    psi = angular_margin(cosine)
    psi.sum().backward()
    assert torch.equal(psi, cosine)
    assert cosine.grad is not None
    assert torch.equal(cosine.grad, torch.ones_like(cosine))


@pytest.mark.parametrize("theta", [0.01, 0.5, 1.5, 3.0])
def test_through_a_cosine_head_the_gradient_has_m1_times_the_size_of_the_sine_of_the_widened_angle(theta: float) -> None:
    m1, m2 = 1.35, 0.5
    feature = torch.tensor([3.0 * math.cos(theta), 3.0 * math.sin(theta)], dtype=torch.float64, requires_grad=True)
    angular_margin(normalize(feature, dim=0)[0], m1=m1, m2=m2).backward()
    assert feature.grad is not None
    torch.testing.assert_close(feature.grad.norm().item(), m1 * abs(math.sin(m1 * theta + m2)) / 3.0, rtol=1e-9, atol=0.0)


def test_a_feature_on_its_prototype_gets_a_finite_gradient() -> None:
    prototype = torch.nn.functional.normalize(torch.tensor([0.3, -1.2, 0.7]), dim=0)
    feature = (2.0 * prototype).requires_grad_()
    angular_margin(torch.dot(normalize(feature, dim=0), prototype), m2=0.5).backward()
    assert feature.grad is not None
    assert feature.grad.isfinite().all()
    assert feature.grad.norm() < 1.0


@pytest.mark.parametrize("c", [0.2, -0.7])
def test_the_margins_own_gradients_are_exact(c: float) -> None:
    m1, m2 = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (1.35, 0.7))
    angular_margin(torch.tensor(c, dtype=torch.float64), m1=m1, m2=m2).backward()
    theta = acos(mpf(c))
    for ours, at in ((m1, 0), (m2, 1)):
        margins = [mpf(1.35), mpf(0.7)]
        exact = derivative(lambda value, at=at, margins=margins: oracle.psi(theta, *margins[:at], value, *margins[at + 1 :]), margins[at])
        assert ours.grad is not None
        assert abs(mpf(ours.grad.item()) - exact) < 1e-14 * max(1, abs(exact))
