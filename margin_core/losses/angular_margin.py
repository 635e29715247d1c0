"""The angular margin: a target's cosine made harder by multiplying its angle by m1 and adding m2.

The value is continued beyond pi, so that it decreases throughout; the gradient is the exact one and finite at cos = +-1. Both may be
had as other code has them, by the options. What scale it is taken at, and whom it competes with, is the family's matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from margin_core.knobs import Option
from margin_core.losses.closed_form import Compiled
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
    in the angular softmax. Its slope is d psi / dc = (-1)^k m1 sin(phi) / sin(theta), where the last division is by `LEAST_SINE` at
    least. That is exact but for angles smaller than that, and finite at c = +-1, where a cosine head multiplies it by a vanishing
    sin(theta). At m1 = 1 psi is c cos(m2) - sin(theta) sin(m2) to the last digit, and c itself without a margin.

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
    return angular_margin_and_slope(cosine, m1, m2, gradient=gradient, beyond_pi=beyond_pi, precision=precision or cosine.dtype)[0]


def angular_margin_and_slope(
    cosine: Tensor, m1: KnobValue, m2: KnobValue, *, gradient: Gradient, beyond_pi: BeyondPi, precision: torch.dtype
) -> tuple[Tensor, Tensor]:
    """`angular_margin` and its slope d psi / dc, each of the shape of ``cosine``."""
    if gradient == "straight_through":
        psi, _ = angular_margin_and_slope(cosine.detach(), m1, m2, gradient="exact", beyond_pi=beyond_pi, precision=precision)
        return psi + (cosine - cosine.detach()), torch.ones_like(psi)
    m1, m2 = knob_tensor(m1, cosine), knob_tensor(m2, cosine)
    angle = _WidenedAngle if torch.compiler.is_compiling() else _WidenedAngleBothWays
    cos_phi, _, _, _, q, k = angle.apply(cosine, m1.expand_as(cosine), m2.expand_as(cosine), beyond_pi, LEAST_SINE[precision])
    return cos_phi - 2.0 * k, m1 * q


def harder_angle(
    gradient: Gradient, beyond_pi: BeyondPi, precision: torch.dtype, owner: str
) -> Callable[[Tensor, KnobValue, KnobValue], tuple[Tensor, Tensor]]:
    """`angular_margin_and_slope` as a function of the cosine, m1 and m2 alone; `ValueError` names ``owner``."""
    GRADIENT.check(gradient, owner)
    BEYOND_PI.check(beyond_pi, owner)
    return partial(angular_margin_and_slope, gradient=gradient, beyond_pi=beyond_pi, precision=precision)


def compiled_margin(
    s: KnobValue,
    *,
    m1: KnobValue = 1.0,
    m2: KnobValue = 0.0,
    m3: KnobValue = 0.0,
    lam: KnobValue = 0.0,
    gradient: Gradient = "exact",
    beyond_pi: BeyondPi = "continue",
    precision: torch.dtype = torch.float64,
) -> Compiled:
    """Cross-entropy at (lam c_y + psi) / (1 + lam) - m3 in place of c_y, by its name and knobs in the compiled loops."""
    return "margin", s, m1, m2, m3, lam, float(gradient == "straight_through"), float(beyond_pi == "continue"), LEAST_SINE[precision]


class _WidenedAngle(torch.autograd.Function):
    """C = (-1)^k cos(phi), S = (-1)^k sin(phi), the angle theta, r = 1 / sin(theta), q = r S, and k, of a cosine c.

    They are had without an arccos, which has no derivative at +-1 and loses digits near them. With alpha = min(theta, pi - theta)::

        cos(phi) = +-(c cos(e) - sin(theta) sin(e)),   sin(phi) = +-(sin(theta) cos(e) + c sin(e)),   sin(theta) = sqrt((1 - c)(1 + c))

    where e = (m1 - 1) theta + m2. For c < 0 the whole multiples of pi in m1 pi are taken out of it, so that none of their rounding is
    divided by a small sine. All but k are closed under differentiation, so that slopes have slopes::

        dC = m1 q dc - S dp,   dS = C (dp - m1 r dc),   dq = r C dp + r^2 (c q - m1 C) dc,   dtheta = -r dc,   dr = r^3 c dc

    where dp = theta dm1 + dm2.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(cosine: Tensor, m1: Tensor, m2: Tensor, beyond_pi: BeyondPi, least_sine: float) -> tuple[Tensor, ...]:
        acute, size = cosine >= 0.0, torch.abs(cosine)
        sine = torch.sqrt(torch.clip((1.0 - cosine) * (1.0 + cosine), 0.0, None))
        alpha = 2.0 * torch.arctan2(torch.sqrt(torch.clip(1.0 - size, 0.0, None)), torch.sqrt(1.0 + size))
        whole = torch.round(m1)
        # theta = alpha, or pi - alpha where the angle is obtuse; there (m1 - 1) pi = (whole - 1) pi + (m1 - whole) pi.
        wider = (m1 - 1.0) * alpha
        wider = torch.where(acute, wider, (m1 - whole) * math.pi - wider)
        # m2 is not added to it: near m2 = pi the sum would lose the digits of a small angle.
        cos_m2, sin_m2, cos_wider, sin_wider = torch.cos(m2), torch.sin(m2), torch.cos(wider), torch.sin(wider)
        cos_e = cos_m2 * cos_wider - sin_m2 * sin_wider
        sin_e = sin_m2 * cos_wider + cos_m2 * sin_wider
        half_turns = torch.floor(torch.where(acute, (m2 + m1 * alpha) / math.pi, m1 + (m2 - m1 * alpha) / math.pi))
        # At theta = pi, phi may be a whole multiple of pi: the end of the last stretch, not the start of another.
        k = torch.clip(torch.minimum(half_turns, torch.ceil(m1 + m2 / math.pi) - 1.0), 0.0, None)
        k = k if beyond_pi == "continue" else torch.zeros_like(k)
        turn = k + torch.where(acute, torch.zeros_like(k), whole - 1.0)
        sign = 1.0 - 2.0 * torch.remainder(turn, 2.0)
        reciprocal = 1.0 / torch.clip(sine, least_sine, None)
        return (
            sign * (cosine * cos_e - sine * sin_e),
            sign * (sine * cos_e + cosine * sin_e),
            torch.where(acute, alpha, math.pi - alpha),
            reciprocal,
            # Where the sine is too small to divide by, its share of S over itself is still cos(e).
            sign * (cos_e + cosine * sin_e * reciprocal),
            k,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[-1])
        ctx.save_for_backward(*inputs[:2], *output[:-1])
        ctx.save_for_forward(*inputs[:2], *output[:-1])

    @staticmethod
    def backward(ctx: Any, of_cos: Tensor, of_sin: Tensor, of_theta: Tensor, of_r: Tensor, of_q: Tensor, _: None) -> tuple[Any, ...]:
        cosine, m1, cos_phi, sin_phi, theta, r, q = ctx.saved_tensors
        of_phase = of_sin * cos_phi - of_cos * sin_phi + of_q * r * cos_phi
        of_cosine = of_cos * m1 * q - (of_sin * m1 * cos_phi + of_theta) * r
        of_cosine = of_cosine + (of_q * (cosine * q - m1 * cos_phi) + of_r * r * cosine) * r**2
        return of_cosine, of_phase * theta, of_phase, None, None


class _WidenedAngleBothWays(_WidenedAngle):
    """The same with derivatives in forward mode too, which torch.compile refuses to trace."""

    @staticmethod
    def jvp(ctx: Any, d_cosine: Tensor | None, d_m1: Tensor | None, d_m2: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        cosine, m1, cos_phi, sin_phi, theta, r, q = ctx.saved_tensors
        d_cosine, d_m1, d_m2 = (torch.zeros_like(cosine) if d is None else d for d in (d_cosine, d_m1, d_m2))
        d_phase = theta * d_m1 + d_m2
        return (
            m1 * q * d_cosine - sin_phi * d_phase,
            cos_phi * (d_phase - m1 * r * d_cosine),
            -r * d_cosine,
            r**3 * cosine * d_cosine,
            r * cos_phi * d_phase + r**2 * (cosine * q - m1 * cos_phi) * d_cosine,
            None,
        )
