"""The quantities that every family's formula is written in: the target's score and the energy of its competitors.

A formula is a function of a few numbers per sample; what is of the size of the scores, those numbers and the gradient that flows back
from them, is done here, once, in closed form. So a family costs about as much as cross-entropy, and keeps its digits: all energies are
taken relative to the hardest competitor's score.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

KnobValue: TypeAlias = float | Tensor
"""A knob's value: one number, or a tensor that broadcasts over the leading axes of the scores."""


HAS_TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


class Energies(NamedTuple):
    """Of each sample, each of shape (...), float32 or wider. All but the first are less the hardest competitor's score."""

    score: Tensor
    """x_y, the target's score as it is."""
    shift: Tensor
    """M = max_{j != y} x_j, which the others are relative to; a constant, no gradient flows through it."""
    target: Tensor
    """t = s (x_y - M)."""
    competitors: Tensor
    """N = log sum_{j != y} exp(s (x_j - M)), the energy of the competitors: 0 to log(K - 1)."""
    hardest: Tensor
    """s (M - M): 0, but gradient flows through it to the hardest competitor."""


def energies(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Energies:
    """The energies of ``scores`` (..., K) at the ``scale`` s > 0 for integer ``target`` (...).

    The gradient of the maximum goes to one competitor, that of the lowest index where several tie or are so close that their
    probabilities do. A score of -inf takes its
    class out of the competition; where all competitors are out, the target wins by far. Half precision is widened to float32.

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), or K < 2.

    Example:
        >>> e = energies(torch.tensor([3.0, 1.0, 1.0]), torch.tensor(0))
        >>> e.target.item(), round(e.competitors.item(), 4)
        (2.0, 0.6931)
    """
    index = _class_index(scores, target)
    if isinstance(scale, Tensor):
        scale = scale.to(scores.device, _wide(scores)).expand(target.shape)
    competition = _FusedCompetition if _is_fused(scores) else _Competition
    score, shift, competitors, hardest, *_ = competition.apply(scores, index, scale)
    return Energies(score, shift, (score - shift) * scale, competitors, hardest)


def target_gap(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Tensor:
    """The gap t - N between the target and the energy of its competitors, of ``scores`` times ``scale``: the logit of p_y."""
    energy = energies(scores, target, scale)
    return energy.target - energy.competitors


def cross_entropy_of_gap(gap: Tensor) -> Tensor:
    """-log p_y = softplus(N - t) of the ``gap`` t - N.

    Written with ``logsigmoid``, which is exact throughout; ``softplus`` drops its exponential beyond a threshold of 20.
    """
    return -logsigmoid(gap)


def margin_cross_entropy(cosines: Tensor, target: Tensor, s: KnobValue, harder: Callable[[Tensor], Tensor]) -> Tensor:
    """-log(e^{s h} / (e^{s h} + sum_{j != y} e^{s c_j})), where h = ``harder(c_y)`` is what the target competes with.

    Args:
        cosines: c (..., K); half precision is widened to float32.
        target: Class indices (...).
        s: Scale > 0, a number or a tensor that broadcasts over (...).
        harder: Of the targets' cosines (...), float32 or wider, what stands in their place.

    Returns:
        The loss of each sample (...).
    """
    energy = energies(cosines, target, s)
    lead = harder(energy.score) - energy.shift
    return cross_entropy_of_gap(knob_like(s, lead) * lead - energy.competitors)


def confidence(scores: Tensor, target: Tensor) -> Tensor:
    """The lead x_y - max_{j != y} x_j of each sample (...), float32 or wider, through which no gradient flows."""
    index = _class_index(scores, target)
    own, others = _set_apart(scores.detach(), index)
    return (own - others.amax(dim=-1, keepdim=True)).squeeze(-1)


def hardest_competitor(scores: Tensor, target: Tensor) -> Tensor:
    """The index of the competitor of the highest score (...), the lowest index where several tie."""
    _, others = _set_apart(scores.detach(), _class_index(scores, target))
    return others.argmax(dim=-1)


def target_score(scores: Tensor, target: Tensor) -> Tensor:
    """The scores of the targets (...)."""
    return scores.gather(-1, _class_index(scores, target)).squeeze(-1)


def widen(scores: Tensor) -> Tensor:
    """Half-precision ``scores`` as float32, wider ones as they are: exp and its sums need the range and the digits."""
    return scores.to(_wide(scores))


def knob_like(value: KnobValue, like: Tensor) -> KnobValue:
    """A knob that arithmetic with ``like`` may have: a tensor on its device and of its dtype, or the number it is."""
    return value.to(like.device, like.dtype) if isinstance(value, Tensor) else value


def knob_tensor(value: KnobValue, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A knob as a tensor on the device of ``like``, of its dtype or another, whether it came as a number or as a tensor."""
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=dtype or like.dtype)
    return torch.full((), value, dtype=dtype or like.dtype, device=like.device)


class _Competition(torch.autograd.Function):
    """Score, shift, N and the hardest competitor of each sample, in one pass over the scores, and their gradient in one pass back.

    With the weights w_j = exp(s (x_j - M)), j != y, and w_y = 0, N = log sum_j w_j and so::

        dN / dx_j = s w_j e^{-N},   dN / ds = sum_j w_j e^{-N} (x_j - M) = (1 / s) e^{-N} sum_j w_j log w_j

    The gradient of a sample is the row w times a number, with the targets' and the hardest competitor's entries put in after. The
    weights are the one tensor of the scores' size that is kept. They are an output, so that the gradient has a gradient itself.
    """

    @staticmethod
    def forward(scores: Tensor, index: Tensor, scale: KnobValue) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        score, weights = _set_apart(scores, index)
        shift = weights.amax(dim=-1, keepdim=True)
        weights.sub_(shift)
        if isinstance(scale, Tensor):
            weights.mul_(scale.unsqueeze(-1))
        elif scale != 1.0:
            weights.mul_(scale)
        weights.exp_().scatter_(-1, index, 0.0)
        # The hardest competitor's weight is 1, so the sum is 1 at least, but where every competitor is out.
        competitors = weights.sum(dim=-1).clamp_min_(1.0).log_()
        return score.squeeze(-1), shift.squeeze(-1), competitors, torch.zeros_like(competitors), weights

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, KnobValue], output: tuple[Tensor, ...]) -> None:
        scores, index, scale = inputs
        _, shift, competitors, _, weights = output
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(shift)
        ctx.dtype, ctx.number = scores.dtype, None if isinstance(scale, Tensor) else scale
        ctx.save_for_backward(index, competitors, weights, scale if isinstance(scale, Tensor) else None)

    @staticmethod
    def backward(
        ctx: Any, of_score: Tensor | None, _: None, of_competitors: Tensor | None, of_hardest: Tensor | None, of_weights: Tensor | None
    ) -> tuple[Tensor, None, Tensor | None]:
        index, competitors, weights, scale = ctx.saved_tensors
        factor = ctx.number if scale is None else scale.unsqueeze(-1)
        # dL / dw_j, one number for each sample unless a second derivative is under way.
        share = torch.zeros_like(competitors) if of_competitors is None else of_competitors * (-competitors).exp()
        of_weight = share.unsqueeze(-1) if of_weights is None else share.unsqueeze(-1) + of_weights
        of_scale = None
        if scale is not None and ctx.needs_input_grad[2]:
            # w log w is 0 at w = 0, but has no derivative there.
            competing = weights.where(weights > 0.0, 1.0) if torch.is_grad_enabled() else weights
            of_scale = -torch.special.entr(competing).mul_(of_weight).sum(dim=-1) / scale
        gradient = weights * (of_weight * factor)
        if of_score is not None:
            gradient.scatter_(-1, index, of_score.unsqueeze(-1))
        if of_hardest is not None:
            gradient.scatter_add_(-1, weights.argmax(dim=-1, keepdim=True), of_hardest.unsqueeze(-1) * factor)
        return gradient.to(ctx.dtype), None, of_scale

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: KnobValue) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        outputs = _Competition.apply(*_batched(info.batch_size, in_dims, inputs))
        return outputs, (0,) * len(outputs)


class _FusedCompetition(torch.autograd.Function):
    """What `_Competition` is, on a GPU: by Triton kernels that form the weights anew on the way back and so keep none."""

    @staticmethod
    def forward(scores: Tensor, index: Tensor, scale: KnobValue) -> tuple[Tensor, ...]:
        from margin_core.losses import energies_triton

        score, shift, competitors, slope, rival = energies_triton.forward(scores, index, scale)
        return score, shift, competitors, torch.zeros_like(competitors), slope, rival

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, KnobValue], output: tuple[Tensor, ...]) -> None:
        scores, index, scale = inputs
        _, shift, competitors, _, slope, rival = output
        ctx.mark_non_differentiable(shift, slope, rival)
        ctx.number = None if isinstance(scale, Tensor) else scale
        ctx.save_for_backward(scores, index, shift, competitors, slope, rival, scale if isinstance(scale, Tensor) else None)

    @staticmethod
    def backward(ctx: Any, of_score: Tensor, _: None, of_competitors: Tensor, of_hardest: Tensor, *__: None) -> tuple[Tensor | None, ...]:
        from margin_core.losses import energies_triton

        scores, index, shift, competitors, slope, rival, scale = ctx.saved_tensors
        factor = ctx.number if scale is None else scale
        if torch.is_grad_enabled():
            # A gradient of this gradient may be wanted, which the kernels have none of.
            with torch.enable_grad():
                outputs = _Competition.apply(scores, index, factor)
            wanted = [x for x in (scores, scale) if x is not None and x.requires_grad]
            found = torch.autograd.grad(
                (outputs[0], outputs[2], outputs[3]), wanted, (of_score, of_competitors, of_hardest), create_graph=True
            )
            given = dict(zip(map(id, wanted), found, strict=True))
            return given.get(id(scores)), None, given.get(id(scale))
        gradient = energies_triton.backward(scores, index, factor, shift, competitors, rival, of_score, of_competitors, of_hardest)
        return gradient, None, of_competitors * slope if ctx.needs_input_grad[2] else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: KnobValue) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        outputs = _FusedCompetition.apply(*_batched(info.batch_size, in_dims, inputs))
        return outputs, (0,) * len(outputs)


def _batched(size: int, dims: tuple[int | None, ...], values: tuple[KnobValue, ...]) -> list[KnobValue]:
    """The values with the axis that `torch.vmap` maps over as the first of their leading axes."""
    return [
        value if not isinstance(value, Tensor) else value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
        for value, dim in zip(values, dims, strict=True)
    ]


def _is_fused(scores: Tensor) -> bool:
    """Whether the Triton kernels are used: on a GPU, but where torch.compile makes kernels of its own."""
    return (scores.is_cuda or INTERPRETED) and HAS_TRITON and not torch.compiler.is_compiling()


def _set_apart(scores: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of the targets (..., 1), and a widened copy of all (..., K) in which they are too low to compete."""
    others = scores.to(_wide(scores), copy=True, memory_format=torch.contiguous_format)
    own = others.gather(-1, index)
    # Not -inf: where all others are -inf their differences from the highest would be NaN. Its square root leaves room for any scale.
    return own, others.scatter_(-1, index, -math.sqrt(torch.finfo(others.dtype).max))


def _wide(scores: Tensor) -> torch.dtype:
    return torch.promote_types(scores.dtype, torch.float32)


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
