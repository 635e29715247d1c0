"""Generalised cross-entropy: between cross-entropy and the mean absolute error, so that mislabelled samples pull less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from margin_core.knobs import Knob
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_tensor
from margin_core.losses.family import Family

LEAST_Q = 1e-30
"""A smaller q is taken as this one: the loss is that of cross-entropy to the last digit long before, and q must not underflow."""


def gce(scores: Tensor, target: Tensor, *, q: KnobValue = 0.7) -> Tensor:
    """(1 - p_y^q) / q, with the gradient p_y^q (p - 1_y).

    As q goes to 0 it becomes cross-entropy, at q = 1 it is 1 - p_y. It is taken as -expm1(q log p_y) / q, in float64, which keeps its
    digits however small q is.

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        q: In (0, 1], a number or a tensor that broadcasts over (...).

    Returns:
        The loss of each sample (...), in [0, 1 / q].

    Example:
        >>> gce(torch.tensor([0.0, 0.0]), torch.tensor(0), q=1.0).item()
        0.5
    """
    return closed_form(_formula, scores, target, q, compiled=("gce", q))


def _formula(energy: Energies, q: KnobValue) -> Slopes:
    gap = energy.gap
    q = knob_tensor(q, gap, torch.float64).clamp_min(LEAST_Q)
    log_power = q * logsigmoid(gap).double()
    power = log_power.exp()
    # Far from 0 not by expm1, whose derivative is taken from its value, near -1, and loses its digits there.
    lost = torch.where(log_power > -0.5, -torch.expm1(log_power), 1.0 - power)
    return Slopes((lost / q).to(gap.dtype), gap=(power * -energy.missing).to(gap.dtype))


FAMILY = Family(
    name="gce",
    title="Generalised cross-entropy",
    reads="logits",
    function=gce,
    knobs=(
        Knob(
            name="q",
            symbol="q",
            default=0.7,
            low=0.0,
            high=1.0,
            open_low=True,
            grid=(0.1, 0.3, 0.5, 0.7, 1.0),
            search=(0.05, 1.0),
            source="GCE, eq. (6), where q = 0.7 in the experiments; cross-entropy is its limit at 0, and the others fill in between",
        ),
    ),
    reference="Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Networks with Noisy Labels, NeurIPS 2018, eq. (6)",
    formula=(r"L = \frac{1 - p_y^q}{q}",),
    when=(
        "For data with wrong labels: a sample far from its label pulls little, where cross-entropy pulls hardest. The larger q, the "
        "more is forgiven and the slower it learns, most of all with many classes, where every sample begins with a small p_y."
    ),
)
