"""Softmax with probability-dependent gradient decay: beta sets how fast a sample's gradient falls as its probability rises.

Its warm-up is a `Schedule` of beta, as any knob may have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.energies import KnobValue, knob_tensor, target_gap
from margin_core.losses.family import Family


def gradient_decay(scores: Tensor, target: Tensor, *, beta: KnobValue = 0.1, tau: KnobValue = 1.0) -> Tensor:
    """Softmax loss with gradient decay beta and temperature tau, the paper's eqs. (5) and (8).

    With z = scores / tau and c the target::

        J = -log(e^{z_c} / (sum_{i != c} e^{z_i} + beta e^{z_c})) = log(e^{N - z_c} + beta),   N = log sum_{i != c} e^{z_i}

    which is computed in log space and overflows for no beta; the paper's shift by u = 70, eq. (25), is not needed. It equals
    cross-entropy of the logits with log beta added to the target's, plus log beta: beta < 1 is a margin of -log beta. Its least
    value is log beta, negative for beta < 1, so losses of different beta are not comparable. |dJ/dz_c| = (1 - p_c) / (1 + (beta - 1) p_c).

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        beta: > 0, a number or a tensor that broadcasts over (...). 1 is cross-entropy.
        tau: > 0, likewise.

    Returns:
        The loss of each sample (...).

    Example:
        >>> round(gradient_decay(torch.tensor([0.0, 0.0]), torch.tensor(0), beta=3.0).item(), 4)  # log(1 + 3)
        1.3863
    """
    gap = target_gap(scores, target, 1.0 / tau)
    return torch.logaddexp(-gap, knob_tensor(beta, gap).log())


FAMILY = Family(
    name="gradient_decay",
    title="Probability-dependent gradient decay",
    reads="logits",
    function=gradient_decay,
    knobs=(
        Knob(
            name="beta",
            symbol="β",
            default=0.1,
            low=0.0,
            high=float("inf"),
            open_low=True,
            grid=(0.01, 0.1, 1.0, 2.0, 5.0),
            search=(0.001, 10.0),
            scale="log",
            baseline=1.0,
            source="Gradient decay, eq. (8); tables 2 to 5. Its warm-up, eq. (24), runs from 0.001 to 0.01 or from 1 to 5",
        ),
        Knob(
            name="tau",
            symbol="τ",
            default=1.0,
            low=0.0,
            high=float("inf"),
            open_low=True,
            grid=(1.0,),
            search=(0.25, 4.0),
            scale="log",
            source="Gradient decay, eq. (5), where tau = 1 throughout the experiments",
        ),
    ),
    inverse_temperature=lambda knobs: 1.0 / knobs["tau"],
    reference="Zhang, Xie and Chen, Probability-Dependent Gradient Decay in Large Margin Softmax, eqs. (5), (8), (24), (25)",
)
