"""CosFace, or additive-margin softmax: the target's cosine has to lead by m."""

from __future__ import annotations

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import GRADIENT, Gradient
from margin_core.losses.energies import KnobValue, knob_like, margin_cross_entropy
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


def cos_face(cosines: Tensor, target: Tensor, *, m: KnobValue = 0.35, s: KnobValue = 20.0, gradient: Gradient = "exact") -> Tensor:
    """-log(e^{s (c_y - m)} / (e^{s (c_y - m)} + sum_{j != y} e^{s c_j})): the unified margin softmax with m3 = m.

    The margin stands inside the scale: s (c_y - m), not s c_y - m.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        m: Margin of the cosine in [0, 2], a number or a tensor that broadcasts over (...). 0 is `norm_face`.
        s: Scale > 0, likewise.
        gradient: As in the other margin families; here psi = c_y - m, whose slope is 1, and both choices are the same.

    Returns:
        The loss of each sample (...).
    """
    GRADIENT.check(gradient, "cos_face")
    return margin_cross_entropy(cosines, target, s, lambda cosine: cosine - knob_like(m, cosine))


FAMILY = Family(
    name="cos_face",
    title="CosFace",
    reads="cosines",
    function=cos_face,
    knobs=(
        Knob(
            name="m",
            symbol="m",
            default=0.35,
            low=0.0,
            high=2.0,
            grid=(0.0, 0.1, 0.2, 0.35, 0.5),
            search=(0.0, 0.6),
            source="CosFace uses 0.35; 0 is norm_face, and the others fill in around it",
        ),
        SCALE,
    ),
    options=(GRADIENT,),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Wang et al., CosFace, CVPR 2018; Zhou et al., Learning Towards the Largest Margins, ICLR 2022",
)
