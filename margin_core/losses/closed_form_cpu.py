"""Losses and their gradients by compiled loops: what `closed_form` uses on a CPU.

Forward reads the scores and keeps a few numbers per sample, and backward reads them once more and writes the gradient, as in
`closed_form_triton`. The loops, `closed_form_cpu.c`, are compiled when the package is installed, and run on torch's own threads. Of most
families they hold the formula too, since a few hundred numbers cost torch more to begin with than to work out. Where there is no
compiler, `closed_form` does without them.
"""

from __future__ import annotations

import ctypes
import sysconfig
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from margin_core.losses.energies import ByConfidence, KnobValue, wide_dtype

PARALLEL = 32_768
"""With fewer scores a second thread takes longer to begin than the work."""
KINDS = {torch.float32: "float", torch.float64: "double"}
FORMULAS = {
    "cross_entropy": ("gap",),
    "gds": ("score", "competitors", "hardest"),
    "gds_detached": ("score", "competitors"),
    "gradient_decay": ("gap",),
    "focal": ("gap",),
    "gce": ("gap",),
    "truncated_ce": ("gap",),
    "lm_softmax": ("gap",),
    "gm_softmax": ("score", "competitors"),
    "margin": ("score", "competitors"),
    "l_softmax": ("score", "competitors", "norm"),
}
"""The formulas that are compiled, in the order of the C file, and what they state their slopes by."""
ASKED = {
    name: (True, *(slope in slopes for slope in ("gap", "score", "competitors", "hardest", "norm"))) for name, slopes in FORMULAS.items()
}
ORDER = {name: number for number, name in enumerate(FORMULAS)}
VERSION = 1
"""That of `closed_form_version` in the C file, which changes with it."""
GIVEN, FOUND = 11, 11
"""How many numbers a sample is given at most: two scales, the confidence that chooses, and eight knobs; and how many are found of it."""
Doubles, Steps, Pointers, Results = ctypes.c_double * GIVEN, ctypes.c_int64 * GIVEN, ctypes.c_void_p * GIVEN, ctypes.c_void_p * FOUND


class Found(NamedTuple):
    """What is known of each sample, each of shape (...)."""

    shift: Tensor
    """M, the score of the hardest competitor."""
    competitors: Tensor
    """N, the energy of the competitors."""
    scale: Tensor | None
    """s, where it is not one number for all."""
    by_below: Tensor | None
    """Of a scale that is trained, the gap's slope by it."""
    by_above: Tensor | None
    """The same of the scale above, of scales by confidence."""
    rival: Tensor | None
    """The index of the hardest competitor, where it is asked for."""
    numbers: list[Any]
    """The energies gap, plain, missing and score; or by a formula the loss, and its slopes by gap, score, competitors, hardest
    competitor and norm, None where it does not state one."""


_LOSS = 5
"""Where the loss or the energies begin in what is found."""


