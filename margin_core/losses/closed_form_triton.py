"""The energies of a sample and the gradient of its scores as Triton kernels: what `closed_form` uses on a GPU.

Forward reads the scores once and keeps a few numbers per sample; backward reads them once more and writes the gradient. So nothing of
the scores' size is kept. The mathematics is that of `closed_form`; with `TRITON_INTERPRET=1` it runs without a GPU.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST_BLOCK = 8192
"""Scores of one sample that a program holds at a time."""


def forward(scores: Tensor, index: Tensor, scale: float | Tensor) -> tuple[Tensor, ...]:
    """Score, shift, energy of the competitors, dN / ds and the hardest competitor's index of each sample, each of shape (...).

    Args:
        scores: (..., K).
        index: The targets (..., 1); the score of one that is no class is NaN.
        scale: s, a number or a tensor (...).
    """
    rows = _rows(scores)
    samples, classes = rows.shape
    wide = torch.promote_types(scores.dtype, torch.float32)
    numbers = [torch.empty(samples, dtype=wide, device=rows.device) for _ in range(4)]
    rival = torch.empty(samples, dtype=torch.int64, device=rows.device)
    if samples > 0:
        floor = -math.sqrt(torch.finfo(wide).max)
        with torch.cuda.device_of(rows):  # type: ignore[no-untyped-call]
            _forward[(samples,)](
                rows, rows.stride(0), classes, index.reshape(-1), *_scales(scale, rows), *numbers, rival, FLOOR=floor, **_options(rows)
            )
    return tuple(value.view(scores.shape[:-1]) for value in (*numbers, rival))


def backward(scores: Tensor, index: Tensor, scale: float | Tensor, *of_each: Tensor) -> Tensor:
    """The gradient (..., K) of the scores, of their dtype.

    Args:
        scores: (..., K).
        index: The targets (..., 1).
        scale: s, a number or a tensor (...).
        *of_each: Of each sample, (...): shift, energy of the competitors and the hardest competitor's index, as `forward` gave them,
            and the gradients of the score, of the competitors' energy and of the hardest competitor.
    """
    rows = _rows(scores)
    samples, classes = rows.shape
    gradient = torch.empty(samples, classes, dtype=scores.dtype, device=rows.device)
    if samples > 0:
        options, each = _options(rows), [x.reshape(-1) for x in of_each]
        with torch.cuda.device_of(rows):  # type: ignore[no-untyped-call]
            _backward[(samples, triton.cdiv(classes, options["BLOCK"]))](
                rows, rows.stride(0), classes, index.reshape(-1), *_scales(scale, rows), *each, gradient, **options
            )
    return gradient.view(scores.shape)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    scores, stride, classes, targets, scales, scale_stride, score, shift, competitors, slope, rival,
    FLOOR: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(targets + row)
    s = tl.load(scales + row * scale_stride)
    own = tl.full((), float("nan"), WIDE)
    top = tl.full((), FLOOR, WIDE)
    best = tl.full((), 0, tl.int64)
    total = tl.full((), 0.0, WIDE)
    moment = tl.full((), 0.0, WIDE)
    for start in range(0, classes, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(scores + row * stride + column, mask=column < classes, other=float("-inf")).to(WIDE)
        if (y >= start) & (y < start + BLOCK) & (y < classes):
            own = tl.sum(tl.where(column == y, x, 0.0))
        x = tl.where(column == y, float("-inf"), x)
        highest, place = tl.max(x, axis=0, return_indices=True, return_indices_tie_break_left=True)
        if highest > top:
            # What was summed relative to the hardest competitor so far: each x - top falls by highest - top.
            step = tl.exp(s * (top - highest))
            moment = (moment + (top - highest) * total) * step
            total = total * step
            top = highest
            best = start + place.to(tl.int64)
        lead = x - top
        weight = tl.exp(s * lead)
        total += tl.sum(weight)
        moment += tl.sum(weight * tl.where(weight > 0.0, lead, 0.0))
    # The hardest competitor's weight is 1, so the sum is 1 at least, but where every competitor is out.
    total = tl.where(total < 1.0, 1.0, total)
    tl.store(score + row, own)
    tl.store(shift + row, top)
    tl.store(competitors + row, tl.log(total))
    tl.store(slope + row, moment / total)
    tl.store(rival + row, best)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    scores, stride, classes, targets, scales, scale_stride, shift, competitors, rival, of_score, of_competitors, of_hardest, gradient,
    BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    s = tl.load(scales + row * scale_stride)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < classes
    x = tl.load(scores + row * stride + column, mask=inside, other=float("-inf")).to(WIDE)
    y = tl.load(targets + row)
    x = tl.where(column == y, float("-inf"), x)
    g = s * tl.load(of_competitors + row) * tl.exp(s * (x - tl.load(shift + row)) - tl.load(competitors + row))
    g = tl.where(column == tl.load(rival + row), g + s * tl.load(of_hardest + row), g)
    g = tl.where(column == y, tl.load(of_score + row), g)
    tl.store(gradient + row * classes + column, g, mask=inside)


def _rows(scores: Tensor) -> Tensor:
    rows = scores.reshape(-1, scores.shape[-1])
    return rows if rows.stride(1) == 1 else rows.contiguous()


def _scales(scale: float | Tensor, rows: Tensor) -> tuple[Tensor, int]:
    """The scales on the rows' device, and how far one row's is from the next."""
    if isinstance(scale, Tensor):
        return scale.reshape(-1), 1
    return torch.full((1,), scale, dtype=torch.promote_types(rows.dtype, torch.float32), device=rows.device), 0


def _options(rows: Tensor) -> dict[str, Any]:
    block = min(triton.next_power_of_2(rows.shape[1]), LARGEST_BLOCK)
    wide = tl.float64 if rows.dtype == torch.float64 else tl.float32
    return {"BLOCK": block, "WIDE": wide, "num_warps": 4 if block < 2048 else 8 if block < 8192 else 16}
