"""A family's loss and its gradient in closed form, in one pass over the scores each way.

A family states, as a function of a sample's energies, its loss and the loss's slopes. With the competitors' softmax
p_j = exp(s (x_j - M) - N), j != y, and p_y = 0, the energies' own slopes are the same for all families::

    dN / dx_j = s p_j,   dN / ds = sum_j p_j (x_j - M),   d gap = (x_y - M) ds + s dx_y - dN

so a sample's gradient is the row p times a number, with two entries, the target's and the hardest competitor's, put in after. The
softmax is the one tensor of the scores' size that is made and kept; where compiled loops form it anew, Triton's on an NVIDIA GPU or those
of `closed_form_cpu`, not even that.

Where more is asked for than a gradient (a gradient of the gradient, or of a knob, or one by `torch.func`), where `torch.compile` makes
kernels of its own, and for tensors of other kinds, the loss is taken of `energies`, which is plain operations of torch throughout.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from margin_core.losses import closed_form_cpu
from margin_core.losses.energies import (
    ByConfidence,
    Energies,
    KnobValue,
    at_least_smallest,
    class_index,
    classes_of,
    cross_entropy_of_gap,
    energies,
    energies_of,
    is_eager,
    knob_like,
    masked,
    wide_dtype,
    widen,
)

HAS_TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


class Slopes(NamedTuple):
    """A family's loss of each sample and its derivatives, each of shape (...): that by the gap, or those by what the gap is made of."""

    loss: Tensor
    gap: Tensor | None = None
    """dL / dgap, of a loss that depends on the scores by the gap alone."""
    score: Tensor | None = None
    """dL / dx_y of another loss, where the energy of the competitors is constant."""
    competitors: Tensor | None = None
    """dL / dN of another loss, where the target's score is constant."""
    hardest: Tensor | None = None
    """dL / dm of another loss, if it depends on the hardest competitor in particular."""
    norm: Tensor | None = None
    """dL / dn_y of another loss, where each class has a norm."""


Formula: TypeAlias = Callable[..., Slopes]
"""Of the energies and the knobs, the loss and its slopes; the loss itself is differentiable."""
Compiled: TypeAlias = tuple[str, *tuple[KnobValue, ...]]
"""A formula of `closed_form_cpu.FORMULAS` by its name, and its knobs."""


def closed_form(
    formula: Formula,
    scores: Tensor,
    target: Tensor,
    *knobs: KnobValue,
    scale: KnobValue | ByConfidence = 1.0,
    norms: Tensor | None = None,
    hardest: bool = False,
    compiled: Compiled | None = None,
) -> Tensor:
    """The loss of each sample, ``formula(energies(scores, target, scale), *knobs).loss``, float32 or wider.

    Args:
        formula: The family's loss and slopes. It depends on ``scale`` and ``norms`` by the energies, or has ``scale`` among its knobs too.
        scores: (..., K); half precision is widened to float32.
        target: Class indices (...).
        *knobs: What ``formula`` takes besides, each a number or a tensor that broadcasts over (...).
        scale: s > 0, which the scores are multiplied with.
        norms: (..., K), what the scores are multiplied with besides, each class by its own; float32 or wider.
        hardest: Whether the formula has to do with the energies ``competitors`` and ``hardest``.
        compiled: The same formula among the compiled ones, if it is there.

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), K < 2, or a knob does not broadcast over (...).
    """
    of_knobs = torch.is_grad_enabled() and any(isinstance(knob, Tensor) and knob.requires_grad for knob in knobs)
    if of_knobs or not is_eager(scores):
        return formula(energies(scores, target, scale, norms), *knobs).loss
    eta, below, above, log_unit = scale if isinstance(scale, ByConfidence) else (None, scale, None, None)
    call = _Call(formula, knobs, eta, hardest, compiled)
    has_loops = closed_form_cpu.FUNCTIONS is not None and scores.is_cpu and not INTERPRETED
    loss: Tensor = (_ByLoops if has_loops else _ByTensors).apply(scores, norms, below, above, log_unit, target, call)
    return loss


def cross_entropy(energy: Energies) -> Slopes:
    """-log p_y and its slope -(1 - p_y) by the gap."""
    return Slopes(energy.plain, gap=energy.missing.neg())


