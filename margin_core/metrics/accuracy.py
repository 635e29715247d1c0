"""How often the right class wins, or nearly does. All results are percent, 0 to 100."""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.metrics.streaming import Percentage, check_examples


def top_k_accuracy(scores: Tensor, target: Tensor, k: int = 1) -> float:
    """Percent of examples whose class is among the ``k`` best scores.

    Ties go to the class of smaller index: a rank is the number of strictly greater scores plus the number of equal scores of smaller
    index. So constant scores do not score 100. An example with a NaN among its scores is a miss.

    Args:
        scores: Logits, cosines or probabilities, (N, K).
        target: Integer classes, (N,).
        k: From 1 to K.

    Raises:
        ValueError: On shapes that do not fit, no examples, or ``k`` out of range.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])
        >>> top_k_accuracy(scores, torch.tensor([1, 1])), top_k_accuracy(scores, torch.tensor([1, 1]), k=2)
        (50.0, 100.0)
    """
    metric = TopKAccuracy(k)
    metric.update(scores, target)
    return metric.compute()


class TopKAccuracy(Percentage):
    """`top_k_accuracy` over batches.

    Example:
        >>> accuracy = TopKAccuracy(k=1)
        >>> for batch in torch.eye(4).split(2):
        ...     accuracy.update(batch, torch.tensor([0, 1]))
        >>> accuracy.compute()
        50.0
    """

    def __init__(self, k: int = 1) -> None:
        super().__init__(k=k)
        self.k = k

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count a batch: scores (N, K), target (N,)."""
        scores, target = check_examples("scores", scores, target)
        classes = scores.shape[1]
        if not 1 <= self.k <= classes:
            raise ValueError(f"k must be in [1, {classes}], got {self.k!r}")
        self.count((rank(scores, target) < self.k) & ~scores.isnan().any(dim=1))


def close_enough_accuracy(probs: Tensor, target: Tensor, at: float) -> float:
    """Percent of examples whose class is at most ``at`` less probable than the most probable class.

    ``at = 0`` is the accuracy with ties as hits. Read it beside the accuracy: an untrained network, whose probabilities are all
    nearly equal, scores near 100. Two-scale loss (Berlyand, Creese and Jabin 2021), section 3.1. Probabilities are compared in
    double precision; an example with a NaN among them is a miss.

    Args:
        probs: Probabilities, (N, K).
        target: Integer classes, (N,).
        at: Distance in probability, in [0, 1].

    Raises:
        ValueError: On shapes that do not fit, no examples, or ``at`` out of range.

    Example:
        >>> import torch
        >>> probs = torch.tensor([[0.51, 0.49], [0.9, 0.1]])
        >>> close_enough_accuracy(probs, torch.tensor([1, 1]), at=0.05)
        50.0
    """
    metric = CloseEnoughAccuracy(at)
    metric.update(probs, target)
    return metric.compute()


class CloseEnoughAccuracy(Percentage):
    """`close_enough_accuracy` over batches."""

    def __init__(self, at: float) -> None:
        if not 0.0 <= at <= 1.0:
            raise ValueError(f"at must be in [0, 1], got {at!r}")
        super().__init__(at=at)
        self.at = at

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Count a batch: probs (N, K), target (N,)."""
        probs, target = check_examples("probs", probs, target)
        wide = probs.double()
        right = wide.gather(1, target.unsqueeze(1)).squeeze(1)
        self.count(right >= wide.amax(dim=1) - self.at)


def superclass_accuracy(scores: Tensor, target: Tensor, groups: Tensor) -> float:
    """Percent of examples whose predicted class is of the group that their own class is of.

    The prediction is one class, the best score, and its group is what counts; scores of a group are not added up. So it is at
    least the accuracy. Ties go to the class of smaller index, and an example with a NaN among its scores is a miss, as in
    `top_k_accuracy`.

    Args:
        scores: Logits, cosines or probabilities, (N, K).
        target: Integer classes, (N,).
        groups: The group of each class, integers (K,): the 20 superclasses of CIFAR-100, say.

    Raises:
        ValueError: On shapes that do not fit, groups that are no integers, or no examples.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])
        >>> superclass_accuracy(scores, torch.tensor([0, 0]), groups=torch.tensor([0, 0, 1]))
        50.0
    """
    metric = SuperclassAccuracy(groups)
    metric.update(scores, target)
    return metric.compute()


class SuperclassAccuracy(Percentage):
    """`superclass_accuracy` over batches."""

    def __init__(self, groups: Tensor) -> None:
        if groups.ndim != 1 or groups.is_floating_point() or groups.is_complex():
            raise ValueError(f"groups must be integers (K,), got {groups.dtype} {tuple(groups.shape)}")
        super().__init__(groups=tuple(groups.tolist()))
        self.groups = groups

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count a batch: scores (N, K), target (N,)."""
        scores, target = check_examples("scores", scores, target)
        if len(self.groups) != scores.shape[1]:
            raise ValueError(f"groups must be ({scores.shape[1]},) to go with scores, got {tuple(self.groups.shape)}")
        # Moved once: a copy to a GPU waits for it.
        self.groups = self.groups.to(scores.device)
        same = self.groups[scores.argmax(dim=1)] == self.groups[target]
        self.count(same & ~scores.isnan().any(dim=1))


def rank(scores: Tensor, target: Tensor) -> Tensor:
    """The place of each example's class among its scores, from 0: the strictly greater ones and the equal ones of smaller index."""
    right = scores.gather(1, target.unsqueeze(1))
    positions = torch.arange(scores.shape[1], device=scores.device)
    ahead = (scores > right) | ((scores == right) & (positions < target.unsqueeze(1)))
    return ahead.sum(dim=1)
