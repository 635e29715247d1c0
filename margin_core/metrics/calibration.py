"""Whether the probabilities mean what they say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from margin_core.metrics.accuracy import check_shapes, rank

# How far above 1 a softmax in single precision may come.
ROUNDING = 1e-6


def negative_log_likelihood(logits: Tensor, target: Tensor) -> float:
    """Mean negative log of the softmax probability of the right class, in nats; computed in double precision.

    Args:
        logits: Scores whose softmax is the prediction, (N, K).
        target: int64 classes, (N,).

    Raises:
        ValueError: On shapes that do not fit or no examples.

    Example:
        >>> import torch
        >>> round(negative_log_likelihood(torch.zeros(1, 4), torch.tensor([2])), 6)
        1.386294
    """
    check_shapes("logits", logits, target)
    return float(F.cross_entropy(logits.double(), target))


def expected_calibration_error(probs: Tensor, target: Tensor, bins: int = 15) -> float:
    """The mean distance between confidence and accuracy over equal-width bins of confidence (Guo et al., ICML 2017, eq. (3)).

    Bin i of n is [i/n, (i+1)/n), and the last is closed, so that a confidence of 1 belongs to it. Where classes tie for the greatest
    probability, the one of smallest index is predicted.

    Args:
        probs: Probabilities, (N, K).
        target: int64 classes, (N,).
        bins: Number of bins, at least 1.

    Returns:
        A fraction in [0, 1], not percent.

    Raises:
        ValueError: On shapes that do not fit, no examples, ``bins`` < 1, or values that are no probabilities (logits, say).

    Example:
        >>> import torch
        >>> probs = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> expected_calibration_error(probs, torch.tensor([0, 1]))
        0.5
    """
    check_shapes("probs", probs, target)
    if bins < 1:
        raise ValueError(f"bins must be >= 1, got {bins!r}")
    wide = probs.double()
    if not bool(((wide >= 0.0) & (wide <= 1.0 + ROUNDING)).all()):
        raise ValueError("probs must be in [0, 1], got other values: take the softmax of logits first")
    confidence = wide.amax(dim=1)
    inner_edges = torch.arange(1, bins, dtype=torch.float64, device=probs.device) / bins
    places = torch.bucketize(confidence, inner_edges, right=True)
    excess = confidence - (rank(probs, target) == 0).double()
    return float(torch.bincount(places, weights=excess, minlength=bins).abs().sum()) / len(target)