def cross_entropy_with(harder: Callable[..., tuple[Tensor, Tensor]]) -> Formula:
    """Cross-entropy in which the target competes with h = ``harder(x_y, *knobs)`` in place of x_y.

    Args:
        harder: Of the targets' scores, float32 or wider, and the knobs: h and its slope dh / dx_y.

    Returns:
        A formula of the energies, the scale s > 0 that these were taken at, and the knobs.
    """

    def formula(energy: Energies, s: KnobValue, *knobs: KnobValue) -> Slopes:
        h, slope = harder(energy.score, *(knob_like(knob, energy.score) for knob in knobs))
        s = knob_like(s, h)
        gap = energy.gap + s * (h - energy.score)
        missing = torch.sigmoid(-gap)
        return Slopes(cross_entropy_of_gap(gap), score=missing * slope * -s, competitors=missing)

    return formula


class _Call(NamedTuple):
    """Those arguments of `closed_form` that get no gradient."""

    formula: Formula
    knobs: tuple[KnobValue, ...]
    eta: KnobValue | None
    hardest: bool
    compiled: Compiled | None


def _scale(below: KnobValue, above: KnobValue | None, log_unit: KnobValue | None, eta: KnobValue | None) -> KnobValue | ByConfidence:
    """The scale: one, or two by confidence."""
    return below if above is None or eta is None else ByConfidence(eta, below, above, log_unit)


def _scale_to_read(scale: KnobValue | ByConfidence, scores: Tensor) -> KnobValue | ByConfidence:
    """The scale without a gradient and of the unit 1; made of plain numbers where it can be, as operations of torch take their time."""
    if not isinstance(scale, ByConfidence) or scale.log_unit is None:
        return scale
    given = scale.below, scale.above, scale.log_unit
    if any(isinstance(x, Tensor) and (x.ndim > 0 or not x.is_cpu) for x in given):
        return scale.in_units_of_one(scores)
    below, above, log_unit = (x.item() if isinstance(x, Tensor) else x for x in given)
    unit = _exp(log_unit)
    return ByConfidence(scale.eta, *(at_least_smallest(x) / unit if unit else math.inf for x in (below, above)))


def _exp(value: float) -> float:
    """Infinite where it is beyond the range, as torch's."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


_SLOPES = "a formula must state its slope by the gap; or by score and competitors, where its scale is not trained"


def _check(slopes: Slopes, target: Tensor, hardest: bool, of_norms: bool, trained: bool) -> None:
    """Raises `ValueError` where a formula's loss has not the shape of ``target``, or its slopes are not those that are needed."""
    if slopes.loss.shape != target.shape:
        raise ValueError(
            f"knobs must broadcast over the shape {tuple(target.shape)} of target, got a loss of shape {tuple(slopes.loss.shape)}"
        )
    if slopes.gap is None and (slopes.score is None or slopes.competitors is None or trained):
        raise ValueError(_SLOPES)
    if slopes.gap is None and ((of_norms and slopes.norm is None) or (slopes.hardest is not None and not hardest)):
        raise ValueError("a formula must state its slope by the norm, where norms are trained; and by the hardest competitor only if asked")


