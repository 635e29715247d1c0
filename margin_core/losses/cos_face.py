"""CosFace, or additive-margin softmax: the target's cosine has to lead by m."""

from __future__ import annotations

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import GRADIENT, Gradient, compiled_margin
from margin_core.losses.closed_form import closed_form, cross_entropy_with
from margin_core.losses.energies import KnobValue
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE
from margin_core.papers import LARGEST_MARGINS_TABLE_1, LARGEST_MARGINS_TABLE_2, LARGEST_MARGINS_TABLE_3


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
    return closed_form(_formula, cosines, target, s, m, scale=s, compiled=compiled_margin(s, m3=m))


_formula = cross_entropy_with(lambda cosine, m: (cosine - m, torch.ones_like(cosine)))


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
    formula=(r"L = -\log \frac{e^{s (c_y - m)}}{e^{s (c_y - m)} + \sum_{j \neq y} e^{s c_j}}",),
    when=(
        "The simplest margin on cosines: the target has to lead by m whatever its angle. In logits it is s m, so at s = 64 a small m "
        "is a large margin already."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_1.with_rows(
            ("s = 10", "98.98", "95.93°", "94.39", "96.00°", "74.44", "83.31°"),
            ("s = 20", "99.06", "93.24°", "94.13", "91.22°", "73.26", "79.17°"),
            ("s = 64", "99.25", "89.50°", "93.53", "64.14°", "73.87", "72.56°"),
        ),
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("CosFace", "69.28", "58.77°", "87.02", "81.61°", "53.64", "19.78°", "84.86", "75.96°"),
            ("with `zero_centroid`", "69.52", "91.90°", "87.55", "95.46°", "62.49", "95.86°", "85.59", "96.12°"),
        ),
        LARGEST_MARGINS_TABLE_3.with_rows(
            ("s = 10", "68.0", "84.9", "39.3", "60.6"),
            ("s = 20", "80.5", "92.0", "64.2", "81.3"),
            ("s = 64", "78.7", "92.0", "68.2", "83.1"),
        ),
    ),
)
