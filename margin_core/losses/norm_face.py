"""NormFace: cross-entropy of cosines at the scale s, the plain loss of a cosine head."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from margin_core.losses.angular_margin import GRADIENT, Gradient
from margin_core.losses.closed_form import closed_form, cross_entropy
from margin_core.losses.energies import KnobValue
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE
from margin_core.papers import LARGEST_MARGINS_TABLE_1, LARGEST_MARGINS_TABLE_2, LARGEST_MARGINS_TABLE_3


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
    return closed_form(cross_entropy, cosines, target, scale=s, compiled=("cross_entropy",))


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
    formula=(r"L = -\log \frac{e^{s c_y}}{\sum_j e^{s c_j}}",),
    when=(
        "The plain loss of a cosine head, and what a margin on cosines is to be compared with. At a small s no p_y comes near 1 and "
        "every sample goes on pulling, which spreads the classes; a large s is content with small angles between them."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_1.with_rows(
            ("s = 10", "99.06", "94.34°", "94.16", "94.40°", "74.23", "79.10°"),
            ("s = 20", "99.09", "89.27°", "94.09", "74.32°", "73.87", "77.47°"),
            ("s = 64", "99.00", "82.08°", "94.01", "36.50°", "73.42", "52.37°"),
        ),
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("NormFace", "72.37", "62.72°", "89.19", "82.60°", "63.69", "51.00°", "86.37", "77.82°"),
            ("with `zero_centroid`", "72.07", "94.95°", "89.30", "94.50°", "64.07", "93.06°", "86.49", "96.28°"),
        ),
        LARGEST_MARGINS_TABLE_3.with_rows(
            ("s = 10", "81.2", "91.6", "63.7", "79.3"),
            ("s = 20", "83.2", "93.5", "71.6", "83.8"),
            ("s = 64", "77.5", "90.0", "60.1", "75.2"),
        ),
    ),
)
