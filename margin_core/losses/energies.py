"""The quantities that every family's formula is written in: the target's score and the energy of its competitors.

A formula is a function of a few numbers per sample. What is of the size of the scores is done once for all families: here, by plain
operations of torch, which may be differentiated as often as one likes, and in `margin_core.losses.closed_form` at the cost of
cross-entropy. All energies are taken relative to the hardest competitor's score, so that they keep their digits.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias, overload

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

KnobValue: TypeAlias = float | Tensor
"""A knob's value: one number, or a tensor that broadcasts over the leading axes of the scores."""


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


SMALLEST_SCALE = 1e-9
"""A scale that has a unit is taken here where it is below. At 0 and beyond, where a step of training may carry it, it means nothing."""


class ByConfidence(NamedTuple):
    """A scale for each sample: ``above`` where the lead x_y - max_{j != y} x_j is at least ``eta``, else ``below``."""

    eta: KnobValue
    below: KnobValue
    above: KnobValue
    log_unit: KnobValue | None = None
    """The logarithm of what both are given in, where that is not 1. Then each is taken at `SMALLEST_SCALE` at least, but with the gradient
    that it has there, so that it can grow again."""

    def in_units_of_one(self, like: Tensor) -> ByConfidence:
        """The same scales on the device of ``like``, in float64 and of the unit 1."""
        if self.log_unit is None:
            return self
        unit = knob_tensor(self.log_unit, like, torch.float64).exp()
        return ByConfidence(self.eta, *(at_least_smallest(knob_tensor(x, like, torch.float64)) / unit for x in (self.below, self.above)))

    def reached(self, lead: Tensor) -> Tensor:
        """Which samples, that lead by ``lead`` (...), are taken at ``above``."""
        return lead >= knob_like(self.eta, lead)

    def at(self, lead: Tensor) -> Tensor:
        """The scales of samples that lead by ``lead`` (...)."""
        return torch.where(self.reached(lead), knob_tensor(self.above, lead), knob_tensor(self.below, lead))


class Energies(NamedTuple):
    """Of each sample, each of shape (...), float32 or wider; the last three only where they are asked for."""

    gap: Tensor
    """t - N, the target's lead t = s (x_y - M) over the energy of its competitors: the logit of p_y."""
    plain: Tensor
    """-log p_y, the cross-entropy."""
    missing: Tensor
    """1 - p_y, of which the cross-entropy's slope by the gap is the negative."""
    score: Tensor
    """x_y, the target's score as it is, without its norm."""
    competitors: Tensor | None = None
    """N = log sum_{j != y} exp(s (x_j - M)), the energy of the competitors relative to the hardest, at M: 0 to log(K - 1)."""
    hardest: Tensor | None = None
    """s (M - M) = 0, but gradient flows through it to the hardest competitor, that of the lowest index where several tie."""
    norm: Tensor | None = None
    """n_y, the norm that the target's score is multiplied with."""


def energies(scores: Tensor, target: Tensor, scale: KnobValue | ByConfidence = 1.0, norms: Tensor | None = None) -> Energies:
    """The energies of ``scores`` (..., K), times ``norms`` (..., K) if given, at the ``scale`` s > 0 for integer ``target`` (...).

    A score of -inf takes its class out of the competition; where all competitors are out, the target wins by far. Half precision is
    widened to float32.

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), or K < 2.

    Example:
        >>> e = energies(torch.tensor([3.0, 1.0, 1.0]), torch.tensor(0))
        >>> round(e.competitors.item(), 4), round(e.gap.item(), 4)
        (0.6931, 1.3069)
    """
    index = class_index(scores, target)
    wide = widen(scores)
    score, norm = wide.gather(-1, index).squeeze(-1), None
    if norms is not None:
        norms = knob_tensor(norms, wide)
        norm = norms.gather(-1, index).squeeze(-1)
        wide = wide * norms
    own = score if norm is None else score * norm
    others = wide.scatter(-1, index, masked(wide.dtype)).clamp_min(masked(wide.dtype))
    rival = others.detach().argmax(dim=-1, keepdim=True)
    shift = others.detach().gather(-1, rival)
    lead = own - shift.squeeze(-1)
    scale = scale.in_units_of_one(lead).at(lead.detach()) if isinstance(scale, ByConfidence) else knob_like(scale, lead)
    each = scale.expand(lead.shape).unsqueeze(-1) if isinstance(scale, Tensor) else scale
    competitors = ((others - shift) * each).exp().sum(dim=-1).log()
    hardest = ((others.gather(-1, rival) - shift) * each).squeeze(-1)
    return energies_of(lead * scale - competitors, score, competitors, hardest, norm)


