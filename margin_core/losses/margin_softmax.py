"""The unified margin softmax: the target's angle multiplied by m1 and widened by m2, its cosine lowered by m3."""

from __future__ import annotations

import math

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import BEYOND_PI, GRADIENT, BeyondPi, Gradient, compiled_margin, harder_angle
from margin_core.losses.closed_form import closed_form, cross_entropy_with
from margin_core.losses.energies import KnobValue
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


def margin_softmax(
    cosines: Tensor,
    target: Tensor,
    *,
    m1: KnobValue = 1.0,
    m2: KnobValue = 0.0,
    m3: KnobValue = 0.0,
    s: KnobValue = 20.0,
    gradient: Gradient = "exact",
    beyond_pi: BeyondPi = "continue",
) -> Tensor:
    """-log(e^{s psi} / (e^{s psi} + sum_{j != y} e^{s c_j})), psi = cos(m1 theta_y + m2) - m3.

    (m1, m2, m3) = (1, 0, 0) is `norm_face`, (1, 0, m) `cos_face`, (1, m, 0) `arc_face` and (m, 0, 0) `sphere_face`; any combination
    may be had. m3 stands inside the scale: s (cos(m1 theta + m2) - m3); some print the bracket before it. Beyond m1 theta_y + m2 = pi,
    psi goes on falling (`angular_margin`), without which the paper's bound psi <= cos(m2) cos(theta_y) - m3 would not hold.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        m1: Factor of the angle, > 0, a number or a tensor that broadcasts over (...), as all that follow.
        m2: Margin added to the angle, in radians, in [0, pi].
        m3: Margin taken off the cosine, in [0, 2].
        s: Scale > 0.
        gradient: ``exact``, or ``straight_through``: d psi / dc taken as 1; the loss is the same.
        beyond_pi: ``continue``, or ``none``: psi = cos(m1 theta_y + m2) - m3 throughout.

    Returns:
        The loss of each sample (...).
    """
    angle = harder_angle(gradient, beyond_pi, cosines.dtype, "margin_softmax")

    def harder(cosine: Tensor, m1: KnobValue, m2: KnobValue, m3: KnobValue) -> tuple[Tensor, Tensor]:
        psi, slope = angle(cosine, m1, m2)
        return psi - m3, slope

    compiled = compiled_margin(s, m1=m1, m2=m2, m3=m3, gradient=gradient, beyond_pi=beyond_pi, precision=cosines.dtype)
    return closed_form(cross_entropy_with(harder), cosines, target, s, m1, m2, m3, scale=s, compiled=compiled)


FAMILY = Family(
    name="margin_softmax",
    title="Unified margin softmax",
    reads="cosines",
    function=margin_softmax,
    knobs=(
        Knob(
            name="m2",
            symbol="m₂",
            default=0.0,
            low=0.0,
            high=math.pi,
            grid=(0.0, 0.1, 0.2, 0.3, 0.5),
            search=(0.0, 0.6),
            source="ArcFace, section 3.1: 0.5 alone, and 0.3 where margins are combined; the others fill in between",
        ),
        Knob(
            name="m1",
            symbol="m₁",
            default=1.0,
            low=0.0,
            high=float("inf"),
            open_low=True,
            grid=(1.0,),
            search=(0.9, 1.5),
            source="ArcFace, table 2: combined margins (m1, m2, m3) = (1, 0.3, 0.2) and (0.9, 0.4, 0.15), SphereFace with 1.35",
        ),
        Knob(
            name="m3",
            symbol="m₃",
            default=0.0,
            low=0.0,
            high=2.0,
            grid=(0.0, 0.2),
            search=(0.0, 0.5),
            source="ArcFace, table 2: 0.2 beside m2 = 0.3; 0.35 alone",
        ),
        SCALE,
    ),
    options=(GRADIENT, BEYOND_PI),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Deng et al., ArcFace, CVPR 2019, eq. (4); Zhou et al., Learning Towards the Largest Margins, ICLR 2022",
    formula=(
        r"L = -\log \frac{e^{s \psi}}{e^{s \psi} + \sum_{j \neq y} e^{s c_j}}",
        r"\psi = \cos(m_1 \theta_y + m_2) - m_3",
    ),
    when=(
        "To combine the three kinds of margin, or to ask which of them matters: m3 alone is `cos_face`, m2 alone `arc_face`, m1 alone "
        "`sphere_face`, none `norm_face`. Margins add up, so each has to be smaller than it would be alone."
    ),
)
