"""Whether the probabilities mean what they say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from margin_core.metrics.streaming import Mean, Streaming, check_examples, length

# How far above 1 a softmax in single precision may come.
ROUNDING = 1e-6


def negative_log_likelihood(logits: Tensor, target: Tensor) -> float:
    """Mean negative log of the softmax probability of the right class, in nats; computed in double precision.

    Args:
        logits: Scores whose softmax is the prediction, (N, K). A class of logit -inf has probability 0.
        target: Integer classes, (N,).

    Raises:
        ValueError: On shapes that do not fit or no examples.

    Example:
        >>> import torch
        >>> round(negative_log_likelihood(torch.zeros(1, 4), torch.tensor([2])), 6)
        1.386294
    """
    metric = NegativeLogLikelihood()
    metric.update(logits, target)
    return metric.compute()


class NegativeLogLikelihood(Mean):
    """`negative_log_likelihood` over batches."""

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits (N, K), target (N,)."""
        logits, target = check_examples("logits", logits, target)
        self.average(F.cross_entropy(logits.double(), target, reduction="none"))


def expected_calibration_error(probs: Tensor, target: Tensor, bins: int = 15) -> float:
    """The mean distance between confidence and accuracy over equal-width bins of confidence (Guo et al., ICML 2017, eq. (3)).

    Bin i of n is [i/n, (i+1)/n), and the last is closed, so that a confidence of 1 belongs to it. Where classes tie for the greatest
    probability, the one of smallest index is predicted.

    Args:
        probs: Probabilities, (N, K).
        target: Integer classes, (N,).
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
    metric = ExpectedCalibrationError(bins)
    metric.update(probs, target)
    return metric.compute()


class ExpectedCalibrationError(Streaming[float]):
    """`expected_calibration_error` over batches; one sum for each bin."""

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise ValueError(f"bins must be >= 1, got {bins!r}")
        super().__init__(bins=bins)
        self.bins = bins

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch: probs (N, K), target (N,)."""
        probs, target = check_examples("probs", probs, target)
        wide = probs.double()
        confidence = wide.amax(dim=1)
        excess = confidence - (wide.argmax(dim=1) == target).double()
        inner_edges = torch.arange(1, self.bins, dtype=torch.float64, device=wide.device) / self.bins
        places = torch.bucketize(confidence, inner_edges, right=True)
        # Bin by bin: on a GPU, sums scattered into bins come in another order each time, and counting places waits for the device.
        of_bins = [torch.where(places == i, excess, 0.0).sum() for i in range(self.bins)]
        self.add(excess=torch.stack(of_bins), improper=count_improper(wide), examples=length(probs))

    def compute(self) -> float:
        """A fraction in [0, 1]; raises `ValueError` where there are no examples, or what came were no probabilities."""
        examples = self.require_examples()
        refuse_improper(self.sums["improper"])
        return float(self.sums["excess"].abs().sum()) / examples


def count_improper(probs: Tensor) -> Tensor:
    """How many of ``probs`` are no probabilities, NaN among them: a sum to add up, so that nothing waits for the device."""
    return (~((probs >= 0.0) & (probs <= 1.0 + ROUNDING))).sum()


def refuse_improper(count: Tensor) -> None:
    """Raise `ValueError` unless all values were probabilities."""
    if int(count):
        raise ValueError(f"probs must be in [0, 1], got {int(count)} other values: take the softmax of logits first")
