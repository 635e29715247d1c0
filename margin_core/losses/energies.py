"""The quantities that every family's formula is written in: the target's score and the energy of its competitors.

A formula is a function of a few numbers per sample; what is of the size of the scores, those numbers and the gradient that flows back
from them, is done here, once, in closed form. So a family costs about as much as cross-entropy, and keeps its digits: all energies are
taken relative to the hardest competitor's score.
"""

from __future__ import annotations

import inspect
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


NEXT_TO_NOTHING = -80.0
"""The logarithm of a weight that no sum of weights notices, whose exponential is not so small that processors take the long way."""

HAS_TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


class Energies(NamedTuple):
    """Of each sample, each of shape (...), float32 or wider."""

    gap: Tensor
    """t - N, the target's lead t = s (x_y - M) over the energy of its competitors: the logit of p_y."""
    score: Tensor
    """x_y, the target's score as it is."""
    shift: Tensor
    """M = max_{j != y} x_j, which energies are relative to; a constant, no gradient flows through it."""
    competitors: Tensor
    """N = log sum_{j != y} exp(s (x_j - M)), the energy of the competitors: 0 to log(K - 1)."""
    hardest: Tensor
    """s (M - M): 0, but gradient flows through it to the hardest competitor."""


def energies(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Energies:
    """The energies of ``scores`` (..., K) at the ``scale`` s > 0 for integer ``target`` (...).

    The gradient of the maximum goes to one competitor, that of the lowest index where several tie or are so close that their
    probabilities do. A score of -inf takes its class out of the competition; where all competitors are out, the target wins by far.
    Half precision is widened to float32.

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), or K < 2.

    Example:
        >>> e = energies(torch.tensor([3.0, 1.0, 1.0]), torch.tensor(0))
        >>> round(e.competitors.item(), 4), round(e.gap.item(), 4)
        (0.6931, 1.3069)
    """
    index = _class_index(scores, target)
    if isinstance(scale, Tensor):
        scale = scale.to(scores.device, _wide(scores)).expand(target.shape)
    competition = _FusedCompetition if _is_fused(scores) else _Competition
    return Energies(*competition.apply(scores, index, scale)[:5])


def target_gap(scores: Tensor, target: Tensor, scale: KnobValue = 1.0) -> Tensor:
    """The gap t - N between the target and the energy of its competitors, of ``scores`` times ``scale``: the logit of p_y."""
    return energies(scores, target, scale).gap


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


def _signed(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its signature worked out once: `torch.autograd.Function.apply` asks for it at every call."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


class _Competition(torch.autograd.Function):
    """The energies of each sample, in one pass over the scores, and their gradient in one pass back.

    With the weights w_j = exp(s (x_j - M)), j != y, and next to no w_y, N = log sum_j w_j and so::

        dN / dx_j = s w_j e^{-N},   dN / ds = e^{-N} sum_j w_j (x_j - M)

    The gradient of a sample is the row w times a number, with the targets' and the hardest competitor's entries put in after. The
    weights are the one tensor of the scores' size that is kept. They are an output, so that the gradient has a gradient itself.
    """

    @staticmethod
    @_signed
    def forward(scores: Tensor, index: Tensor, scale: KnobValue) -> tuple[Tensor | None, ...]:
        own, weights = _set_apart(scores, index)
        score = own.squeeze(-1)
        shift = weights.amax(dim=-1)
        weights.sub_(shift.unsqueeze(-1))
        moment = None
        if isinstance(scale, Tensor):
            # exp is 0 there in every precision, and 0 times -inf would be NaN.
            leads = weights.mul_(scale.unsqueeze(-1)).clamp_min_(-1e4).scatter_(-1, index, NEXT_TO_NOTHING)
            weights = leads.exp()
            moment = leads.mul_(weights).sum(dim=-1)
        else:
            if scale != 1.0:
                weights.mul_(scale)
            weights.scatter_(-1, index, NEXT_TO_NOTHING).exp_()
        # The hardest competitor's weight is 1, so this is below 0 only where every competitor is out.
        competitors = weights.sum(dim=-1).log_().clamp_min_(0.0)
        gap = (score - shift).mul_(scale).sub_(competitors)
        return gap, score, shift, competitors, torch.zeros_like(gap), weights, moment

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, KnobValue], output: tuple[Tensor, ...]) -> None:
        scores, index, scale = inputs
        _, score, shift, competitors, _, weights, moment = output
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(constant for constant in (shift, moment) if constant is not None))
        ctx.dtype = scores.dtype
        if isinstance(scale, Tensor):
            ctx.save_for_backward(index, competitors, weights, scale, score, shift, moment)
        else:
            ctx.number = scale
            ctx.save_for_backward(index, competitors, weights)

    @staticmethod
    def backward(
        ctx: Any,
        of_gap: Tensor | None,
        of_score: Tensor | None,
        _: None,
        of_competitors: Tensor | None,
        of_hardest: Tensor | None,
        of_weights: Tensor | None,
        __: None,
    ) -> tuple[Tensor | None, ...]:
        index, competitors, weights, *scaled = ctx.saved_tensors
        scale = scaled[0] if scaled else ctx.number
        of_score, of_competitors = _through_gap(of_gap, of_score, of_competitors, scale)
        # dL / dw_j, one number for each sample unless a second derivative is under way.
        share = torch.zeros_like(competitors) if of_competitors is None else of_competitors * (-competitors).exp()
        of_weight = share.unsqueeze(-1) if of_weights is None else share.unsqueeze(-1) + of_weights
        rival = None if of_hardest is None else _first_of_weight_one(weights.detach())
        gradient = weights * (of_weight * scale.unsqueeze(-1) if scaled else of_weight * scale)
        # In place but where gradients of the gradient are recorded, or mapped by torch.vmap, which knows the others only.
        put, add = (Tensor.scatter, Tensor.scatter_add) if torch.is_grad_enabled() else (Tensor.scatter_, Tensor.scatter_add_)
        if rival is not None:
            gradient = add(gradient, -1, rival, (of_hardest * scale).unsqueeze(-1))
        # Last, since where every competitor is out the target itself is taken for the hardest.
        gradient = put(gradient, -1, index, torch.zeros_like(index, dtype=weights.dtype) if of_score is None else of_score.unsqueeze(-1))
        of_scale = None
        if scaled and ctx.needs_input_grad[2]:
            _, score, shift, moment = scaled
            if torch.is_grad_enabled():
                # Differentiably: the sum of w log w, which is 0 at w = 0 but has no derivative there.
                of_scale = -(of_weight * torch.special.entr(weights.where(weights > 0.0, 1.0))).sum(dim=-1) / scale
            else:
                of_scale = share * moment / scale
            if of_gap is not None:
                of_scale = of_scale + of_gap * (score - shift)
        return gradient.to(ctx.dtype), None, of_scale

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: KnobValue) -> tuple[tuple[Tensor | None, ...], tuple[int | None, ...]]:
        outputs = _Competition.apply(*_batched(info.batch_size, in_dims, inputs))
        return outputs, tuple(None if output is None else 0 for output in outputs)


