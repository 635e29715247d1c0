"""The angular margin: a target's cosine made harder by multiplying its angle by m1 and adding m2.

The value is continued beyond pi, so that it decreases throughout; the gradient is the exact one and finite at cos = +-1. Both may be
had as other code has them, by the options. What scale it is taken at, and whom it competes with, is the family's matter.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from margin_core.knobs import Option
from margin_core.losses.energies import KnobValue, knob_tensor

Gradient = Literal["exact", "straight_through"]
BeyondPi = Literal["continue", "none"]

GRADIENT = Option(
    name="gradient",
    choices=("exact", "straight_through"),
    default="exact",
    source="exact: that of the formula; straight_through: dψ/dc taken as 1, as InsightFace's code and SphereFace-R do",
)
BEYOND_PI = Option(
    name="beyond_pi",
    choices=("continue", "none"),
    default="continue",
    source="continue: ψ goes on falling where m1 θ + m2 > π, as in SphereFace, eq. (7); none: cos(m1 θ + m2), which rises again",
)

LEAST_SINE = {torch.float16: 3e-2, torch.bfloat16: 8e-2, torch.float32: 1e-3, torch.float64: 1e-8}
"""Least sin(theta) that a derivative is divided by: about where 1 - cos(theta) is one rounding step."""


def angular_margin(
    cosine: Tensor,
    *,
    m1: KnobValue = 1.0,
    m2: KnobValue = 0.0,
    gradient: Gradient = "exact",
    beyond_pi: BeyondPi = "continue",
    precision: torch.dtype | None = None,
) -> Tensor:
    """psi(theta) = (-1)^k cos(phi) - 2k, where phi = m1 theta + m2 and k = floor(phi / pi).

    Up to phi = pi that is cos(phi). Beyond, cos(phi) would rise again and reward a target for being far off; psi goes on falling, as
    in the angular softmax. It is computed without an arccos, which has no derivative at +-1 and loses digits near them. With
    alpha = min(theta, pi - theta), and for c < 0 the whole multiples of pi in m1 pi taken out, so that none of their rounding is
    divided by a small sine::

        cos(phi) = +-(c cos(e) - sin(theta) sin(e)),   e = (m1 - 1) theta + m2 less a multiple of pi
        sin(theta) = sqrt((1 - c)(1 + c)),   d sin(theta) / dc = -c / sin(theta),   d theta / dc = -1 / sin(theta)

    so that d psi / dc = (-1)^k m1 sin(phi) / sin(theta), where the last division is by `LEAST_SINE` at least. That is exact but for
    angles smaller than that, and finite at c = +-1, where a cosine head multiplies it by a vanishing sin(theta). At m1 = 1 it is
    c cos(m2) - sin(theta) sin(m2) to the last digit, and c itself without a margin.

    Args:
        cosine: c = cos(theta), float32 or float64, of any shape. Rounding may have carried it beyond +-1.
        m1: > 0, a number or a tensor that broadcasts with ``cosine``.
        m2: Radians >= 0, likewise.
        gradient: ``exact``, or ``straight_through``: the same value with d psi / dc = 1.
        beyond_pi: ``continue``, or ``none``: cos(phi) for every phi.
        precision: The dtype that the cosine had before it was widened, which says how small an angle it can tell.

    Returns:
        psi(theta), of the shape of ``cosine``.

    Raises:
        ValueError: If ``gradient`` or ``beyond_pi`` is none of its choices.

    Example:
        >>> psi = angular_margin(torch.tensor([1.0, 0.0, -1.0]), m2=torch.pi / 3)
        >>> [round(value, 4) for value in psi.tolist()]
        [0.5, -0.866, -1.5]
    """
    GRADIENT.check(gradient, "angular_margin")
    BEYOND_PI.check(beyond_pi, "angular_margin")
    least_sine = LEAST_SINE[precision or cosine.dtype]
    m1, m2 = knob_tensor(m1, cosine), knob_tensor(m2, cosine)
    if gradient == "straight_through":
        return _psi(cosine.detach(), m1, m2, beyond_pi, least_sine) + (cosine - cosine.detach())
    return _psi(cosine, m1, m2, beyond_pi, least_sine)


def _psi(cosine: Tensor, m1: Tensor, m2: Tensor, beyond_pi: BeyondPi, least_sine: float) -> Tensor:
    acute = cosine >= 0.0
    sine: Tensor = _Sine.apply(cosine, least_sine)
    alpha: Tensor = _NearAngle.apply(cosine, least_sine)
    whole = m1.detach().round()
    # theta = alpha, or pi - alpha where the angle is obtuse; there (m1 - 1) pi = (whole - 1) pi + (m1 - whole) pi.
    wider = (m1 - 1.0) * alpha
    wider = torch.where(acute, wider, (m1 - whole) * math.pi - wider)
    # m2 is not added to it: near m2 = pi the sum would lose the digits of a small angle.
    cos_e = m2.cos() * wider.cos() - m2.sin() * wider.sin()
    sin_e = m2.sin() * wider.cos() + m2.cos() * wider.sin()
    cos_phi = _sign(torch.where(acute, 0.0, whole - 1.0)) * (cosine * cos_e - sine * sin_e)
    if beyond_pi == "none":
        return cos_phi
    with torch.no_grad():
        half_turns = torch.where(acute, (m2 + m1 * alpha) / math.pi, m1 + (m2 - m1 * alpha) / math.pi).floor()
        # At theta = pi, phi may be a whole multiple of pi: the end of the last stretch, not the start of another.
        k = torch.minimum(half_turns, (m1 + m2 / math.pi).ceil() - 1.0).clamp_min(0.0)
    return _sign(k) * cos_phi - 2.0 * k


def _sign(k: Tensor) -> Tensor:
    """(-1)^k of a whole number."""
    return 1.0 - 2.0 * k.remainder(2.0)


class _Sine(torch.autograd.Function):
    """sin(theta) of cos(theta), with a derivative that is finite at +-1."""

    @staticmethod
    def forward(cosine: Tensor, least: float) -> Tensor:
        return ((1.0 - cosine) * (1.0 + cosine)).clamp_min(0.0).sqrt()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.least = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (cosine,) = ctx.saved_tensors
        slope = -cosine / _sine_from(ctx.least, cosine)
        return gradient * slope, None


class _NearAngle(torch.autograd.Function):
    """min(theta, pi - theta) of cos(theta), with every digit at both ends and a derivative that is finite there."""

    @staticmethod
    def forward(cosine: Tensor, least: float) -> Tensor:
        size = cosine.abs()
        return 2.0 * torch.atan2((1.0 - size).clamp_min(0.0).sqrt(), (1.0 + size).sqrt())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.least = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (cosine,) = ctx.saved_tensors
        slope = torch.where(cosine >= 0.0, -1.0, 1.0) / _sine_from(ctx.least, cosine)
        return gradient * slope, None


def _sine_from(least: float, cosine: Tensor) -> Tensor:
    """sin(theta), at least ``least``."""
    return ((1.0 - cosine) * (1.0 + cosine)).clamp_min(least**2).sqrt()
