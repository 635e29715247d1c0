"""The quantities that every family's formula is written in: the target's score and the energy of its competitors.

All are taken relative to the hardest competitor's score, so that a well-classified sample's loss and gradient keep every digit
however large its scores are. What a family makes of them is in the family's own file.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

KnobValue: TypeAlias = float | Tensor
"""A knob's value: one number, or a tensor that broadcasts over the leading axes of the scores."""


class Energies(NamedTuple):
    """Of each sample, less the hardest competitor's score; each of shape (...)."""

    target: Tensor
    """t = x_y, the target's score."""
    competitors: Tensor
    """N = log sum_{j != y} exp(x_j), the energy of the competitors: 0 to log(K - 1)."""
    hardest: Tensor
    """M = max_{j != y} x_j: 0 by construction, but gradient flows through it."""


def widen(scores: Tensor) -> Tensor:
    """Half-precision ``scores`` as float32, wider ones as they are: exp and its sums need the range and the digits."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def knob_tensor(value: KnobValue, scores: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A knob as a tensor on the scores' device, of their dtype or another, whether it came as a number or as a tensor."""
    if isinstance(value, Tensor):
        return value.to(device=scores.device, dtype=dtype or scores.dtype)
    return torch.full((), value, dtype=dtype or scores.dtype, device=scores.device)


def target_score(scores: Tensor, target: Tensor) -> Tensor:
    """The scores of the targets, (..., 1)."""
    return scores.gather(-1, _class_index(scores, target))


def energies(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Energies:
    """The energies of ``scores`` (..., K), times ``scale`` > 0, for integer ``target`` (...).

    The gradient of the maximum goes to one competitor, that of the lowest index where several tie. A score of -inf takes its
    class out of the competition; one competitor at least must be finite.

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), or K < 2.

    Example:
        >>> e = energies(torch.tensor([3.0, 1.0, 1.0]), torch.tensor(0))
        >>> e.target.item(), round(e.competitors.item(), 4)
        (2.0, 0.6931)
    """
    index = _class_index(scores, target)
    hardest = scores.scatter(-1, index, -math.inf).max(dim=-1, keepdim=True).values
    # Only differences of energies enter a loss, so the shift itself needs no gradient.
    shift = hardest.detach()
    factor = knob_tensor(scale, scores).unsqueeze(-1)
    shifted = (scores - shift) * factor
    # Masked once more after scaling: -inf times the scale would leave NaN for the scale's own gradient.
    return Energies(
        target=shifted.gather(-1, index).squeeze(-1),
        competitors=shifted.scatter(-1, index, -math.inf).logsumexp(dim=-1),
        hardest=((hardest - shift) * factor).squeeze(-1),
    )


def target_gap(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Tensor:
    """The gap t - N between the target and the energy of its competitors, of ``scores`` times ``scale``: the logit of p_y."""
    energy = energies(scores, target, scale)
    return energy.target - energy.competitors


def cross_entropy_of_gap(gap: Tensor) -> Tensor:
    """-log p_y = softplus(N - t) of the ``gap`` t - N.

    Written with ``logsigmoid``, which is exact throughout; ``softplus`` drops its exponential beyond a threshold of 20.
    """
    return -logsigmoid(gap)


def _class_index(scores: Tensor, target: Tensor) -> Tensor:
    """``target`` as an index along the last axis of ``scores``, (..., 1), or `ValueError` where the two do not go together."""
    if scores.ndim == 0 or scores.shape[-1] < 2:
        raise ValueError(f"scores must have the shape (..., K) with K >= 2 classes, got {tuple(scores.shape)}")
    if target.shape != scores.shape[:-1]:
        wanted = tuple(scores.shape[:-1])
        raise ValueError(f"target must have the shape {wanted} of the scores without their last axis, got {tuple(target.shape)}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(f"target must hold integer class indices, got {target.dtype}")
    return target.long().unsqueeze(-1)
