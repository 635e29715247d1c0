"""Losses and their gradients by compiled loops: what `closed_form` uses on a CPU.

Forward reads the scores and keeps a few numbers per sample, and backward reads them once more and writes the gradient, as in
`closed_form_triton`. The loops, `closed_form_cpu.c`, are compiled when the package is installed, and run on torch's own threads. Of most
families they hold the formula too, since a few hundred numbers cost torch more to begin with than to work out. Where there is no
compiler, `closed_form` does without them.
"""

from __future__ import annotations

import ctypes
import itertools
import sysconfig
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from margin_core.losses.energies import ByConfidence, KnobValue, wide_dtype

PARALLEL = 32_768
"""With fewer scores a second thread takes longer to begin than the work."""
KINDS = {torch.float32: "float", torch.float64: "double"}
SLOPES = ("gap", "score", "competitors", "hardest", "norm")
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
ORDER = {name: number for number, name in enumerate(FORMULAS)}
VERSION = 2
"""That of `closed_form_version` in the C file, which changes with it."""
GIVEN = 11
"""How many numbers of a sample are given at most: two scales, the confidence that chooses, and eight knobs."""
SHIFT, COMPETITORS, SCALE, BY_BELOW, BY_ABOVE, BY_GAP = range(6)
"""What may be kept of each sample for the way back, in the order of the C file: M and N; s, where it is not one for all; of a scale that
is trained the gap's slope by it, and by the scale above, of scales by confidence; and the loss's `SLOPES`, by the gap and on."""
FOUND = BY_GAP + len(SLOPES)
_NO_CLASS = 1
Doubles, Steps, Pointers, Places = ctypes.c_double * GIVEN, ctypes.c_int64 * GIVEN, ctypes.c_void_p * GIVEN, ctypes.c_int64 * FOUND
Own = ctypes.c_void_p * len(SLOPES)


class Kept(NamedTuple):
    """What is kept of the samples for the way back."""

    numbers: Tensor
    """(n, ...), a row for each that is kept."""
    places: ctypes.Array[ctypes.c_int64]
    """Which row each has; -1 where it is not kept."""
    rival: Tensor | None
    """The index of the hardest competitor, where it is asked for."""

    def by_scales(self) -> Tensor:
        """(1, ...) or (2, ...): `BY_BELOW` and, of scales by confidence, `BY_ABOVE`, where a scale is trained."""
        first, second = self.places[BY_BELOW], self.places[BY_ABOVE]
        return self.numbers[first : max(first, second) + 1]

    def number(self, which: int) -> Tensor | None:
        """One of the numbers, (...)."""
        row = self.places[which]
        return None if row < 0 else self.numbers[row]


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
    # Scores and norms, their rows and classes, and targets.
    rows = pointer, pointer, whole, whole, pointer
    functions = {}
    for dtype, kind in KINDS.items():
        functions["forward", dtype] = forward = getattr(library, f"forward_{kind}")
        # The formula, its numbers and how far one sample's are from the next; the loss or the energies, what is kept, its places and the
        # hardest competitor; threads.
        forward.argtypes = [*rows, ctypes.c_int, Pointers, Steps, Own, pointer, Places, pointer, ctypes.c_int]
        functions["backward", dtype] = backward = getattr(library, f"backward_{kind}")
        # The scale for all; slopes, what is kept, its places and the hardest competitor; the losses' gradient; the gradients of scores
        # and norms; threads.
        backward.argtypes = [*rows, real, pointer, pointer, Places, pointer, pointer, pointer, pointer, ctypes.c_int]
    return functions


FUNCTIONS = _load()


