"""How hard a family pulls at its target, by the probability that the target has: the papers' curves of |g_y| against p_y."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from margin_core.losses import Loss, build_loss, get_family

# Norm of the feature times norm of the prototype, for the family that reads it; large enough for every cosine to tell.
NORMS = 30.0


def target_gradient(family: str, p_y: Tensor | Sequence[float], *, competitors: int = 1, **knobs: float | str) -> Tensor:
    """|g_y| = |dL / dx_y| at each probability ``p_y`` of the target, x_y being the logit of the family's prediction.

    The gradient is autograd's of the family's own loss, at scores with that probability. Logits leave one freedom, how the other
    classes share 1 - p_y: here ``competitors`` classes share it evenly. One competitor is the hardest case; with m - 1 of them it is
    the case of the gradient-decay paper's figure 3. Cross-entropy has |g_y| = 1 - p_y, and GDS is figure 1 of its paper with the
    gate alpha that the scores really have, not alpha = 1.

    Families that read cosines are taken at x = s c, where their prediction's softmax gives p_y, so that NormFace has 1 - p_y too;
    times s it is the gradient with respect to the cosine. Prototypes form a simplex, as at the loss's optimum, and the feature has
    the cosine c to its own and -c / ``competitors`` to each other one; where no c in [-1, 1] gives p_y (small s), the result is NaN.

    Classes are equally frequent (LDAM), and the norms of feature and prototype multiply to 30 (L-Softmax).

    GDS (Xia), figure 1 and eq. (12); Probability-dependent gradient decay (Zhang, Xie and Chen), figures 2 and 3 and eq. (11).

    Args:
        family: One of `margin_core.losses.list_losses`.
        p_y: Probabilities of the target in (0, 1), of any shape.
        competitors: Number of other classes, K - 1, at least 1.
        **knobs: The family's knobs and options by name; those left out have their defaults.

    Returns:
        |g_y|, float64, of the shape of ``p_y``.

    Raises:
        ValueError: On a probability or a number of competitors out of range, or what `build_loss` refuses.

    Example:
        >>> target_gradient("gradient_decay", [0.5, 0.9], beta=0.1)  # (1 - p) / (1 - 0.9 p)
        tensor([0.9091, 0.5263], dtype=torch.float64)
        >>> target_gradient("gds", [0.5, 0.9], lam=1.0)
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    if competitors < 1:
        raise ValueError(f"competitors must be >= 1, got {competitors!r}")
    # Gradients are wanted whatever the caller has switched off.
    with torch.inference_mode(False), torch.enable_grad():
        wanted = torch.as_tensor(p_y, dtype=torch.float64).detach().clone()
        if not bool(((wanted > 0.0) & (wanted < 1.0)).all()):
            raise ValueError(f"p_y must be in (0, 1), got values from {float(wanted.min())} to {float(wanted.max())}")
        declared = get_family(family)
        balanced = {"class_counts": [1] * (competitors + 1)} if "class_counts" in declared.needs else {}
        inputs = {"norms": NORMS} if "norms" in declared.inputs else {}
        loss = build_loss(family, num_classes=competitors + 1, reduction="sum", **balanced, **knobs).to(wanted.device)
        scale = float(loss.prediction_logits(torch.ones((), dtype=torch.float64), **inputs).detach())
        scores = _scores(loss, wanted, competitors, scale).requires_grad_()
        # Each probability is a batch of its own, for families that choose among the samples of one.
        alone = loss(scores.unsqueeze(-2), torch.zeros_like(wanted, dtype=torch.int64).unsqueeze(-1), **inputs)
        (gradient,) = torch.autograd.grad(alone, scores)
    of_target: Tensor = gradient[..., 0].abs() / scale
    return of_target.where(scores.isfinite().all(dim=-1), torch.nan).detach()


def _scores(loss: Loss, p_y: Tensor, competitors: int, scale: float) -> Tensor:
    """Scores (..., K) whose prediction gives class 0 the probability ``p_y``; NaN where there are none."""
    # The lead of the target over each of the others that together have 1 - p_y.
    lead = (p_y.log() - torch.log1p(-p_y) + torch.tensor(competitors, dtype=torch.float64).log()) / scale
    if loss.family.reads == "logits":
        own, other = lead, torch.zeros_like(lead)
    else:
        own = lead * competitors / (competitors + 1)
        own = own.where(own.abs() <= 1.0, torch.nan)
        other = -own / competitors
    return torch.cat([own.unsqueeze(-1), other.unsqueeze(-1).expand(*lead.shape, competitors)], dim=-1)
