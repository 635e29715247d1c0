"""A family's loss and its gradient in closed form, in one pass over the scores each way.

A family states, as a function of a sample's energies, its loss and the loss's slopes. With the competitors' softmax
p_j = exp(s (x_j - M) - N), j != y, and p_y = 0, the energies' own slopes are the same for all families::

    dN / dx_j = s p_j,   dN / ds = sum_j p_j (x_j - M),   d gap = (x_y - M) ds + s dx_y - dN

so a sample's gradient is the row p times a number, with two entries, the target's and the hardest competitor's, put in after. The
softmax is the one tensor of the scores' size that is made and kept; on an NVIDIA GPU, where Triton kernels form it anew, not even that.

Where more is asked for than a gradient (a gradient of the gradient, or of a knob, or one by `torch.func`), where `torch.compile` makes
kernels of its own, and for tensors of other kinds, the loss is taken of `energies`, which is plain operations of torch throughout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from margin_core.losses.energies import (
    ByConfidence,
    Energies,
    KnobValue,
    class_index,
    cross_entropy_of_gap,
    energies,
    is_eager,
    knob_like,
    masked,
    wide_dtype,
    widen,
)

FEW_DIGITS = {torch.float32: 1e-30, torch.float64: 1e-290}
"""A probability below which the next may have lost digits to underflow."""
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


def closed_form(
    formula: Formula,
    scores: Tensor,
    target: Tensor,
    *knobs: KnobValue,
    scale: KnobValue | ByConfidence = 1.0,
    norms: Tensor | None = None,
    hardest: bool = False,
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

    Raises:
        ValueError: If ``target`` is not integer, has not the shape (...), K < 2, or a knob does not broadcast over (...).
    """
    trained = torch.is_grad_enabled() and any(isinstance(knob, Tensor) and knob.requires_grad for knob in knobs)
    if trained or not is_eager(scores):
        return formula(energies(scores, target, scale, norms), *knobs).loss
    eta, below, above = scale if isinstance(scale, ByConfidence) else (None, scale, None)
    loss: Tensor = _ClosedForm.apply(scores, norms, below, above, formula, target, hardest, eta, *knobs)
    return loss


def cross_entropy(energy: Energies) -> Slopes:
    """-log p_y and its slope -(1 - p_y) by the gap."""
    return Slopes(cross_entropy_of_gap(energy.gap), gap=torch.sigmoid(-energy.gap).neg())


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


class _Known(NamedTuple):
    """What is known of each sample once its scores have been read, each of shape (...) but where it says otherwise."""

    energies: Energies
    scale: KnobValue
    """s, of each sample or one for all."""
    pulls: Tensor | None
    """(..., K): of what a competitor's dN / dx_j is a multiple; from the kernels, the scores."""
    pull: KnobValue
    """That multiple."""
    rival: Tensor | None = None
    """The index of the hardest competitor (..., 1), where it is asked for."""
    lead: Tensor | None = None
    """x_y - M, where the scale may be trained."""
    moment: Tensor | None = None
    """dN / ds, where the scale is trained."""
    shift: Tensor | None = None
    """M, from the kernels."""


