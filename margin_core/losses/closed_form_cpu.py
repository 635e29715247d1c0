"""The energies of a sample and the gradient of its scores by compiled loops: what `closed_form` uses on a CPU.

As in `closed_form_triton`, forward reads the scores and keeps a few numbers per sample, and backward reads them once more and writes the
gradient. The loops, `closed_form_cpu.c`, are compiled when the package is installed, and run on torch's own threads. Where there is no
compiler, `closed_form` does without them.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from margin_core.losses.energies import Energies, KnobValue, wide_dtype, widen

PARALLEL = 32_768
"""With fewer scores a second thread takes longer to begin than the work."""
KINDS = {torch.float32: "float", torch.float64: "double"}


def _load() -> dict[tuple[str, torch.dtype], Any] | None:
    """The compiled functions by name and type of number, or None where the package was installed without a compiler."""
    path = next(Path(__file__).parent.glob("_closed_form*.so"), None)
    if path is None:
        return None
    library, pointer, whole = ctypes.CDLL(str(path)), ctypes.c_void_p, ctypes.c_int64
    functions = {}
    for name, tensors in (("leads", 2), ("forward", 8), ("backward", 9)):
        for dtype, kind in KINDS.items():
            functions[name, dtype] = function = getattr(library, f"{name}_{kind}")
            # Scores and their rows and classes, targets, the scales or the one for all, tensors of each sample, threads.
            function.argtypes = [pointer, whole, whole, pointer, pointer, ctypes.c_double, *[pointer] * tensors, ctypes.c_int]
    return functions


FUNCTIONS = _load()


def leads(scores: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The target's score and the highest of its competitors', each of shape (...); arguments and errors as of `forward`."""
    score, shift = scores.new_empty((2, *scores.shape[:-1]), dtype=wide_dtype(scores)).unbind()
    _call("leads", scores, index, 1.0, score, shift)
    return score, shift


def forward(
    scores: Tensor, index: Tensor, scale: KnobValue, *, moment: bool, rival: bool
) -> tuple[Energies, Tensor, Tensor | None, Tensor | None]:
    """The energies of each sample, the shift M that they are relative to, dN / ds, and the hardest competitor's index.

    Args:
        scores: (..., K).
        index: The targets (..., 1).
        scale: s, a number or a tensor (...).
        moment: Whether dN / ds is asked for; else None is in its place.
        rival: Likewise the hardest competitor.

    Raises:
        IndexError: If a target is no class.
    """
    score, competitors, gap, plain, missing, shift, *more = scores.new_empty(
        (6 + moment, *scores.shape[:-1]), dtype=wide_dtype(scores)
    ).unbind()
    slope = more[0] if moment else None
    place = torch.empty(shift.shape, dtype=torch.int64) if rival else None
    _call("forward", scores, index, scale, score, competitors, gap, plain, missing, shift, slope, place)
    return Energies(gap, plain, missing, score, competitors), shift, slope, place


def backward(
    scores: Tensor, index: Tensor, scale: KnobValue, shift: Tensor, competitors: Tensor, rival: Tensor | None, *slopes: Tensor | None
) -> Tensor:
    """The gradient (..., K) of the scores, float32 or wider.

    Args:
        scores: (..., K).
        index: The targets (..., 1).
        scale: s, a number or a tensor (...).
        shift, competitors, rival: Of each sample (...), as `forward` gave them.
        *slopes: Of each sample (...): the gradient of its loss, and the loss's slopes by the gap, or else by score and competitors,
            and, if there is one, by the hardest competitor.
    """
    gradient = torch.empty(scores.shape, dtype=wide_dtype(scores))
    each = (None if slope is None else slope.to(gradient.dtype).expand(shift.shape).contiguous() for slope in slopes)
    _call("backward", scores, index, scale, shift, competitors, rival, *each, gradient)
    return gradient


def _call(name: str, scores: Tensor, index: Tensor, scale: KnobValue, *tensors: Tensor | None) -> None:
    assert FUNCTIONS is not None
    scores, index = widen(scores).contiguous(), index.contiguous()
    scales, number = (scale.contiguous(), 0.0) if isinstance(scale, Tensor) else (None, scale)
    first, targets, each, *pointers = (None if x is None else x.data_ptr() for x in (scores, index, scales, *tensors))
    threads = torch.get_num_threads() if scores.numel() > PARALLEL else 1
    if not FUNCTIONS[name, scores.dtype](first, index.numel(), scores.shape[-1], targets, each, number, *pointers, threads):
        raise IndexError(f"target must hold class indices from 0 to {scores.shape[-1] - 1}")