class _FusedCompetition(torch.autograd.Function):
    """What `_Competition` is, on a GPU: by Triton kernels that form the weights anew on the way back and so keep none."""

    @staticmethod
    @_signed
    def forward(scores: Tensor, index: Tensor, scale: KnobValue) -> tuple[Tensor, ...]:
        from margin_core.losses import energies_triton

        score, shift, competitors, slope, rival = energies_triton.forward(scores, index, scale)
        gap = (score - shift) * scale - competitors
        return gap, score, shift, competitors, torch.zeros_like(gap), slope, rival

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, KnobValue], output: tuple[Tensor, ...]) -> None:
        scores, index, scale = inputs
        _, score, shift, competitors, _, slope, rival = output
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(shift, slope, rival)
        ctx.number = None if isinstance(scale, Tensor) else scale
        ctx.save_for_backward(scores, index, score, shift, competitors, slope, rival, scale if isinstance(scale, Tensor) else None)

    @staticmethod
    def backward(
        ctx: Any,
        of_gap: Tensor | None,
        of_score: Tensor | None,
        _: None,
        of_competitors: Tensor | None,
        of_hardest: Tensor | None,
        *__: None,
    ) -> tuple[Tensor | None, ...]:
        from margin_core.losses import energies_triton

        scores, index, score, shift, competitors, slope, rival, scale = ctx.saved_tensors
        scale = ctx.number if scale is None else scale
        if torch.is_grad_enabled():
            # A gradient of this gradient may be wanted, which the kernels have none of.
            outputs = _Competition.apply(scores, index, scale)
            given = [
                (out, of)
                for out, of in zip(outputs[:5], (of_gap, of_score, None, of_competitors, of_hardest), strict=True)
                if of is not None
            ]
            wanted = [x for x, needed in ((scores, ctx.needs_input_grad[0]), (scale, ctx.needs_input_grad[2])) if needed]
            found = iter(torch.autograd.grad([out for out, _ in given], wanted, [of for _, of in given], create_graph=True))
            return next(found) if ctx.needs_input_grad[0] else None, None, next(found) if ctx.needs_input_grad[2] else None
        through_score, through_competitors = _through_gap(of_gap, of_score, of_competitors, scale)
        of_each = (x if x is not None else torch.zeros_like(score) for x in (through_score, through_competitors, of_hardest))
        gradient = energies_triton.backward(scores, index, scale, shift, competitors, rival, *of_each)
        of_scale = None
        if ctx.needs_input_grad[2]:
            of_scale = slope * (0.0 if through_competitors is None else through_competitors)
            of_scale = of_scale if of_gap is None else of_scale + of_gap * (score - shift)
        return gradient, None, of_scale

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: KnobValue) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        outputs = _FusedCompetition.apply(*_batched(info.batch_size, in_dims, inputs))
        return outputs, (0,) * len(outputs)


def _through_gap(
    of_gap: Tensor | None, of_score: Tensor | None, of_competitors: Tensor | None, scale: KnobValue
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of score and N, with what comes to them by the gap s (x_y - M) - N."""
    if of_gap is None:
        return of_score, of_competitors
    through_score = of_gap * scale
    return (
        through_score if of_score is None else of_score + through_score,
        -of_gap if of_competitors is None else of_competitors - of_gap,
    )


def _first_of_weight_one(weights: Tensor) -> Tensor:
    """The index (..., 1) of the first weight that is 1, as the highest are, or 0; argmax takes several times as long as these passes."""
    classes = weights.shape[-1]
    from_the_end = torch.arange(classes, 0, -1, dtype=weights.dtype, device=weights.device)
    return (classes - weights.floor().mul_(from_the_end).amax(dim=-1, keepdim=True).long()) % classes


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
    wide = scores.to(_wide(scores))
    # Not -inf: where all others are -inf their differences from the highest would be NaN. Its square root leaves room for any scale.
    return wide.gather(-1, index), wide.scatter(-1, index, -math.sqrt(torch.finfo(wide.dtype).max))


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