class _ClosedForm(torch.autograd.Function):
    """The loss of each sample. The few numbers that its gradient is made of are worked out on the way forward."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        norms: Tensor | None,
        below: KnobValue,
        above: KnobValue | None,
        formula: Formula,
        target: Tensor,
        hardest: bool,
        eta: KnobValue | None,
        *knobs: KnobValue,
    ) -> Tensor:
        index = class_index(scores, target)
        given = below if above is None or eta is None else ByConfidence(eta, below, above)
        read = _read_by_kernels if (scores.is_cuda or INTERPRETED) and HAS_TRITON else _read
        trained = any(ctx.needs_input_grad[2:4])
        known = read(scores, norms, index, given, hardest, trained)
        loss, by_gap, by_score, by_n, by_hardest, by_norm = formula(known.energies, *knobs)
        if loss.shape != target.shape:
            raise ValueError(
                f"knobs must broadcast over the shape {tuple(target.shape)} of target, got a loss of shape {tuple(loss.shape)}"
            )
        by_scale = None
        if by_gap is not None:
            by_score, by_n = _times(by_gap, known.scale), -by_gap
            if known.energies.norm is not None:
                by_score, by_norm = by_score * known.energies.norm, by_score * known.energies.score
            if known.lead is not None and known.moment is not None:
                by_scale = by_gap * (known.lead - known.moment)
        if by_score is None or by_n is None or (trained and by_scale is None):
            raise ValueError("a formula must state its slope by the gap; or by score and competitors, where its scale is not trained")
        if by_hardest is not None:
            by_hardest = _times(by_hardest, 1.0 if known.shift is not None else known.scale)
        slopes = by_score, _times(by_n, known.pull), by_hardest, by_norm, by_scale
        # Tensors are saved, which tells where they were written to since; numbers are kept as they are.
        ctx.numbers = [None if isinstance(x, Tensor) else x for x in (below, above, eta, *knobs)]
        tensors = [x if isinstance(x, Tensor) else None for x in (below, above, eta, *knobs)]
        ctx.save_for_backward(scores, norms, target, index, known.pulls, known.rival, *slopes, *tensors)
        ctx.known, ctx.formula = known._replace(pulls=None, rival=None), formula
        return loss

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor | None, ...]:
        scores, norms, target, index, pulls, rival, *rest = ctx.saved_tensors
        below, above, eta, *knobs = (n if x is None else x for n, x in zip(ctx.numbers, rest[5:], strict=True))
        nothing = [None] * (4 + len(knobs))
        if torch.is_grad_enabled():
            # A gradient of this gradient may be wanted: that of the plain operations, by stand-ins for the inputs, as one of them may
            # have been made of another.
            needed = ctx.needs_input_grad[:4]
            inputs = [x.view_as(x) if n else x for x, n in zip((scores, norms, below, above), needed, strict=True)]
            scale = inputs[2] if above is None else ByConfidence(eta, inputs[2], inputs[3])
            loss = ctx.formula(energies(inputs[0], target, scale, inputs[1]), *knobs).loss
            wanted = [x for x, n in zip(inputs, needed, strict=True) if n]
            found = iter(torch.autograd.grad(loss, wanted, of_loss, create_graph=True, materialize_grads=True) if wanted else [])
            return *(next(found) if n else None for n in needed), *nothing
        of: list[Any] = [None if slope is None else of_loss * slope for slope in rest[:5]]
        of_score, of_n, of_hardest, of_norm, of_scale = of
        of_scores = of_norms = of_below = of_above = None
        if any(ctx.needs_input_grad[:2]):
            gradient = _write(pulls, index, rival, ctx.known, of_score, of_n, of_hardest)
            if norms is not None:
                if ctx.needs_input_grad[1]:
                    of_norms = (gradient * scores).scatter_(-1, index, of_norm.unsqueeze(-1)).to(norms.dtype)
                gradient = gradient.mul_(norms).scatter_(-1, index, of_score.unsqueeze(-1))
            of_scores = gradient.to(scores.dtype)
        if of_scale is not None:
            if above is not None:
                confident = ByConfidence(eta, below, above).reached(ctx.known.lead)
                of_above, of_scale = _of_scale(of_scale.where(confident, 0.0), above), of_scale.where(~confident, 0.0)
            of_below = _of_scale(of_scale, below)
        return of_scores, of_norms, of_below, of_above, *nothing


def _read(scores: Tensor, norms: Tensor | None, index: Tensor, given: KnobValue | ByConfidence, hardest: bool, trained: bool) -> _Known:
    """By a softmax over all classes, which needs no copy of the scores; the target is taken out of it after."""
    if hardest or trained or isinstance(given, ByConfidence) or scores.device.type != "cpu":
        return _read_apart(scores, norms, index, given, hardest, trained)
    product = widen(scores)
    score, norm = product.gather(-1, index).squeeze_(-1), None
    if norms is not None:
        norm, product = norms.gather(-1, index).squeeze_(-1), product * norms
    scale = _scale_at(given, score)
    if isinstance(scale, Tensor) or scale != 1.0:
        # The target's is taken off before they are multiplied, so that a common offset costs no digits.
        product = product - (score if norm is None else score * norm).unsqueeze(-1)
        product.mul_(scale.unsqueeze(-1) if isinstance(scale, Tensor) else scale)
    pulls = product.softmax(dim=-1)
    own = pulls.gather(-1, index).squeeze_(-1)
    pulls.scatter_(-1, index, 0.0)
    total = pulls.sum(dim=-1)
    known = _Known(Energies((own / total).log_(), score, norm=norm), scale, pulls, scale / total)
    enough = torch.minimum(own, total) >= FEW_DIGITS[product.dtype]
    if enough.all():
        return known
    # One leads the other by so much that the other has no digits left, or no number.
    apart = _read_apart(scores, norms, index, given, hardest, trained)
    return apart if enough.ndim < 2 else _batch_by_batch(enough.all(dim=-1, keepdim=True), known, apart)


def _batch_by_batch(choice: Tensor, known: _Known, apart: _Known) -> _Known:
    """Of batches side by side, ``known`` where ``choice`` (..., 1) holds, else ``apart``: the digits of none depend on another."""
    assert known.pulls is not None and apart.pulls is not None and isinstance(known.pull, Tensor)
    gap = torch.where(choice, known.energies.gap, apart.energies.gap)
    pulls = torch.where(choice.unsqueeze(-1), known.pulls, apart.pulls)
    return known._replace(energies=known.energies._replace(gap=gap), pulls=pulls, pull=torch.where(choice, known.pull, apart.pull))


def _read_apart(
    scores: Tensor, norms: Tensor | None, index: Tensor, given: KnobValue | ByConfidence, hardest: bool, trained: bool
) -> _Known:
    """By a softmax over the competitors' leads over the hardest of them, which has all digits whoever leads."""
    leads = scores.to(wide_dtype(scores), copy=True, memory_format=torch.contiguous_format)
    score, norm = leads.gather(-1, index).squeeze_(-1), None
    if norms is not None:
        norm = norms.gather(-1, index).squeeze_(-1)
        leads.mul_(norms)
    leads.scatter_(-1, index, masked(leads.dtype))
    rival = _first_highest(leads)
    shift = leads.gather(-1, rival)
    lead = (score if norm is None else score * norm) - shift.squeeze(-1)
    scale = _scale_at(given, lead)
    if trained or isinstance(scale, Tensor) or scale != 1.0:
        leads.sub_(shift).mul_(scale.unsqueeze(-1) if isinstance(scale, Tensor) else scale)
    pulls = leads.softmax(dim=-1)
    competitors = pulls.gather(-1, rival).squeeze_(-1).log_().neg_()
    # The leads are -inf where a class is out, and 0 times -inf would be NaN.
    moment = leads.mul_(pulls).nansum(dim=-1).div_(scale) if trained else None
    energy = Energies(_times(lead, scale) - competitors, score, competitors, torch.zeros_like(lead) if hardest else None, norm)
    return _Known(energy, scale, pulls, scale, rival, lead, moment)