class _ByLoops(torch.autograd.Function):
    """The loss of each sample by compiled loops."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        norms: Tensor | None,
        below: KnobValue,
        above: KnobValue | None,
        log_unit: KnobValue | None,
        target: Tensor,
        call: _Call,
    ) -> Tensor:
        target, trained = classes_of(scores, target), any(ctx.needs_input_grad[2:5])
        scale = _scale_to_read(_scale(below, above, log_unit, call.eta), scores)
        slopes: Sequence[Tensor | None] = ()
        if call.compiled is not None:
            name, *knobs = call.compiled
            stated = closed_form_cpu.FORMULAS[name]
            if trained and "gap" not in stated:
                raise ValueError(_SLOPES)
            (loss,), kept = closed_form_cpu.forward(scores, norms, target, scale, name, knobs, trained=trained, rival="hardest" in stated)
        else:
            own, kept = closed_form_cpu.forward(scores, norms, target, scale, None, (), trained=trained, rival=call.hardest)
            gap, plain, missing, score = own
            energy = Energies(gap, plain, missing, score, kept.number(closed_form_cpu.COMPETITORS))
            if call.hardest:
                energy = energy._replace(hardest=torch.zeros_like(gap))
            if norms is not None:
                energy = energy._replace(norm=_target_of(norms, target.unsqueeze(-1)))
            found = call.formula(energy, *call.knobs)
            _check(found, target, call.hardest, ctx.needs_input_grad[1], trained)
            loss, *slopes = found
        ctx.places = kept.places
        _save(ctx, [scores, norms, target, kept.numbers, kept.rival, *slopes], (below, above, log_unit), call)
        return loss

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor | None, ...]:
        (scores, norms, target, numbers, rival, *slopes), values = _saved(ctx)
        if _is_traced(of_loss):
            return _gradients_by_plain_operations(ctx, scores, norms, target, values, of_loss)
        kept = closed_form_cpu.Kept(numbers, ctx.places, rival)
        of_scores = of_norms = of_below = of_above = of_unit = None
        if any(ctx.needs_input_grad[:2]):
            one_for_all = 0.0 if isinstance(values[0], Tensor) else values[0]
            of_scores, of_norms = closed_form_cpu.backward(
                scores, norms, target, one_for_all, kept, of_loss, slopes or None, of_norms=ctx.needs_input_grad[1]
            )
        if any(ctx.needs_input_grad[2:5]):
            by_gap = slopes[0] if slopes else kept.number(closed_form_cpu.BY_GAP)
            assert by_gap is not None  # forward has seen to it
            of_below, of_above, of_unit = _of_scales(of_loss * by_gap, kept.by_scales(), *values[:3])
        return _of_dtype(of_scores, scores), of_norms, of_below, of_above, of_unit, None, None


class _Known(NamedTuple):
    """What is known of each sample once its scores have been read, each of shape (...) but where it says otherwise."""

    pulls: Tensor
    """(..., K): the competitors' softmax; of Triton's kernels the scores, or their product with the norms."""
    scale: KnobValue
    """s, of each sample or one for all."""
    shift: Tensor
    """M, the score of the hardest competitor."""
    competitors: Tensor
    """N, the energy of the competitors."""
    rival: Tensor
    """The index of the hardest competitor."""
    by_scales: Tensor | None
    """(1, ...): the gap's slope by the scale, where it is trained: x_y - M - dN / ds. (2, ...) of scales by confidence: by the one below
    and by the one above, of each sample one of them 0."""


class _ByTensors(torch.autograd.Function):
    """The loss of each sample by Triton's kernels or torch's softmax, and its slopes by operations on tensors of a number per sample."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        norms: Tensor | None,
        below: KnobValue,
        above: KnobValue | None,
        log_unit: KnobValue | None,
        target: Tensor,
        call: _Call,
    ) -> Tensor:
        index, trained = class_index(scores, target), any(ctx.needs_input_grad[2:5])
        scale = _scale_to_read(_scale(below, above, log_unit, call.eta), scores)
        read = _by_kernels if _has_kernels(scores) else _by_softmax
        energy, known = read(scores, norms, index, scale, call.hardest, trained)
        slopes = call.formula(energy, *call.knobs)
        _check(slopes, target, call.hardest, ctx.needs_input_grad[1], trained)
        ctx.one_scale = None if isinstance(known.scale, Tensor) else known.scale
        tensors = [x if isinstance(x, Tensor) else None for x in known]
        _save(ctx, [scores, norms, target, index, *slopes[1:], *tensors], (below, above, log_unit), call)
        return slopes.loss

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor | None, ...]:
        (scores, norms, target, index, *rest), values = _saved(ctx)
        if _is_traced(of_loss):
            return _gradients_by_plain_operations(ctx, scores, norms, target, values, of_loss)
        slopes, known = rest[:5], _Known(*rest[5:])
        if ctx.one_scale is not None:
            known = known._replace(scale=ctx.one_scale)
        of_scores = of_norms = of_below = of_above = of_unit = None
        if any(ctx.needs_input_grad[:2]):
            of_scores, of_norms = _write(scores, norms, known, index, of_loss, *slopes, of_norms=ctx.needs_input_grad[1])
        if known.by_scales is not None:
            of_below, of_above, of_unit = _of_scales(of_loss * slopes[0], known.by_scales, *values[:3])
        return _of_dtype(of_scores, scores), of_norms, of_below, of_above, of_unit, None, None


def _save(ctx: Any, tensors: Sequence[Tensor | None], scales: Sequence[KnobValue | None], call: _Call) -> None:
    """Keep for the way back: tensors so that it is told where they were written to since, and numbers as they are."""
    values = (*scales, call.eta, *call.knobs)
    ctx.formula, ctx.values, ctx.count = call.formula, values, len(tensors)
    if any(isinstance(x, Tensor) for x in values):
        tensors = [*tensors, *(x if isinstance(x, Tensor) else None for x in values)]
        ctx.values = [None if isinstance(x, Tensor) else x for x in values]
    ctx.save_for_backward(*tensors)


