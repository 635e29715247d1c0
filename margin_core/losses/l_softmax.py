"""Large-margin softmax: the target's angle is multiplied by m, and the norms of features and prototypes stay in the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import LEAST_SINE, harder_angle
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, cross_entropy_of_gap, knob_like, knob_tensor, wide_dtype
from margin_core.losses.family import Family


def l_softmax(cosines: Tensor, target: Tensor, *, norms: KnobValue, m: KnobValue = 2.0, lam: KnobValue = 0.0) -> Tensor:
    """-log(e^{n_y t} / (e^{n_y t} + sum_{j != y} e^{n_j c_j})), t = (lambda c_y + psi) / (1 + lambda).

    psi = cos(m theta_y) and n_j = |w_j| |z|. Beyond m theta_y = pi, psi goes on falling: psi = (-1)^k cos(m theta) - 2k with
    k = floor(m theta / pi) (`angular_margin`). At m = 1 it is cross-entropy of the logits w_j z, without a bias.

    At m >= 2 and lambda = 0 a network that knows nothing yet, whose angles are all about pi / 2, finds it easier to shrink the norms to
    nothing than to turn the angle, and stays there. lambda is the authors' remedy, which they let fall in training
    (`sphere_face.annealing`).

    Args:
        cosines: c (..., K) in [-1, 1] of feature z and prototypes w_j; half precision is widened to float32.
        target: Class indices (...).
        norms: n (..., K), the norms of prototype and feature multiplied, >= 0. Their gradient is that of the logits' size.
        m: Factor of the angle, a whole number >= 1, a number or a tensor that broadcasts over (...).
        lam: Weight of the plain cosine in the target's, >= 0, likewise.

    Returns:
        The loss of each sample (...).
    """
    each_norm = knob_tensor(norms, cosines, wide_dtype(cosines)).expand_as(cosines)
    angle = harder_angle("exact", "continue", cosines.dtype, "l_softmax")

    def formula(energy: Energies, m: KnobValue, lam: KnobValue) -> Slopes:
        cosine, norm = energy.score, energy.norm
        assert norm is not None
        psi, slope = angle(cosine, m, 0.0)
        lam = knob_like(lam, cosine)
        mixed = (lam * cosine + psi) / (1.0 + lam)
        gap = energy.gap + norm * (mixed - cosine)
        missing = torch.sigmoid(-gap)
        by_cosine = -missing * norm * (lam + slope) / (1.0 + lam)
        return Slopes(cross_entropy_of_gap(gap), score=by_cosine, competitors=missing, norm=-missing * mixed)

    compiled = "l_softmax", m, lam, LEAST_SINE[cosines.dtype]
    return closed_form(formula, cosines, target, m, lam, norms=each_norm, compiled=compiled)


FAMILY = Family(
    name="l_softmax",
    title="Large-margin softmax",
    reads="cosines",
    function=l_softmax,
    inputs=("norms",),
    knobs=(
        Knob(
            name="m",
            symbol="m",
            default=2.0,
            low=1.0,
            high=float("inf"),
            grid=(1.0, 2.0, 3.0, 4.0, 5.0),
            search=(1.0, 5.0),
            integer=True,
            source="Large-margin softmax, tables 2 to 4: 1 (the plain softmax) to 4; 5 shows whether it goes on",
        ),
        Knob(
            name="lam",
            symbol="λ",
            default=0.0,
            low=0.0,
            high=float("inf"),
            grid=(5.0, 20.0),
            search=(0.1, 100.0),
            scale="log",
            source="Large-margin softmax lets it fall in training, in its code to 5; 20 trains m = 4 too from the start, 0 no m above 1",
        ),
    ),
    inverse_temperature=lambda knobs, norms: norms,
    reference="Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, eqs. (4) to (6)",
    formula=(
        r"L = -\log \frac{e^{n_y t}}{e^{n_y t} + \sum_{j \neq y} e^{n_j c_j}}, \quad n_j = \Vert w_j \Vert \Vert z \Vert",
        r"t = \frac{\lambda c_y + \psi}{1 + \lambda}",
        r"\psi = (-1)^k \cos \varphi - 2 k, \quad \varphi = m \theta_y, \quad k = \lfloor \varphi / \pi \rfloor",
    ),
    when=(
        "A margin that multiplies the angle, for a head whose norms are free, unlike that of `sphere_face`. At λ = 0 and m of 2 or "
        "more a network may shrink its norms to nothing instead of turning the angles; keep λ at 5 or more, or let it fall from a "
        "large value."
    ),
)
