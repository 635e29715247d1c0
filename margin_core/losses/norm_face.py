"""NormFace: cross-entropy of cosines at the scale s, the plain loss of a cosine head."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from margin_core.losses.angular_margin import GRADIENT, Gradient
from margin_core.losses.energies import KnobValue, cross_entropy_of_gap, target_gap
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


def norm_face(cosines: Tensor, target: Tensor, *, s: KnobValue = 20.0, gradient: Gradient = "exact") -> Tensor:
    """-log(e^{s c_y} / sum_j e^{s c_j}): the unified margin softmax with m1 = 1, m2 = m3 = 0.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        s: Scale > 0, a number or a tensor that broadcasts over (...).
        gradient: As in the other margin families; here psi = c_y, whose slope is 1, and both choices are the same.

    Returns:
        The loss of each sample (...).
    """
    GRADIENT.check(gradient, "norm_face")
    return cross_entropy_of_gap(target_gap(cosines, target, s))


FAMILY = Family(
    name="norm_face",
    title="NormFace",
    reads="cosines",
    function=norm_face,
    knobs=(
        replace(
            SCALE,
            grid=(10.0, 15.0, 20.0, 30.0, 45.0, 64.0),
            source="Largest margins, tables 1 and 3: 10, 20 and 64; 15, 30 and 45 fill in between",
        ),
    ),
    options=(GRADIENT,),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Wang et al., NormFace, ACM Multimedia 2017; Zhou et al., Learning Towards the Largest Margins, ICLR 2022",
)