def _load() -> dict[tuple[str, torch.dtype], Any] | None:
    """The compiled functions by name and type of number, or None where the package was installed without a compiler."""
    path = Path(__file__).with_name(f"_closed_form{sysconfig.get_config_var('EXT_SUFFIX')}")
    if not path.exists():
        return None
    try:
        library = ctypes.CDLL(str(path))
        version = library.closed_form_version()
    except (OSError, AttributeError) as error:
        version = error
    if version != VERSION:
        warnings.warn(
            f"the losses go without their compiled loops, and are slower: {path.name} is not of this release ({version}); install it anew",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    pointer, whole, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    functions = {}
    for dtype, kind in KINDS.items():
        # Scores and norms, their rows and classes, and targets; of `forward` the formula, its numbers and how far one sample's are from
        # the next, and what is found; of `backward` the scales or the one for all, eight tensors of each sample, and the two
        # gradients; threads.
        functions["forward", dtype] = forward = getattr(library, f"forward_{kind}")
        forward.argtypes = [pointer, pointer, whole, whole, pointer, ctypes.c_int, Pointers, Steps, Results, pointer, ctypes.c_int]
        functions["backward", dtype] = backward = getattr(library, f"backward_{kind}")
        backward.argtypes = [pointer, pointer, whole, whole, pointer, pointer, real, *[pointer] * 11, ctypes.c_int]
    return functions


FUNCTIONS = _load()


def forward(
    scores: Tensor,
    norms: Tensor | None,
    index: Tensor,
    scale: KnobValue | ByConfidence,
    formula: str | None,
    knobs: Sequence[KnobValue],
    *,
    trained: bool,
    rival: bool,
) -> Found:
    """Read the scores once: the energies of each sample, or with a formula its loss and slopes.

    Args:
        scores: (..., K).
        norms: (..., K), what the scores are multiplied with, if anything.
        index: The targets (..., 1).
        scale: s, a number or a tensor that broadcasts over (...), or one by confidence.
        formula: One of `FORMULAS`, if any.
        knobs: The formula's knobs, numbers or tensors that broadcast over (...).
        trained: Whether the scale is.
        rival: Whether the hardest competitor is asked for.

    Raises:
        IndexError: If a target is no class.
        ValueError: If a knob does not broadcast over (...).
    """
    assert FUNCTIONS is not None
    shape = scores.shape[:-1]
    given = (scale.below, scale.above, scale.eta, *knobs) if isinstance(scale, ByConfidence) else (scale, None, None, *knobs)
    one_for_all = given[2] is None and not isinstance(given[0], Tensor)
    asked = (True, True, not one_for_all, trained, trained and given[2] is not None, *((True,) * 4 if formula is None else ASKED[formula]))
    kind = wide_dtype(scores)
    numbers = iter(torch.empty((sum(asked), *shape), dtype=kind).unbind())
    found: list[Any] = [next(numbers) if one else None for one in asked]
    # The loss is the caller's, and has memory of its own, as has each energy, which may become one.
    for place in range(_LOSS, _LOSS + (4 if formula is None else 1)):
        found[place] = torch.empty(shape, dtype=kind)
    hardest = torch.empty(shape, dtype=torch.int64) if rival else None

    values, steps, pointers = Doubles(), Steps(), Pointers()
    first, kept = ctypes.addressof(values), []
    for i, value in enumerate(given):
        if isinstance(value, Tensor):
            value, steps[i] = _of_each(value, shape)
            pointers[i] = value.data_ptr()
            kept.append(value)
        elif value is not None:
            values[i], pointers[i] = value, first + 8 * i
    scores, norms, index = _rows(scores, norms, index)
    wrong = FUNCTIONS["forward", scores.dtype](
        scores.data_ptr(),
        None if norms is None else norms.data_ptr(),
        index.numel(),
        scores.shape[-1],
        index.data_ptr(),
        -1 if formula is None else ORDER[formula],
        pointers,
        steps,
        Results(*(None if one is None else one.data_ptr() for one in found)),
        None if hardest is None else hardest.data_ptr(),
        _threads(scores),
    )
    _check(wrong, scores)
    shift, competitors, scales, by_below, by_above, *more = found
    return Found(shift, competitors, scales, by_below, by_above, hardest, more)


def backward(
    scores: Tensor,
    norms: Tensor | None,
    index: Tensor,
    scale: KnobValue,
    shift: Tensor,
    competitors: Tensor,
    rival: Tensor | None,
    *slopes: Tensor | None,
    of_norms: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gradients (..., K) of the scores and, if ``of_norms``, of the norms, float32 or wider.

    Args:
        scores: (..., K).
        norms: (..., K), what the scores are multiplied with, if anything.
        index: The targets (..., 1).
        scale: s, a number or a tensor (...).
        shift: M of each sample (...), as `forward` gave it.
        competitors: N, likewise.
        rival: The index of the hardest competitor, likewise.
        *slopes: Of each sample (...): the gradient of its loss, and the loss's slopes by the gap, or else by score and competitors,
            and, if there is one, by the hardest competitor and by the norm.
        of_norms: Whether the second is asked for.
    """
    assert FUNCTIONS is not None
    scores, norms, index = _rows(scores, norms, index)
    gradient, other = torch.empty_like(scores), torch.empty_like(scores) if of_norms else None
    shape = scores.shape[:-1]
    scales, number = (_solid(scale, shape, scores.dtype), 0.0) if isinstance(scale, Tensor) else (None, scale)
    shift, competitors = (_solid(one, shape, scores.dtype) for one in (shift, competitors))
    each = (shift, competitors, rival, *(None if one is None else _solid(one, shape, scores.dtype) for one in slopes), gradient, other)
    wrong = FUNCTIONS["backward", scores.dtype](
        scores.data_ptr(),
        None if norms is None else norms.data_ptr(),
        index.numel(),
        scores.shape[-1],
        index.data_ptr(),
        None if scales is None else scales.data_ptr(),
        number,
        *(None if one is None else one.data_ptr() for one in each),
        _threads(scores),
    )
    _check(wrong, scores)
    return gradient, other


def _check(wrong: int, scores: Tensor) -> None:
    if wrong == 1:
        raise IndexError(f"target must hold class indices from 0 to {scores.shape[-1] - 1}")
    if wrong:
        raise MemoryError(f"no memory for a row of {scores.shape[-1]} scores")


def _rows(scores: Tensor, norms: Tensor | None, index: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    kind, shape = wide_dtype(scores), scores.shape
    return _solid(scores, shape, kind), None if norms is None else _solid(norms, shape, kind), index.contiguous()


def _of_each(value: Tensor, shape: torch.Size) -> tuple[Tensor, int]:
    """A knob in double, and how far one sample's is from the next: there is one for all, or one for each."""
    value = value.to("cpu", torch.float64)
    if value.ndim == 0:
        return value, 0
    try:
        return value.expand(shape).clone(memory_format=torch.contiguous_format), 1
    except RuntimeError:
        raise ValueError(f"knobs must broadcast over the shape {tuple(shape)} of target, got one of shape {tuple(value.shape)}") from None


def _solid(tensor: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """A tensor that lies in memory as the loops read it."""
    lies = tensor.shape == shape and tensor.dtype is dtype and tensor.is_contiguous() and tensor.is_cpu
    if lies and not tensor.is_neg() and not tensor._is_zerotensor():
        return tensor
    return tensor.to("cpu", dtype).expand(shape).clone(memory_format=torch.contiguous_format)


def _threads(scores: Tensor) -> int:
    return torch.get_num_threads() if scores.numel() > PARALLEL else 1