def forward(
    scores: Tensor,
    norms: Tensor | None,
    target: Tensor,
    scale: KnobValue | ByConfidence,
    formula: str | None,
    knobs: Sequence[KnobValue],
    *,
    trained: bool,
    rival: bool,
) -> tuple[list[Tensor], Kept]:
    """Read the scores once.

    Args:
        scores: (..., K).
        norms: (..., K), what the scores are multiplied with, if anything.
        target: Class indices (...), int64.
        scale: s, a number or a tensor that broadcasts over (...), or one by confidence.
        formula: One of `FORMULAS`, if any.
        knobs: The formula's knobs, numbers or tensors that broadcast over (...).
        trained: Whether the scale is.
        rival: Whether the index of the hardest competitor is asked for.

    Returns:
        The loss of each sample (...), or without a formula the energies gap, plain, missing and score; and what `backward` is to be given.

    Raises:
        IndexError: If a target is no class.
        ValueError: If a knob does not broadcast over (...).
    """
    assert FUNCTIONS is not None
    shape = scores.shape[:-1]
    given = (scale.below, scale.above, scale.eta, *knobs) if isinstance(scale, ByConfidence) else (scale, None, None, *knobs)
    by_confidence = given[2] is not None
    places, count = _places(formula, by_confidence or isinstance(given[0], Tensor), trained, by_confidence)
    kind = wide_dtype(scores)
    # The loss is the caller's, and has memory of its own, as has each energy, which may become one.
    own = [torch.empty(shape, dtype=kind, device="cpu") for _ in range(4 if formula is None else 1)]
    numbers = torch.empty((count, *shape), dtype=kind, device="cpu")
    hardest = torch.empty(shape, dtype=torch.int64, device="cpu") if rival else None

    values, steps, pointers = Doubles(), Steps(), Pointers()
    first, held = ctypes.addressof(values), []
    for i, value in enumerate(given):
        if isinstance(value, Tensor):
            value, steps[i] = _of_each(value, shape)
            pointers[i] = value.data_ptr()
            held.append(value)
        elif value is not None:
            values[i], pointers[i] = value, first + 8 * i
    scores, norms, target = _solid_rows(scores, norms, target)
    wrong = FUNCTIONS["forward", scores.dtype](
        scores.data_ptr(),
        None if norms is None else norms.data_ptr(),
        target.numel(),
        scores.shape[-1],
        target.data_ptr(),
        -1 if formula is None else ORDER[formula],
        pointers,
        steps,
        Own(*[one.data_ptr() for one in own]),
        numbers.data_ptr(),
        places,
        None if hardest is None else hardest.data_ptr(),
        _threads(scores),
    )
    _check(wrong, scores)
    return own, Kept(numbers, places, hardest)


def backward(
    scores: Tensor,
    norms: Tensor | None,
    target: Tensor,
    scale: float,
    kept: Kept,
    of_loss: Tensor,
    slopes: Sequence[Tensor | None] | None = None,
    *,
    of_norms: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gradients (..., K) of the scores and, if ``of_norms``, of the norms, float32 or wider.

    Args:
        scores: (..., K).
        norms: (..., K), what the scores are multiplied with, if anything.
        target: Class indices (...), int64.
        scale: s, where it is one number for all.
        kept: What `forward` gave.
        of_loss: The gradient of each sample's loss (...).
        slopes: Those of each loss (...) in the order of `SLOPES`, of a formula that is none of `FORMULAS`.
        of_norms: Whether the second is asked for.
    """
    assert FUNCTIONS is not None
    scores, norms, target = _solid_rows(scores, norms, target)
    shape, kind = scores.shape[:-1], scores.dtype
    gradient, other = torch.empty_like(scores), torch.empty_like(scores) if of_norms else None
    of_loss, numbers = _solid(of_loss, shape, kind), _solid(kept.numbers, kept.numbers.shape, kind)
    given = None if slopes is None else [None if one is None else _solid(one, shape, kind) for one in slopes]
    wrong = FUNCTIONS["backward", kind](
        scores.data_ptr(),
        None if norms is None else norms.data_ptr(),
        target.numel(),
        scores.shape[-1],
        target.data_ptr(),
        scale,
        None if given is None else Own(*(None if one is None else one.data_ptr() for one in given)),
        numbers.data_ptr(),
        kept.places,
        None if kept.rival is None else kept.rival.data_ptr(),
        of_loss.data_ptr(),
        gradient.data_ptr(),
        None if other is None else other.data_ptr(),
        _threads(scores),
    )
    _check(wrong, scores)
    return gradient, other


@cache
def _places(formula: str | None, scaled: bool, trained: bool, by_confidence: bool) -> tuple[ctypes.Array[ctypes.c_int64], int]:
    """Which rows what is kept has among the numbers, and how many there are."""
    slopes = () if formula is None else FORMULAS[formula]
    kept = (True, True, scaled, trained, trained and by_confidence, *(slope in slopes for slope in SLOPES))
    row = itertools.count()
    return Places(*(next(row) if one else -1 for one in kept)), sum(kept)


def _check(wrong: int, scores: Tensor) -> None:
    if wrong == _NO_CLASS:
        raise IndexError(f"target must hold class indices from 0 to {scores.shape[-1] - 1}")
    if wrong:
        raise MemoryError(f"no memory for a row of {scores.shape[-1]} scores")


def _solid_rows(scores: Tensor, norms: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    kind, shape = wide_dtype(scores), scores.shape
    return _solid(scores, shape, kind), None if norms is None else _solid(norms, shape, kind), _solid(target, shape[:-1], torch.int64)


def _of_each(value: Tensor, shape: torch.Size) -> tuple[Tensor, int]:
    """A knob in double, and how far one sample's is from the next: there is one for all, or one for each."""
    if value.ndim == 0:
        return _solid(value, value.shape, torch.float64), 0
    try:
        return _solid(value, shape, torch.float64), 1
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
