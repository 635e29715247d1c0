"""How often the right class wins, or nearly does. All results are percent, 0 to 100."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k_accuracy(scores: Tensor, target: Tensor, k: int = 1) -> float:
    """Percent of examples whose class is among the ``k`` best scores.

    Ties go to the class of smaller index: a rank is the number of strictly greater scores plus the number of equal scores of smaller
    index. So constant scores do not score 100. An example with a NaN among its scores is a miss.

    Args:
        scores: Logits, cosines or probabilities, (N, K).
        target: int64 classes, (N,).
        k: From 1 to K.

    Raises:
        ValueError: On shapes that do not fit, no examples, or ``k`` out of range.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])
        >>> top_k_accuracy(scores, torch.tensor([1, 1])), top_k_accuracy(scores, torch.tensor([1, 1]), k=2)
        (50.0, 100.0)
    """
    check_shapes("scores", scores, target)
    classes = scores.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k must be in [1, {classes}], got {k!r}")
    return percent((rank(scores, target) < k) & ~scores.isnan().any(dim=1))


def close_enough_accuracy(probs: Tensor, target: Tensor, at: float) -> float:
    """Percent of examples whose class is at most ``at`` less probable than the most probable class.

    ``at = 0`` is the accuracy with ties as hits. Read it beside the accuracy: an untrained network, whose probabilities are all
    nearly equal, scores near 100. Two-scale loss (Berlyand, Creese and Jabin 2021), section 3.1.

    Args:
        probs: Probabilities, (N, K).
        target: int64 classes, (N,).
        at: Distance in probability, in [0, 1].

    Raises:
        ValueError: On shapes that do not fit, no examples, or ``at`` out of range.

    Example:
        >>> import torch
        >>> probs = torch.tensor([[0.51, 0.49], [0.9, 0.1]])
        >>> close_enough_accuracy(probs, torch.tensor([1, 1]), at=0.05)
        50.0
    """
    check_shapes("probs", probs, target)
    if not 0.0 <= at <= 1.0:
        raise ValueError(f"at must be in [0, 1], got {at!r}")
    wide = probs.double()
    right = wide.gather(1, target.unsqueeze(1)).squeeze(1)
    return percent(right >= wide.amax(dim=1) - at)


def rank(scores: Tensor, target: Tensor) -> Tensor:
    """The place of each example's class among its scores, from 0: the strictly greater ones and the equal ones of smaller index."""
    right = scores.gather(1, target.unsqueeze(1))
    positions = torch.arange(scores.shape[1], device=scores.device)
    ahead = (scores > right) | ((scores == right) & (positions < target.unsqueeze(1)))
    return ahead.sum(dim=1)


def percent(hits: Tensor) -> float:
    """The share of true values, in percent."""
    return 100.0 * int(hits.sum()) / hits.numel()


def check_shapes(name: str, values: Tensor, target: Tensor) -> None:
    """Raise `ValueError` unless ``values`` is (N, K) and ``target`` (N,), with N >= 1 and K >= 2."""
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError(f"{name} must be (N, K) with N >= 1 and K >= 2, got {tuple(values.shape)}")
    if target.shape != values.shape[:1]:
        raise ValueError(f"target must be ({values.shape[0]},) to go with {name}, got {tuple(target.shape)}")
