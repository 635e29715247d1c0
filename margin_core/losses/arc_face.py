"""ArcFace: the target's angle has to be smaller by m radians."""

from __future__ import annotations

import math

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import BEYOND_PI, GRADIENT, BeyondPi, Gradient, compiled_margin, harder_angle
from margin_core.losses.closed_form import closed_form, cross_entropy_with
from margin_core.losses.energies import KnobValue
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE
from margin_core.papers import LARGEST_MARGINS_TABLE_1, LARGEST_MARGINS_TABLE_2, LARGEST_MARGINS_TABLE_3


def arc_face(
    cosines: Tensor,
    target: Tensor,
    *,
    m: KnobValue = 0.5,
    s: KnobValue = 20.0,
    gradient: Gradient = "exact",
    beyond_pi: BeyondPi = "continue",
) -> Tensor:
    """-log(e^{s psi} / (e^{s psi} + sum_{j != y} e^{s c_j})), psi = cos(theta_y + m): the unified margin softmax with m2 = m.

    Beyond theta_y + m = pi, psi goes on falling instead of rising again; its gradient is the exact one. Both are
    `angular_margin`'s, which this loss applies to the target's cosine only.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        m: Margin of the angle in radians, in [0, pi], a number or a tensor that broadcasts over (...). 0 is `norm_face`.
        s: Scale > 0, likewise.
        gradient: ``exact``, or ``straight_through``: d psi / dc taken as 1; the loss is the same.
        beyond_pi: ``continue``, or ``none``: psi = cos(theta_y + m) throughout.

    Returns:
        The loss of each sample (...).
    """
    harder = harder_angle(gradient, beyond_pi, cosines.dtype, "arc_face")
    compiled = compiled_margin(s, m2=m, gradient=gradient, beyond_pi=beyond_pi, precision=cosines.dtype)
    return closed_form(cross_entropy_with(harder), cosines, target, s, 1.0, m, scale=s, compiled=compiled)


FAMILY = Family(
    name="arc_face",
    title="ArcFace",
    reads="cosines",
    function=arc_face,
    knobs=(
        Knob(
            name="m",
            symbol="m",
            default=0.5,
            low=0.0,
            high=math.pi,
            grid=(0.0, 0.1, 0.2, 0.3, 0.5),
            search=(0.0, 1.0),
            source="ArcFace uses 0.5 (radians); 0 is norm_face, and the others fill in between",
        ),
        SCALE,
    ),
    options=(GRADIENT, BEYOND_PI),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Deng et al., ArcFace, CVPR 2019; Zhou et al., Learning Towards the Largest Margins, ICLR 2022",
    formula=(
        r"L = -\log \frac{e^{s \psi}}{e^{s \psi} + \sum_{j \neq y} e^{s c_j}}",
        r"\psi = \cos(\theta_y + m)",
    ),
    when=(
        "For features that are compared by angle, as in face verification and re-identification. Near 90 degrees, where training "
        "starts, m takes sin m off the cosine; the margin is weaker at small angles. With a large s and m together a training may "
        "fail to start: begin with a smaller m by a schedule."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_1.with_rows(
            ("s = 10", "99.05", "94.64°", "94.50", "91.23°", "73.96", "76.91°"),
            ("s = 20", "99.11", "90.84°", "94.11", "53.98°", "74.74", "60.91°"),
            ("s = 64", "99.21", "82.63°", "—", "—", "—", "—"),
        ),
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("ArcFace", "72.20", "65.86°", "89.00", "85.23°", "62.48", "54.29°", "86.32", "80.51°"),
            ("with `zero_centroid`", "72.23", "92.30°", "89.22", "96.23°", "64.38", "93.51°", "86.65", "96.23°"),
        ),
        LARGEST_MARGINS_TABLE_3.with_rows(
            ("s = 10", "67.5", "84.1", "37.7", "58.7"),
            ("s = 20", "79.1", "90.8", "61.4", "78.3"),
            ("s = 64", "80.4", "92.6", "67.6", "83.4"),
        ),
    ),
)
