"""SphereFace, or angular softmax, with normalised features: the target's angle is multiplied by m, with the annealing of its training."""

from __future__ import annotations

import math

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import BEYOND_PI, GRADIENT, BeyondPi, Gradient, compiled_margin, harder_angle
from margin_core.losses.closed_form import closed_form, cross_entropy_with
from margin_core.losses.energies import KnobValue
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


def sphere_face(
    cosines: Tensor,
    target: Tensor,
    *,
    m: KnobValue = 1.35,
    s: KnobValue = 20.0,
    lam: KnobValue = 0.0,
    gradient: Gradient = "exact",
    beyond_pi: BeyondPi = "continue",
) -> Tensor:
    """-log(e^{s t} / (e^{s t} + sum_{j != y} e^{s c_j})), t = (lambda c_y + psi) / (1 + lambda), psi = cos(m theta_y).

    Beyond m theta_y = pi, psi goes on falling, as the paper has it: psi = (-1)^k cos(m theta) - 2k, k = floor(m theta / pi). Without
    annealing, lambda = 0, it is the unified margin softmax with m1 = m. A large m hardly trains from the start; `annealing` gives the
    lambda that the authors' code begins with and how it falls.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        m: Factor of the angle >= 1, whole or not, a number or a tensor that broadcasts over (...). 1 is `norm_face`.
        s: Scale > 0, likewise.
        lam: Weight of the plain cosine in the target's, >= 0, likewise.
        gradient: ``exact``, or ``straight_through``: d psi / dc taken as 1; the loss is the same.
        beyond_pi: ``continue``, or ``none``: psi = cos(m theta_y) throughout.

    Returns:
        The loss of each sample (...).
    """
    angle = harder_angle(gradient, beyond_pi, cosines.dtype, "sphere_face")

    def harder(cosine: Tensor, m: KnobValue, lam: KnobValue) -> tuple[Tensor, Tensor]:
        psi, slope = angle(cosine, m, 0.0)
        return (lam * cosine + psi) / (1.0 + lam), (lam + slope) / (1.0 + lam)

    compiled = compiled_margin(s, m1=m, lam=lam, gradient=gradient, beyond_pi=beyond_pi, precision=cosines.dtype)
    return closed_form(cross_entropy_with(harder), cosines, target, s, m, lam, scale=s, compiled=compiled)


def annealing(step: int, base: float = 1000.0, gamma: float = 0.12, power: float = 1.0, minimum: float = 5.0) -> float:
    """The annealing weight lambda at a step of training: max(minimum, base (1 + gamma step)^-power).

    A pure function of the step, so that a training that is continued goes on with the right one: ``loss.set_knobs(lam=annealing(step))``.
    The defaults are those of the authors' Caffe code. Set ``minimum`` to 0 to end with the margin alone. With ``power`` 1 it is the knob's
    schedule ``Schedule("inverse", base, minimum, length)``, whose length is (base / minimum - 1) / gamma steps.

    Args:
        step: Steps of the optimiser done, >= 0.
        base: lambda at step 0.
        gamma: How fast it falls.
        power: How steeply.
        minimum: Where it stops.

    Raises:
        ValueError: If ``step`` is negative.

    Example:
        >>> [round(annealing(step), 1) for step in (0, 100, 10_000)]
        [1000.0, 76.9, 5.0]
    """
    if step < 0:
        raise ValueError(f"step must be >= 0, got {step!r}")
    return max(minimum, base * math.pow(1.0 + gamma * step, -power))


FAMILY = Family(
    name="sphere_face",
    title="SphereFace",
    reads="cosines",
    function=sphere_face,
    knobs=(
        Knob(
            name="m",
            symbol="m",
            default=1.35,
            low=1.0,
            high=float("inf"),
            grid=(1.0, 1.35, 2.0, 3.0, 4.0),
            search=(1.0, 4.0),
            source="SphereFace, section 4.2: 1 to 4; ArcFace, table 2, has 1.35; 1 is norm_face",
        ),
        SCALE,
        Knob(
            name="lam",
            symbol="λ",
            default=0.0,
            low=0.0,
            high=float("inf"),
            grid=(0.0,),
            search=(0.0, 10.0),
            source="SphereFace's code anneals it from 1000 to 5, as `annealing` or an inverse schedule does; 0 is the margin alone",
        ),
    ),
    options=(GRADIENT, BEYOND_PI),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Liu et al., SphereFace: Deep Hypersphere Embedding, CVPR 2017, eqs. (6) and (7), with normalised features",
    formula=(
        r"L = -\log \frac{e^{s t}}{e^{s t} + \sum_{j \neq y} e^{s c_j}}",
        r"t = \frac{\lambda c_y + \psi}{1 + \lambda}",
        r"\psi = (-1)^k \cos \varphi - 2 k, \quad \varphi = m \theta_y, \quad k = \lfloor \varphi / \pi \rfloor",
    ),
    when=(
        "A margin that multiplies the angle: large at large angles, none at angle 0. A whole m of 2 or more hardly trains from the "
        "start, since the pull vanishes wherever m θ is a multiple of π; let λ fall from a large value (`annealing`). `cos_face` and "
        "`arc_face` need no such care."
    ),
)
