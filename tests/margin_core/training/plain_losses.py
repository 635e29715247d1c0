"""Every family and regulariser once more, as the papers print them, in a few plain operations of torch that autograd differentiates.

Nothing is imported from the package, so agreement means something. `PLAIN` has the mean loss of a batch by the family's name: of scores
(N, K), labels (N,) and the family's knobs, options and inputs by name. Numbers are float64, and no care is taken of extreme scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def own(x: Tensor, y: Tensor) -> Tensor:
    return x.gather(1, y[:, None]).squeeze(1)


def is_own(x: Tensor, y: Tensor) -> Tensor:
    return F.one_hot(y, x.shape[1]).bool()


def strongest(x: Tensor, y: Tensor) -> Tensor:
    return x.masked_fill(is_own(x, y), -math.inf).max(dim=1).values


def others(x: Tensor, y: Tensor) -> Tensor:
    """Log of the sum of exponentials of all scores but the own one."""
    return x.masked_fill(is_own(x, y), -math.inf).logsumexp(dim=1)


def with_own(x: Tensor, y: Tensor, score: Tensor) -> Tensor:
    """Cross-entropy where the own score is another one."""
    return F.cross_entropy(torch.where(is_own(x, y), score[:, None], x), y)


def ce(x: Tensor, y: Tensor, *, label_smoothing: float) -> Tensor:
    return F.cross_entropy(x, y, label_smoothing=label_smoothing)


def gds(x: Tensor, y: Tensor, *, lam: float, tau: float, hardest: str) -> Tensor:
    top = strongest(x, y)
    two = torch.stack([others(x, y), top if hardest == "attached" else top.detach()]).logsumexp(dim=0)
    right = x.logsumexp(dim=1) - own(x, y)
    left = lam * two + (1 - lam) * x.logsumexp(dim=1) - own(x, y)
    return (tau * torch.stack([left / tau, right / tau]).logsumexp(dim=0)).mean()


def gradient_decay(x: Tensor, y: Tensor, *, beta: float, tau: float) -> Tensor:
    z = x / tau
    return ((others(z, y) - own(z, y)).exp() + beta).log().mean()


def two_scale(x: Tensor, y: Tensor, *, eta: float, first: Tensor, second: Tensor, network: Tensor) -> Tensor:
    """With the scales R1, R2 and R themselves."""
    sure = (own(x, y) - strongest(x, y) >= eta).detach()
    return F.cross_entropy(torch.where(sure, second, first)[:, None] * x / network, y)


def focal(x: Tensor, y: Tensor, *, gamma: float) -> Tensor:
    p = own(x.softmax(dim=1), y)
    return -((1 - p) ** gamma * p.log()).mean()


def gce(x: Tensor, y: Tensor, *, q: float) -> Tensor:
    return ((1 - own(x.softmax(dim=1), y) ** q) / q).mean()


def truncated_ce(x: Tensor, y: Tensor, *, k: float) -> Tensor:
    p = own(x.softmax(dim=1), y)
    return -p.clamp_min(k).log().mean()


def ohem(x: Tensor, y: Tensor, *, keep: float) -> Tensor:
    kept = max(1, math.floor(keep * len(y) + 0.5))
    return F.cross_entropy(x, y, reduction="none").topk(kept).values.mean()


def norm_face(c: Tensor, y: Tensor, *, s: float) -> Tensor:
    return F.cross_entropy(s * c, y)


def cos_face(c: Tensor, y: Tensor, *, m: float, s: float) -> Tensor:
    return with_own(s * c, y, s * (own(c, y) - m))


def psi(cosine: Tensor, m1: float, m2: float, beyond_pi: str = "continue") -> Tensor:
    phi = m1 * cosine.acos() + m2
    k = (phi / math.pi).floor().detach() if beyond_pi == "continue" else torch.zeros_like(phi)
    return torch.where(k % 2 == 0, 1.0, -1.0) * phi.cos() - 2 * k


def arc_face(c: Tensor, y: Tensor, *, m: float, s: float, beyond_pi: str) -> Tensor:
    return with_own(s * c, y, s * psi(own(c, y), 1.0, m, beyond_pi))


def margin_softmax(c: Tensor, y: Tensor, *, m1: float, m2: float, m3: float, s: float, beyond_pi: str) -> Tensor:
    return with_own(s * c, y, s * (psi(own(c, y), m1, m2, beyond_pi) - m3))


def sphere_face(c: Tensor, y: Tensor, *, m: float, s: float, lam: float, beyond_pi: str) -> Tensor:
    mixed = (lam * own(c, y) + psi(own(c, y), m, 0.0, beyond_pi)) / (1 + lam)
    return with_own(s * c, y, s * mixed)


def l_softmax(c: Tensor, y: Tensor, *, m: float, lam: float, norms: Tensor) -> Tensor:
    mixed = (lam * own(c, y) + psi(own(c, y), m, 0.0)) / (1 + lam)
    return with_own(norms * c, y, own(norms, y) * mixed)


def gm_softmax(c: Tensor, y: Tensor, *, alpha1: float, alpha2: float, beta1: float, beta2: float, s: float) -> Tensor:
    above, below = s * (alpha1 * own(c, y) + beta1), s * (alpha2 * own(c, y) + beta2)
    return (torch.stack([below, others(s * c, y)]).logsumexp(dim=0) - above).mean()


def lm_softmax(c: Tensor, y: Tensor, *, s: float) -> Tensor:
    return ((others(s * c, y) - s * own(c, y)) / s).mean()


def ldam(c: Tensor, y: Tensor, *, max_margin: float, s: float, class_counts: Tensor) -> Tensor:
    margins = max_margin * (class_counts.min() / class_counts) ** 0.25
    return with_own(s * c, y, s * (own(c, y) - margins[y]))


PLAIN: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (ce, gds, gradient_decay, two_scale, focal, gce, truncated_ce, ohem, norm_face, cos_face, arc_face, margin_softmax)
} | {function.__name__: function for function in (sphere_face, l_softmax, gm_softmax, lm_softmax, ldam)}


def sample_margin(c: Tensor, y: Tensor) -> Tensor:
    return (strongest(c, y) - own(c, y)).mean()


def zero_centroid(prototypes: Tensor) -> Tensor:
    units = prototypes / prototypes.norm(dim=1, keepdim=True)
    return (units.sum(dim=0) / len(units)).square().sum()


def scheduled(setting: Any, progress: float) -> Any:
    """The value of a knob after a share of the training's steps, where ``setting`` is a schedule."""
    if not hasattr(setting, "kind"):
        return setting
    if setting.kind == "path":
        return [setting.start, *(value for place, value in setting.then if place <= progress)][-1]
    if setting.kind == "constant":
        return setting.start
    if progress >= setting.length:
        return setting.end
    done = {"linear": progress / setting.length, "cosine": (1 - math.cos(math.pi * progress / setting.length)) / 2, "step": 0.0}
    return (1 - done[setting.kind]) * setting.start + done[setting.kind] * setting.end
