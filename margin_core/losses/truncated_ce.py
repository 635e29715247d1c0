"""Truncated cross-entropy: a sample whose true class has a probability below k costs the same however wrong it is."""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_tensor
from margin_core.losses.family import Family


def truncated_ce(scores: Tensor, target: Tensor, *, k: KnobValue = 0.01) -> Tensor:
    """-log k where p_y < k, else -log p_y: the two-scale paper's eq. (12).

    The paper's second line has the condition dX >= k, a slip: dX is a difference of scores, while k, which lies between 0 and 1, bounds
    the probability in its first line and in its text. Here both lines are about p_y. Below k the loss is constant and its gradient
    zero. So a k above 1 / K, the probability in a network that knows nothing yet, stops the training before it starts; let such a k
    follow a schedule.

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        k: In [0, 1], a number or a tensor that broadcasts over (...). 0 is cross-entropy.

    Returns:
        The loss of each sample (...), at most -log k.

    Example:
        >>> x, y = torch.tensor([[0.0, 0.0], [-9.0, 9.0]]), torch.tensor([0, 0])
        >>> [round(value, 4) for value in truncated_ce(x, y, k=0.25).tolist()]  # -log(1 / 2), -log(1 / 4)
        [0.6931, 1.3863]
    """
    return closed_form(_formula, scores, target, k, compiled=("truncated_ce", k))


def _formula(energy: Energies, k: KnobValue) -> Slopes:
    loss = energy.plain
    bound = -knob_tensor(k, loss).log()
    beyond = loss > bound
    return Slopes(torch.where(beyond, bound, loss), gap=torch.where(beyond, 0.0, -energy.missing))


FAMILY = Family(
    name="truncated_ce",
    title="Truncated cross-entropy",
    reads="logits",
    function=truncated_ce,
    knobs=(
        Knob(
            name="k",
            symbol="k",
            default=0.01,
            low=0.0,
            high=1.0,
            grid=(0.0, 0.001, 0.01, 0.05, 0.1),
            search=(0.0, 0.2),
            baseline=0.0,
            source="Two-scale loss, eq. (12), which names no values; above 1 / K an untrained network gets no gradient",
        ),
    ),
    reference=(
        "Zhang and Sabuncu, Generalized Cross Entropy Loss, NeurIPS 2018, section 3.3; as quoted by Berlyand, Creese and Jabin, A novel "
        "multi-scale loss function for classification problems in machine learning, 2021, eq. (12)"
    ),
    formula=(r"L = \min \left( -\log p_y, -\log k \right)",),
    when=(
        "For data with wrong labels: a sample whose label has a probability below k is given up and no longer pulls. With a k above "
        "1/K, a network that knows nothing yet gives up every sample; keep k below, or raise it by a schedule."
    ),
)
