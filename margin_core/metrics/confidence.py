"""How sure a network is of the right class: the confidence distribution of the gradient-decay paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from margin_core.metrics.calibration import count_improper, refuse_improper
from margin_core.metrics.streaming import Streaming, check_examples, length

GRADIENT_DECAY_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The edges of the gradient-decay paper's table 1."""


def confidence_histogram(probs: Tensor, target: Tensor, edges: Sequence[float] = GRADIENT_DECAY_EDGES) -> Tensor:
    """How many examples have a probability p_y of their own class in each bin.

    Bins are closed above, as in the paper's table: p_y <= 0.2, 0.2 < p_y <= 0.4, ..., 0.8 < p_y <= 1; the first has its lower
    edge too. Probabilities are compared with the edges in double precision. Probability-dependent gradient decay (Zhang, Xie and
    Chen), table 1.

    Args:
        probs: Probabilities, (N, K).
        target: Integer classes, (N,).
        edges: Rising, from 0 to 1; by default the paper's.

    Returns:
        int64 counts, one for each bin; their sum is N.

    Raises:
        ValueError: On shapes that do not fit, no examples, other edges, or values that are no probabilities (logits, say).

    Example:
        >>> import torch
        >>> probs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
        >>> confidence_histogram(probs, torch.tensor([0, 1, 0, 1])).tolist()
        [1, 0, 1, 0, 2]
    """
    metric = ConfidenceHistogram(edges)
    metric.update(probs, target)
    return metric.compute()


class ConfidenceHistogram(Streaming[Tensor]):
    """`confidence_histogram` over batches; one count for each inner edge."""

    def __init__(self, edges: Sequence[float] = GRADIENT_DECAY_EDGES) -> None:
        edges = tuple(float(edge) for edge in edges)
        rising = all(low < high for low, high in pairwise(edges))
        if len(edges) < 2 or (edges[0], edges[-1]) != (0.0, 1.0) or not rising:
            raise ValueError(f"edges must rise from 0 to 1, got {edges}")
        super().__init__(edges=edges)
        self.edges = edges

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Count a batch: probs (N, K), target (N,)."""
        probs, target = check_examples("probs", probs, target)
        wide = probs.double()
        own = wide.gather(1, target.unsqueeze(1)).squeeze(1)
        # The first edge has all examples above it or on it, and the last none, or a softmax's rounding.
        above = [(own > edge).sum() for edge in self.edges[1:-1]]
        counted = length(own)
        self.add(above=torch.stack([counted, *above, torch.zeros_like(counted)]), improper=count_improper(wide), examples=counted)

    def compute(self) -> Tensor:
        """int64 counts of the bins; raises `ValueError` where there are no examples, or what came were no probabilities."""
        self.require_examples()
        refuse_improper(self.sums["improper"])
        return -self.sums["above"].diff()
