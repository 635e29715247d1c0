"""Softmax with probability-dependent gradient decay: beta sets how fast a sample's gradient falls as its probability rises.

Its warm-up is a `Schedule` of beta, as any knob may have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_tensor, wide_dtype
from margin_core.losses.family import Family
from margin_core.papers import Reported


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
    scale = 1.0 / (knob_tensor(tau, scores, wide_dtype(scores)) if isinstance(tau, Tensor) else tau)
    return closed_form(_formula, scores, target, beta, scale=scale, compiled=("gradient_decay", beta))


def _formula(energy: Energies, beta: KnobValue) -> Slopes:
    log_beta = knob_tensor(beta, energy.gap).log()
    return Slopes(torch.logaddexp(-energy.gap, log_beta), gap=-torch.sigmoid(-energy.gap - log_beta))


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
    formula=(r"L = -\log \frac{e^{x_y / \tau}}{\beta e^{x_y / \tau} + \sum_{j \neq y} e^{x_j / \tau}}",),
    when=(
        "β below 1 goes on pulling at samples that are already right, like a margin of -log β between the logits. Try small β where "
        "the network can fit the data, and β from 1 up where it hardly can, as on CIFAR-100 in the paper. The loss falls to log β, so "
        "losses of different β cannot be compared, nor those along a warm-up of β."
    ),
    reported=(
        Reported(
            what="Top-1 test accuracy in percent on CIFAR-10, by β",
            source="Zhang, Xie and Chen, Probability-Dependent Gradient Decay, table 2",
            columns=("network", "5", "2", "1 (cross-entropy)", "0.1", "0.01", "warm-up of β"),
            rows=(
                ("ResNet-18", "82.1", "83.8", "83.9", "84.4", "84.4", "84.8"),
                ("ResNet-35", "83.4", "84.3", "84.3", "84.7", "85.2", "85.6"),
                ("VGG-16", "83.8", "85.3", "85.6", "85.7", "85.9", "86.1"),
                ("MobileNet v1", "78.4", "79.6", "81.7", "82.9", "83.0", "83.3"),
            ),
        ),
        Reported(
            what="Top-1 test accuracy in percent on SVHN, by β",
            source="Zhang, Xie and Chen, Probability-Dependent Gradient Decay, table 3",
            columns=("network", "5", "2", "1 (cross-entropy)", "0.1", "0.01", "warm-up of β"),
            rows=(
                ("ResNet-18", "94.5", "94.8", "94.9", "95.8", "95.6", "95.9"),
                ("ResNet-35", "95.0", "95.2", "95.5", "96.1", "96.0", "96.2"),
                ("VGG-16", "95.1", "95.3", "95.4", "96.1", "95.8", "96.0"),
                ("MobileNet v1", "94.1", "94.5", "95.0", "95.2", "95.5", "95.9"),
            ),
        ),
        Reported(
            what="Top-1 test accuracy in percent on CIFAR-100, by β",
            source="Zhang, Xie and Chen, Probability-Dependent Gradient Decay, table 4",
            columns=("network", "5", "2", "1 (cross-entropy)", "0.1", "0.01", "warm-up of β"),
            rows=(
                ("ResNet-18", "52.8", "53.8", "52.9", "52.8", "52.7", "54.3"),
                ("ResNet-35", "54.2", "54.1", "53.4", "53.0", "53.0", "54.6"),
                ("VGG-16", "53.0", "52.8", "52.8", "52.5", "52.4", "53.0"),
                ("MobileNet v1", "45.0", "44.1", "43.8", "43.5", "43.5", "45.4"),
            ),
        ),
    ),
)
