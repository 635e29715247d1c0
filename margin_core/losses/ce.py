"""Cross-entropy, the baseline that every other family is compared with, with label smoothing as its one knob."""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.closed_form import closed_form, cross_entropy
from margin_core.losses.energies import KnobValue, knob_tensor, target_score, widen
from margin_core.losses.family import Family
from margin_core.papers import LARGEST_MARGINS, Reported


def ce(scores: Tensor, target: Tensor, *, label_smoothing: KnobValue = 0.0) -> Tensor:
    """Cross-entropy -log p_y, or with smoothed labels (1 - eps)(-log p_y) + (eps / K) sum_j (-log p_j).

    The smoothed label gives every class eps / K, the target's included. Since -log p_j = -log p_y + x_y - x_j, the loss is
    -log p_y + eps (x_y - mean_j x_j), which is how it is computed.

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        label_smoothing: eps in [0, 1], a number or a tensor that broadcasts over (...).

    Returns:
        The loss of each sample (...).

    Example:
        >>> ce(torch.tensor([1.0, 1.0]), torch.tensor(0)).item() == torch.tensor(2.0).log().item()
        True
    """
    if not isinstance(label_smoothing, Tensor) and label_smoothing == 0.0:
        return closed_form(cross_entropy, scores, target, compiled=("cross_entropy",))
    # Widened here, so that the gradients of the two terms are rounded once, together.
    scores = widen(scores)
    loss = closed_form(cross_entropy, scores, target, compiled=("cross_entropy",))
    eps = knob_tensor(label_smoothing, loss)
    lead_over_mean = (target_score(scores, target).unsqueeze(-1) - scores).mean(dim=-1)
    # Without smoothing a class of score -inf has no say; 0 * inf would give it one.
    return loss + torch.where(eps == 0, 0.0, eps * lead_over_mean)


FAMILY = Family(
    name="ce",
    title="Cross-entropy",
    reads="logits",
    function=ce,
    knobs=(
        Knob(
            name="label_smoothing",
            symbol="ε",
            default=0.0,
            low=0.0,
            high=1.0,
            grid=(0.0, 0.05, 0.1, 0.2, 0.3),
            search=(0.0, 0.3),
            baseline=0.0,
            source="Szegedy et al. 2016, section 7, where eps = 0.1; the grid fills in around it",
        ),
    ),
    reference="Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016 (label smoothing)",
    formula=(r"L = -(1 - \varepsilon) \log p_y - \frac{\varepsilon}{K} \sum_j \log p_j",),
    when=(
        "The first loss to try, and the one that every other is judged against. Smoothed labels keep a network from being surer than "
        "it should be: beyond p_y = 1 - ε + ε/K they pull the target back down. Smoothing changes the least value of the loss, so "
        "compare accuracies, not losses."
    ),
    reported=(
        Reported(
            what="Test accuracy in percent, class margin and sample margin, without smoothing",
            source=f"{LARGEST_MARGINS}, table 1",
            columns=("data", "accuracy", "class margin", "sample margin"),
            rows=(
                ("MNIST", "99.11", "87.39°", "0.5014"),
                ("CIFAR-10", "94.12", "81.73°", "0.6203"),
                ("CIFAR-100", "74.56", "65.38°", "0.1612"),
            ),
        ),
    ),
)
