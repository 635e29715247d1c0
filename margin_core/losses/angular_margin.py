"""The angular margin: a target's cosine made harder by adding m to its angle.

The value is continued beyond pi, so that it decreases throughout; the gradient is the exact one and finite at cos = +-1. What
scale it is taken at, and whom it competes with, is the family's matter.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from margin_core.losses.energies import KnobValue, knob_tensor

LEAST_SINE = {torch.float32: 1e-3, torch.float64: 1e-8}
"""Least sin(theta) that a derivative is divided by: about where 1 - cos(theta) is one rounding step."""


def angular_margin(cosine: Tensor, m: KnobValue) -> Tensor:
    """psi(theta) = (-1)^k cos(phi) - 2k, where phi = theta + m and k = floor(phi / pi).

    Up to phi = pi that is cos(theta + m). Beyond, cos(phi) would rise again and reward a target for being far off; psi goes on
    falling, as in the angular softmax. It is computed without an arccos, which has no derivative at +-1 and loses digits near
    them::

        cos(phi) = c cos(m) - sin(theta) sin(m),   sin(theta) = sqrt((1 - c)(1 + c)),   d sin(theta) / dc = -c / sin(theta)

    so that d psi / dc = (-1)^k sin(phi) / sin(theta), where the last division is by `LEAST_SINE` at least. That is exact but for
    angles smaller than that, and finite at c = +-1, where a cosine head multiplies it by a vanishing sin(theta).

    Args:
        cosine: c = cos(theta), float32 or float64, of any shape. Rounding may have carried it beyond +-1.
        m: Radians in [0, pi], a number or a tensor that broadcasts with ``cosine``.

    Returns:
        psi(theta), of the shape of ``cosine``.

    Example:
        >>> psi = angular_margin(torch.tensor([1.0, 0.0, -1.0]), torch.pi / 3)
        >>> [round(value, 4) for value in psi.tolist()]
        [0.5, -0.866, -1.5]
    """
    m = knob_tensor(m, cosine)
    sine: Tensor = _Sine.apply(cosine)
    cos_phi = cosine * m.cos() - sine * m.sin()
    below_pi = cosine.clamp(-1.0, 1.0) >= -m.cos()
    return torch.where(below_pi, cos_phi, -2.0 - cos_phi)


class _Sine(torch.autograd.Function):
    """sin(theta) of cos(theta), with a derivative that is finite at +-1."""

    @staticmethod
    def forward(cosine: Tensor) -> Tensor:
        return ((1.0 - cosine) * (1.0 + cosine)).clamp_min(0.0).sqrt()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (cosine,) = ctx.saved_tensors
        least = LEAST_SINE[cosine.dtype]
        slope: Tensor = -cosine / ((1.0 - cosine) * (1.0 + cosine)).clamp_min(least**2).sqrt()
        return gradient * slope