def energies_of(gap: Tensor, score: Tensor, competitors: Tensor, hardest: Tensor | None, norm: Tensor | None) -> Energies:
    """The energies of these, all of shape (...), with what follows from the gap."""
    return Energies(gap, cross_entropy_of_gap(gap), torch.sigmoid(-gap), score, competitors, hardest, norm)


@overload
def at_least_smallest(scale: float) -> float: ...
@overload
def at_least_smallest(scale: Tensor) -> Tensor: ...
@overload
def at_least_smallest(scale: KnobValue) -> KnobValue: ...
def at_least_smallest(scale: KnobValue) -> KnobValue:
    """A scale at `SMALLEST_SCALE` at least, with the gradient of the scale there."""
    if not isinstance(scale, Tensor):
        return max(scale, SMALLEST_SCALE)
    return scale.detach().clamp_min(SMALLEST_SCALE) + (scale - scale.detach())


def is_eager(tensor: Tensor) -> bool:
    """Whether operations on ``tensor`` run at once and on its own numbers: nothing traces, records or maps them."""
    if torch.compiler.is_compiling():
        return False
    own = type(tensor) is Tensor or isinstance(tensor, torch.nn.Parameter)
    mapped = torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(tensor)
    return own and not mapped and torch._C._len_torch_dispatch_stack() == 0


def cross_entropy_of_gap(gap: Tensor) -> Tensor:
    """-log p_y = softplus(N - t) of the ``gap`` t - N.

    Written with ``logsigmoid``, which is exact throughout; ``softplus`` drops its exponential beyond a threshold of 20.
    """
    return -logsigmoid(gap)


def hardest_competitor(scores: Tensor, target: Tensor) -> Tensor:
    """The index of the competitor of the highest score (...), the lowest index where several tie."""
    wide = widen(scores.detach())
    return wide.scatter(-1, class_index(scores, target), masked(wide.dtype)).argmax(dim=-1)


def target_score(scores: Tensor, target: Tensor) -> Tensor:
    """The scores of the targets (...)."""
    return scores.gather(-1, class_index(scores, target)).squeeze(-1)


def widen(scores: Tensor) -> Tensor:
    """Half-precision ``scores`` as float32, wider ones as they are: exp and its sums need the range and the digits."""
    return scores.to(wide_dtype(scores))


def wide_dtype(scores: Tensor) -> torch.dtype:
    """float32, or the dtype of ``scores`` where that is wider."""
    return torch.float32 if scores.dtype is torch.float32 else torch.promote_types(scores.dtype, torch.float32)


def masked(dtype: torch.dtype) -> float:
    """What stands in the target's place where only others compete.

    Not -inf: where all others are -inf their differences from the highest would be NaN. The square root leaves room for any scale.
    """
    return -math.sqrt(torch.finfo(dtype).max)


def knob_like(value: KnobValue, like: Tensor) -> KnobValue:
    """A knob that arithmetic with ``like`` may have: a tensor on its device and of its dtype, or the number it is."""
    return value.to(like.device, like.dtype) if isinstance(value, Tensor) else value


def knob_tensor(value: KnobValue, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A knob as a tensor on the device of ``like``, of its dtype or another, whether it came as a number or as a tensor."""
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=dtype or like.dtype)
    return torch.full((), value, dtype=dtype or like.dtype, device=like.device)


def class_index(scores: Tensor, target: Tensor) -> Tensor:
    """``target`` as an index along the last axis of ``scores``, (..., 1), or `ValueError` where the two do not go together."""
    return classes_of(scores, target).unsqueeze(-1)


def classes_of(scores: Tensor, target: Tensor) -> Tensor:
    """``target`` (...) as int64, or `ValueError` where it does not go with ``scores``."""
    if scores.ndim == 0 or scores.shape[-1] < 2:
        raise ValueError(f"scores must have the shape (..., K) with K >= 2 classes, got {tuple(scores.shape)}")
    if target.shape != scores.shape[:-1]:
        wanted = tuple(scores.shape[:-1])
        raise ValueError(f"target must have the shape {wanted} of the scores without their last axis, got {tuple(target.shape)}")
    if target.device != scores.device:
        raise ValueError(f"target must be on the device of the scores, {scores.device}, got {target.device}")
    if target.dtype not in INTEGERS:
        raise ValueError(f"target must hold integer class indices, got {target.dtype}")
    return target.long()