def _read_by_kernels(
    scores: Tensor, norms: Tensor | None, index: Tensor, given: KnobValue | ByConfidence, hardest: bool, trained: bool
) -> _Known:
    from margin_core.losses import closed_form_triton

    product = scores if norms is None else widen(scores) * norms
    if isinstance(given, ByConfidence):
        score, shift, *_ = closed_form_triton.forward(product, index, 1.0)
        scale: KnobValue = given.at(score - shift)
    else:
        scale = _scale_at(given, scores[..., 0].to(wide_dtype(scores)))
    score, shift, competitors, moment, rival = closed_form_triton.forward(product, index, scale)
    lead, norm = score - shift, None
    if norms is not None:
        score, norm = (x.gather(-1, index).squeeze(-1) for x in (widen(scores), norms))
    energy = Energies(_times(lead, scale) - competitors, score, competitors, torch.zeros_like(lead) if hardest else None, norm)
    return _Known(energy, scale, product, 1.0, rival.unsqueeze(-1), lead, moment if trained else None, shift)


def _write(pulls: Tensor, index: Tensor, rival: Tensor, known: _Known, of_score: Tensor, of_n: Tensor, of_hardest: Tensor | None) -> Tensor:
    """The gradient of the scores, or of their product with the norms, (..., K)."""
    competitors = known.energies.competitors
    if known.shift is not None and competitors is not None:
        from margin_core.losses import closed_form_triton

        of_hardest = torch.zeros_like(of_n) if of_hardest is None else of_hardest
        of_each = rival, of_score, of_n, of_hardest
        return closed_form_triton.backward(pulls, index, known.scale, known.shift, competitors, *of_each)
    gradient = pulls * of_n.unsqueeze(-1)
    if of_hardest is not None:
        gradient.scatter_add_(-1, rival, of_hardest.unsqueeze(-1))
    # Last, since where every competitor is out the target itself is taken for the hardest.
    return gradient.scatter_(-1, index, of_score.unsqueeze(-1))


def _first_highest(values: Tensor) -> Tensor:
    """The index (..., 1) of the highest value, the lowest index where several tie; NumPy finds it several times as fast as torch."""
    if values.device.type == "cpu":
        return torch.from_numpy(values.numpy().argmax(axis=-1, keepdims=True))
    return values.argmax(dim=-1, keepdim=True)


def _scale_at(given: KnobValue | ByConfidence, lead: Tensor) -> KnobValue:
    """The scale of samples that lead by ``lead``: one for all, or of their shape."""
    scale = given.at(lead) if isinstance(given, ByConfidence) else knob_like(given, lead)
    return scale.expand_as(lead) if isinstance(scale, Tensor) else scale


def _of_scale(of_scale: Tensor, scale: KnobValue | None) -> Tensor | None:
    return of_scale.sum_to_size(scale.shape).to(scale.device, scale.dtype) if isinstance(scale, Tensor) else None


def _times(value: Tensor, scale: KnobValue) -> Tensor:
    return value if not isinstance(scale, Tensor) and scale == 1.0 else value * scale
