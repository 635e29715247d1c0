"""How sure a network becomes of the examples that it is trained on: what the figures and table 1 of the gradient-decay paper show.

Probability-dependent gradient decay (Zhang, Xie and Chen). Whether any of it is measured, a trial's record says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from margin_core.metrics import GRADIENT_DECAY_EDGES, confidence_histogram

GROUPS = 5
"""Groups from hard to easy, as in the paper's figure 5."""


def spaced_places(number: int, examples: int) -> Tensor:
    """So many of the places 0 to ``examples`` - 1, evenly spaced: the samples of the paper's figure 4.

    Raises:
        ValueError: Where there are fewer examples.

    Example:
        >>> spaced_places(3, 9).tolist()
        [0, 4, 8]
    """
    if number > examples:
        raise ValueError(f"samples must be at most {examples}, the number of training examples, got {number}")
    return torch.linspace(0, examples - 1, number, dtype=torch.float64).round().long()


def confidence_distribution(logits: Tensor, target: Tensor) -> dict[str, float]:
    """The distribution of p_y, the probability of the own class.

    The paper says no more of its five groups than that the posterior probability of the model divides the samples. Here it is that of
    the moment: the examples are sorted by p_y whenever it is measured, and cut into fifths.

    Args:
        logits: Their softmax is the prediction, (N, K).
        target: The labels that are trained on, (N,).

    Returns:
        ``train_confidence_to_0.2``, ..., ``train_confidence_to_1``: how many examples have p_y up to there and above the one before
        (table 1); ``train_confidence_group_1`` (hardest) to ``_5`` (easiest): mean p_y of each fifth (figure 5). NaN where a logit is
        not finite.

    Example:
        >>> made = confidence_distribution(torch.tensor([[5.0, 0.0]] * 4 + [[0.0, 5.0]]), torch.zeros(5, dtype=torch.int64))
        >>> made["train_confidence_to_0.2"], made["train_confidence_to_1"], round(made["train_confidence_group_1"], 3)
        (1.0, 4.0, 0.007)
    """
    bins = [f"train_confidence_to_{edge:g}" for edge in GRADIENT_DECAY_EDGES[1:]]
    groups = [f"train_confidence_group_{number}" for number in range(1, GROUPS + 1)]
    if not bool(logits.isfinite().all()):
        return dict.fromkeys([*bins, *groups], math.nan)
    probs = logits.double().softmax(dim=1)
    counts = confidence_histogram(probs, target).double().tolist()
    fifths = own_probability(logits, target).sort().values.tensor_split(GROUPS)
    return dict(zip([*bins, *groups], [*counts, *(float(fifth.mean()) for fifth in fifths)], strict=True))


def confidence_of_samples(logits: Tensor, target: Tensor, places: Tensor) -> dict[str, float]:
    """p_y of some examples: ``train_confidence_sample_<place>`` of each, named by its place in the dataset, (N,)."""
    values = own_probability(logits, target).tolist()
    return {f"train_confidence_sample_{place}": value for place, value in zip(places.tolist(), values, strict=True)}


def own_probability(logits: Tensor, target: Tensor) -> Tensor:
    """p_y in double precision, (N,), of logits (N, K) and classes (N,)."""
    return logits.double().softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
