"""Focal loss: cross-entropy in which a sample weighs the less the better it is classified."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from margin_core.knobs import Knob
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_like
from margin_core.losses.family import Family
from margin_core.papers import LARGEST_MARGINS_TABLE_2


def focal(scores: Tensor, target: Tensor, *, gamma: KnobValue = 2.0) -> Tensor:
    """-(1 - p_y)^gamma log p_y.

    (1 - p_y)^gamma is taken as exp(gamma log(1 - p_y)), the logarithm being that of the sigmoid of minus the gap. So the gradient,
    kappa (p - 1_y) with kappa = (1 - p_y)^gamma [1 - gamma p_y log p_y / (1 - p_y)], is finite for every gamma >= 0 and at p_y = 1 too,
    where a power of 1 - p_y has no derivative if gamma < 1.

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        gamma: >= 0, a number or a tensor that broadcasts over (...). 0 is cross-entropy.

    Returns:
        The loss of each sample (...).

    Example:
        >>> import torch
        >>> round(focal(torch.tensor([0.0, 0.0]), torch.tensor(0), gamma=1.0).item(), 4)  # log(2) / 2
        0.3466
    """
    return closed_form(_formula, scores, target, gamma, compiled=("focal", gamma))


def _formula(energy: Energies, gamma: KnobValue) -> Slopes:
    gap, gamma = energy.gap, knob_like(gamma, energy.gap)
    plain, weight = energy.plain, (gamma * logsigmoid(-gap)).exp()
    return Slopes(weight * plain, gap=-weight * (energy.missing + gamma * torch.sigmoid(gap) * plain))


FAMILY = Family(
    name="focal",
    title="Focal loss",
    reads="logits",
    function=focal,
    knobs=(
        Knob(
            name="gamma",
            symbol="γ",
            default=2.0,
            low=0.0,
            high=float("inf"),
            grid=(0.0, 0.5, 1.0, 2.0, 5.0),
            search=(0.0, 5.0),
            baseline=0.0,
            source="Focal loss, table 1b; Largest margins, table 2, has it with gamma = 1",
        ),
    ),
    reference="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. (4)",
    formula=(r"L = -(1 - p_y)^{\gamma} \log p_y",),
    when=(
        "Where easy samples abound and would drown the others, as the background does in detection. It lets go of well-classified "
        "samples earlier than cross-entropy, so margins shrink rather than grow. Wrong labels are hard samples too, and get the more "
        "weight."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("focal", "66.30", "74.14°", "87.33", "74.48°", "60.55", "63.31°", "84.49", "75.16°"),
        ),
    ),
)
