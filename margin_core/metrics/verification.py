"""Verification, as face recognition measures it: how many pairs of one identity are accepted at a given rate of false accepts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from margin_core.metrics.margins import unit_rows

BLOCK_VALUES = 2**22
"""Values of embeddings that are compared at once, so that memory grows with the pairs but not with pairs times d."""


@dataclass(frozen=True)
class OperatingPoint:
    """TAR@FAR: one point of the curve.

    Args:
        target_far: The rate of false accepts that was asked for, a fraction.
        far: The rate that is reached, at most ``target_far``.
        tar: True accepts at that threshold, in percent.
        threshold: A pair is accepted where its cosine is greater: the smallest threshold with no more than ``target_far``.
    """

    target_far: float
    far: float
    tar: float
    threshold: float


@dataclass(frozen=True)
class Verification:
    """What a verification by cosine is worth.

    Args:
        points: One for each rate of false accepts that was asked for.
        equal_error_rate: The least rate, a fraction, that neither false accepts nor false rejects exceed at one threshold.
        genuine: Number of pairs of one identity.
        impostors: Number of pairs of two.
    """

    points: tuple[OperatingPoint, ...]
    equal_error_rate: float
    genuine: int
    impostors: int


def verification(embeddings: Tensor, pairs: Tensor, same: Tensor, *, far: float | Sequence[float] = 1e-3) -> Verification:
    """TAR@FAR of pairs of embeddings, compared by their cosine in double precision.

    The rates are those of an actual threshold; nothing is interpolated. A rate that the impostor pairs are too few to measure is
    refused. Huang et al., Labeled Faces in the Wild, 2007; the thresholds are those of the IJB protocols (Klare et al., CVPR 2015).

    Args:
        embeddings: (N, d); a zero vector has cosine 0 to all.
        pairs: Integer rows of ``embeddings``, (P, 2).
        same: Whether a pair is of one identity, bool (P,). Both kinds have to occur.
        far: Rates of false accepts, fractions in [1 / impostors, 1].

    Raises:
        ValueError: On shapes or types that do not fit, embeddings that are not finite, pairs out of range, only one kind of pair, or
            a ``far`` that cannot be measured.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
        >>> pairs = torch.tensor([[0, 1], [2, 3], [0, 2], [0, 3]])
        >>> measured = verification(embeddings, pairs, torch.tensor([True, True, False, False]), far=0.5)
        >>> measured.points[0].tar, measured.points[0].far
        (100.0, 0.5)
    """
    _check(embeddings, pairs, same)
    scores = _pair_cosines(embeddings, pairs)
    genuine, impostor = scores[same], scores[~same]
    targets = (far,) if isinstance(far, (int, float)) else tuple(far)
    return Verification(
        points=tuple(tar_at_far(genuine, impostor, target) for target in targets),
        equal_error_rate=_equal_error_rate(genuine, impostor),
        genuine=len(genuine),
        impostors=len(impostor),
    )


def tar_at_far(genuine: Tensor, impostor: Tensor, far: float) -> OperatingPoint:
    """The true accepts of scores at the smallest threshold whose rate of false accepts is at most ``far``.

    A score is accepted where it is greater than the threshold. With n impostors, k = floor(far n) may be accepted, so the threshold is
    the greatest but k of their scores; where impostors tie with it, fewer than k are accepted, and ``OperatingPoint.far`` tells.

    Args:
        genuine: Scores of pairs of one identity, (G,): higher is more alike.
        impostor: Scores of pairs of two, (n,).
        far: A fraction in [1 / n, 1].

    Raises:
        ValueError: Where a kind of score is missing, or ``far`` is above 1 or below 1 / n, which n impostors cannot measure.

    Example:
        >>> import torch
        >>> tar_at_far(torch.tensor([0.9, 0.6, 0.4]), torch.tensor([0.5, 0.3, 0.2, 0.1]), far=0.25)
        OperatingPoint(target_far=0.25, far=0.25, tar=100.0, threshold=0.30000001192092896)
    """
    if genuine.ndim != 1 or impostor.ndim != 1 or len(genuine) == 0 or len(impostor) == 0:
        shapes = f"{tuple(genuine.shape)} and {tuple(impostor.shape)}"
        raise ValueError(f"genuine and impostor must be (N,) with N >= 1, got {shapes}")
    count = len(impostor)
    # The division decides, not the product: 0.29 * 100 is less than 29.
    allowed = next((k for k in (int(far * count) + 1, int(far * count)) if k / count <= far), 0) if 0.0 < far <= 1.0 else 0
    if allowed < 1:
        raise ValueError(f"far must be in [{1 / count:g}, 1]: {count} impostor pairs measure no less, got {far!r}")
    threshold = float(impostor.sort(descending=True).values[allowed]) if allowed < count else -math.inf
    accepted = int((impostor > threshold).sum())
    return OperatingPoint(far, accepted / count, 100.0 * int((genuine > threshold).sum()) / len(genuine), threshold)


def _equal_error_rate(genuine: Tensor, impostor: Tensor) -> float:
    """The minimum over thresholds t of max(impostors above t, genuine pairs not above t), as shares."""
    thresholds = torch.cat([genuine, impostor, genuine.new_full((1,), -math.inf)])
    rejected = [torch.searchsorted(scores.sort().values, thresholds, right=True) for scores in (genuine, impostor)]
    false_rejects = rejected[0].double() / len(genuine)
    false_accepts = 1.0 - rejected[1].double() / len(impostor)
    return float(torch.maximum(false_accepts, false_rejects).amin())


def _pair_cosines(embeddings: Tensor, pairs: Tensor) -> Tensor:
    units = unit_rows(embeddings).nan_to_num(0.0)
    size = max(1, BLOCK_VALUES // units.shape[1])
    return torch.cat([(units[block[:, 0]] * units[block[:, 1]]).sum(dim=1) for block in torch.split(pairs.long(), size)])


def _check(embeddings: Tensor, pairs: Tensor, same: Tensor) -> None:
    """Raise `ValueError` naming the argument that does not fit."""
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise ValueError(f"embeddings must be (N, d), got {tuple(embeddings.shape)}")
    if not bool(embeddings.isfinite().all()):
        raise ValueError(f"embeddings must be finite, got {int((~embeddings.isfinite()).sum())} other values")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point() or pairs.dtype == torch.bool:
        raise ValueError(f"pairs must be integers (P, 2), got {pairs.dtype} {tuple(pairs.shape)}")
    if not bool(((pairs >= 0) & (pairs < len(embeddings))).all()):
        raise ValueError(f"pairs must be rows of embeddings, in [0, {len(embeddings)}), got values from {pairs.min()} to {pairs.max()}")
    if same.shape != pairs.shape[:1] or same.dtype != torch.bool:
        raise ValueError(f"same must be bool ({len(pairs)},) to go with pairs, got {same.dtype} {tuple(same.shape)}")
    if not bool(same.any()) or bool(same.all()):
        raise ValueError(f"same must hold true and false, got {int(same.sum())} true of {len(same)}")
