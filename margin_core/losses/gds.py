"""Generalized Dual-Scale loss: cross-entropy fused with a constraint on the hardest competitor, which lambda leans on."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from margin_core.knobs import Knob, Option
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_like
from margin_core.losses.family import Family
from margin_core.papers import Reported


def gds(
    scores: Tensor,
    target: Tensor,
    *,
    lam: KnobValue = 1.0,
    tau: KnobValue = 1.0,
    hardest: Literal["attached", "detached"] = "attached",
) -> Tensor:
    """Generalized Dual-Scale loss, the paper's eqs. (4) to (6).

    With S_all = log sum_k e^{x_k}, N = log sum_{j != y} e^{x_j}, M = max_{j != y} x_j and S(M) = log(e^N + e^M)::

        L_right = S_all - x_y                                 (4)
        L_left  = lam S(M) + (1 - lam) S_all - x_y            (5)
        L       = tau log(e^{L_left / tau} + e^{L_right / tau})   (6), where the paper has tau = 1

    L_left - L_right = lam log q with q = e^{S(M) - S_all} = 1 - p_y + p_M, so L = -log p_y + tau softplus(lam log q / tau), and the
    target's gradient is p_y (1 - alpha lam) - 1 with alpha = sigmoid(lam log q / tau), eq. (12). At lam = 0 the loss is
    cross-entropy plus the constant tau log 2.

    Args:
        scores: Logits (..., K); half precision is widened to float32.
        target: Class indices (...).
        lam: lambda >= 0, a number or a tensor that broadcasts over (...).
        tau: Temperature of the fusion, > 0, likewise.
        hardest: ``attached``: e^M passes gradient, so the hardest competitor's pull inside S(M) doubles, as the paper's note
            says, and the gradients of a sample sum to zero. ``detached``: e^M is a constant; the loss is the same, the hardest
            competitor is not pulled harder, and the gradients do not sum to zero. The paper's "detached with respect to x_y"
            holds of both, since M does not depend on x_y.

    Returns:
        The loss of each sample (...).

    Raises:
        ValueError: If ``hardest`` is neither.
    """
    HARDEST.check(hardest, "gds")
    if hardest == "attached":
        return closed_form(_attached, scores, target, lam, tau, hardest=True, compiled=("gds", lam, tau))
    return closed_form(_detached, scores, target, lam, tau, hardest=True, compiled=("gds_detached", lam, tau))


def _attached(energy: Energies, lam: KnobValue, tau: KnobValue) -> Slopes:
    gap, n, m = energy.gap, energy.competitors, energy.hardest
    assert n is not None and m is not None
    lam, tau = knob_like(lam, gap), knob_like(tau, gap)
    # log q = log(e^N + e^M) - log(e^N + e^t) with N taken out of both; 1 - p_y would lose its digits where p_y is near 1.
    log_q = logsigmoid(-gap) - logsigmoid(n - m)
    ratio = lam * log_q / tau
    loss = energy.plain - tau * logsigmoid(-ratio)
    # alpha lam, and the share of S(M) that is e^M.
    pull, share = lam * torch.sigmoid(ratio), torch.sigmoid(m - n)
    missing, pull_of_hardest = energy.missing, pull * share
    return Slopes(
        loss,
        score=-missing - pull * torch.sigmoid(gap),
        competitors=missing - pull * missing + pull * torch.sigmoid(n - m),
        hardest=pull_of_hardest,
    )


def _detached(energy: Energies, lam: KnobValue, tau: KnobValue) -> Slopes:
    assert energy.hardest is not None
    return _attached(energy._replace(hardest=energy.hardest.detach()), lam, tau)._replace(hardest=None)


HARDEST = Option(
    name="hardest",
    choices=("attached", "detached"),
    default="attached",
    source="GDS, section 2.1: two readings of the detached M",
)

FAMILY = Family(
    name="gds",
    title="Generalized Dual-Scale loss",
    reads="logits",
    function=gds,
    knobs=(
        Knob(
            name="lam",
            symbol="λ",
            default=1.0,
            low=0.0,
            high=float("inf"),
            grid=(0.0, 0.5, 1.0, 1.5, 2.0),
            search=(0.0, 3.0),
            baseline=0.0,
            source="GDS, eq. (5); table 1, with its cross-entropy column as 0",
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
            source="GDS, eq. (6), where tau = 1 throughout",
        ),
    ),
    options=(HARDEST,),
    reference="Xia, Generalized Dual-Scale Optimization: Topology-Aware Margin Dynamics in Fine-Grained Vision, eqs. (4)-(6), (12)",
    formula=(
        r"L = -\log p_y + \tau \log \left( 1 + q^{\lambda / \tau} \right)",
        r"q = 1 - p_y + \max_{j \neq y} p_j",
    ),
    when=(
        "For fine-grained classes, where cross-entropy lets go of a sample before its nearest competitor is beaten. Its paper finds λ "
        "about 1 best on cluttered images of birds and 2 on images of cars. A larger λ pulls hardest at samples near the border, from "
        "λ = 2 on harder than cross-entropy ever pulls: clip the gradient there."
    ),
    reported=(
        Reported(
            what="Top-1 test accuracy in percent, ViT-B/16 pre-trained on ImageNet-21k, τ = 1",
            source="Xia, Generalized Dual-Scale Optimization, table 1",
            columns=("data", "cross-entropy", "λ = 0.5", "1", "1.5", "2"),
            rows=(
                ("CUB-200-2011", "90.93", "90.84", "91.26", "91.14", "90.70"),
                ("Stanford Dogs", "89.71", "89.43", "89.92", "90.07", "89.97"),
                ("Stanford Cars", "90.30", "90.22", "90.47", "90.72", "90.92"),
            ),
        ),
    ),
)