def _saved(ctx: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """What was kept: the tensors, and both scales, their unit, eta and the knobs."""
    tensors = ctx.saved_tensors
    if len(tensors) == ctx.count:
        return tensors, ctx.values
    return tensors[: ctx.count], [n if x is None else x for n, x in zip(ctx.values, tensors[ctx.count :], strict=True)]


def _is_traced(of_loss: Tensor) -> bool:
    """Whether a gradient of the gradient may be wanted, or this one is traced or mapped."""
    return torch.is_grad_enabled() or not is_eager(of_loss)


def _gradients_by_plain_operations(
    ctx: Any, scores: Tensor, norms: Tensor | None, target: Tensor, values: Sequence[Any], of_loss: Tensor
) -> tuple[Tensor | None, ...]:
    """Those of the plain operations, by stand-ins for the inputs, as one of them may have been made of another."""
    *scales, eta, knobs = *values[:4], values[4:]
    needed, twice = ctx.needs_input_grad[:5], torch.is_grad_enabled()
    with torch.enable_grad():
        inputs: list[Any] = [x.view_as(x) if n else x for x, n in zip((scores, norms, *scales), needed, strict=True)]
        below, above, log_unit = inputs[2:]
        loss = ctx.formula(energies(inputs[0], target, _scale(below, above, log_unit, eta), inputs[1]), *knobs).loss
    wanted = [x for x, n in zip(inputs, needed, strict=True) if n]
    found = iter(torch.autograd.grad(loss, wanted, of_loss, create_graph=twice, materialize_grads=True) if wanted else [])
    return *(next(found) if n else None for n in needed), None, None


def _has_kernels(scores: Tensor) -> bool:
    """Whether Triton's kernels read and write these scores."""
    return HAS_TRITON and (scores.is_cuda or INTERPRETED)


def _by_kernels(
    scores: Tensor, norms: Tensor | None, index: Tensor, given: KnobValue | ByConfidence, hardest: bool, trained: bool
) -> tuple[Energies, _Known]:
    from margin_core.losses import closed_form_triton

    product = scores if norms is None else widen(scores) * norms
    if isinstance(given, ByConfidence):
        score, shift, *_ = closed_form_triton.forward(product, index, 1.0)
        scale = _scale_at(given, score - shift)
    else:
        scale = _scale_at(given, scores[..., 0].to(wide_dtype(scores)))
    score, shift, competitors, moment, rival = closed_form_triton.forward(product, index, scale)
    lead, norm = score - shift, None
    if norms is not None:
        score, norm = (_target_of(x, index) for x in (widen(scores), norms))
    energy = energies_of(lead * scale - competitors, score, competitors, torch.zeros_like(lead) if hardest else None, norm)
    return energy, _Known(product, scale, shift, competitors, rival, _by_scales(lead - moment if trained else None, given, lead))


def _by_softmax(
    scores: Tensor, norms: Tensor | None, index: Tensor, given: KnobValue | ByConfidence, hardest: bool, trained: bool
) -> tuple[Energies, _Known]:
    """By a softmax over the competitors' leads over the hardest of them, which has all digits whoever leads."""
    leads = scores.to(wide_dtype(scores), copy=True, memory_format=torch.contiguous_format)
    score, norm = leads.gather(-1, index).squeeze_(-1), None
    if norms is not None:
        norm = norms.gather(-1, index).squeeze_(-1)
        leads.mul_(norms)
    leads.scatter_(-1, index, masked(leads.dtype))
    rival = leads.argmax(dim=-1, keepdim=True)
    shift = leads.gather(-1, rival)
    lead = (score if norm is None else score * norm) - shift.squeeze(-1)
    scale = _scale_at(given, lead)
    if trained or isinstance(scale, Tensor) or scale != 1.0:
        leads.sub_(shift).mul_(scale.unsqueeze(-1) if isinstance(scale, Tensor) else scale)
    pulls = leads.softmax(dim=-1)
    competitors = pulls.gather(-1, rival).squeeze_(-1).log_().neg_()
    # The leads are -inf where a class is out, and 0 times -inf would be NaN.
    by_scale = lead - leads.mul_(pulls).nansum(dim=-1).div_(scale) if trained else None
    energy = energies_of(lead * scale - competitors, score, competitors, torch.zeros_like(lead) if hardest else None, norm)
    return energy, _Known(pulls, scale, shift.squeeze(-1), competitors, rival.squeeze(-1), _by_scales(by_scale, given, lead))


def _write(
    scores: Tensor,
    norms: Tensor | None,
    known: _Known,
    index: Tensor,
    of_loss: Tensor,
    by_gap: Tensor | None,
    by_score: Tensor | None,
    by_competitors: Tensor | None,
    by_hardest: Tensor | None,
    by_norm: Tensor | None,
    *,
    of_norms: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gradients of the scores and of the norms, (..., K)."""
    pulls, scale, shift, competitors, rival, *_ = known
    if by_gap is not None:
        by_score, by_competitors = by_gap * scale, -by_gap
        if norms is not None:
            by_score, by_norm = (by_score * _target_of(x, index) for x in (norms, widen(scores)))
    assert by_score is not None and by_competitors is not None
    if _has_kernels(pulls):
        from margin_core.losses import closed_form_triton

        of_hardest = torch.zeros_like(shift) if by_hardest is None else of_loss * by_hardest
        slopes = rival, of_loss * by_score, of_loss * by_competitors, of_hardest
        gradient = closed_form_triton.backward(pulls, index, scale, shift, competitors, *slopes)
        if norms is None:
            return gradient, None
    else:
        gradient = pulls * (of_loss * scale * by_competitors).unsqueeze(-1)
        if by_hardest is not None:
            gradient.scatter_add_(-1, rival.unsqueeze(-1), (of_loss * scale * by_hardest).unsqueeze(-1))
    # The target's entries last: where every competitor is out the target itself is taken for the hardest, and its score and its norm may
    # each be in the loss by itself.
    gradient_of_norms = None
    if norms is not None:
        if of_norms and by_norm is not None:
            gradient_of_norms = (gradient * scores).scatter_(-1, index, (of_loss * by_norm).unsqueeze(-1)).to(norms.dtype)
        gradient = gradient.mul_(norms)
    return gradient.scatter_(-1, index, (of_loss * by_score).unsqueeze(-1)), gradient_of_norms


def _scale_at(given: KnobValue | ByConfidence, lead: Tensor) -> KnobValue:
    """The scale of samples that lead by ``lead``: one for all, or of their shape."""
    scale = given.at(lead) if isinstance(given, ByConfidence) else knob_like(given, lead)
    return scale.expand_as(lead) if isinstance(scale, Tensor) else scale


def _by_scales(by_scale: Tensor | None, given: KnobValue | ByConfidence, lead: Tensor) -> Tensor | None:
    """The gap's slopes by the only scale, or by both."""
    if by_scale is None:
        return None
    if not isinstance(given, ByConfidence):
        return by_scale.unsqueeze(0)
    reached = given.reached(lead)
    return torch.stack([by_scale.where(~reached, 0.0), by_scale.where(reached, 0.0)])


def _of_scales(
    of_gap: Tensor, by_scales: Tensor, below: KnobValue, above: KnobValue | None, log_unit: KnobValue | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of the scales and of their unit's logarithm, of those that are tensors."""
    of_gap = of_gap.to(by_scales.dtype)
    if any(isinstance(x, Tensor) and x.ndim > 0 for x in (below, above, log_unit)):
        slopes = of_gap * by_scales
    else:
        slopes = by_scales.reshape(len(by_scales), -1).mv(of_gap.reshape(-1))
    if log_unit is not None:
        # In units they are in float64, as only its range has room for every unit.
        slopes = slopes.double() / (log_unit.double().exp() if isinstance(log_unit, Tensor) else _exp(log_unit))
    each = slopes.unbind()
    of_unit = None
    if isinstance(log_unit, Tensor) and above is not None:
        of_unit = _summed(-(each[0] * at_least_smallest(below) + each[1] * at_least_smallest(above)), log_unit)
    return _summed(each[0], below), None if above is None else _summed(each[1], above), of_unit


def _summed(gradient: Tensor, number: KnobValue | None) -> Tensor | None:
    """What is left of a gradient for a number that all samples share, or that some do."""
    if not isinstance(number, Tensor):
        return None
    if gradient.shape != number.shape:
        gradient = gradient.sum_to_size(number.shape)
    return gradient.to(number.device, number.dtype)


def _target_of(values: Tensor, index: Tensor) -> Tensor:
    """Of values of each class those of the targets (...)."""
    return values.gather(-1, index).squeeze(-1)


def _of_dtype(gradient: Tensor | None, like: Tensor) -> Tensor | None:
    return gradient if gradient is None or gradient.dtype is like.dtype else gradient.to(like.dtype)
