"""Label-distribution-aware margin: the rarer a class, the more its cosine has to lead by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.angular_margin import compiled_margin
from margin_core.losses.closed_form import closed_form, cross_entropy_with
from margin_core.losses.energies import KnobValue, target_score
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE
from margin_core.papers import LARGEST_MARGINS_TABLE_2


def ldam(
    cosines: Tensor, target: Tensor, *, class_counts: Sequence[int] | Tensor, max_margin: KnobValue = 0.5, s: KnobValue = 30.0
) -> Tensor:
    """-log(e^{s (c_y - m_y)} / (e^{s (c_y - m_y)} + sum_{j != y} e^{s c_j})), m_j = max_margin (n_min / n_j)^{1/4}.

    The rarest class has the margin ``max_margin``; where all classes have the same number of samples it is `cos_face`. The scale
    multiplies cosine and margin alike. The paper's deferred re-weighting is a matter of training and no part of it.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        class_counts: n (K), the number of training samples of each class, >= 1.
        max_margin: Margin of the rarest class in [0, 2], a number or a tensor that broadcasts over (...). 0 is `norm_face`.
        s: Scale > 0, likewise.

    Returns:
        The loss of each sample (...).

    Raises:
        ValueError: If ``class_counts`` has not one number for each class.
    """
    counts = torch.as_tensor(class_counts, device=cosines.device)
    if counts.shape != cosines.shape[-1:]:
        raise ValueError(f"class_counts must have the shape {tuple(cosines.shape[-1:])}, got {tuple(counts.shape)}")
    share = (counts.min().double() / target_score(counts.expand_as(cosines), target).double()).pow(0.25)
    return closed_form(_formula, cosines, target, s, max_margin, share, scale=s, compiled=compiled_margin(s, m3=max_margin * share))


_formula = cross_entropy_with(lambda cosine, max_margin, share: (cosine - max_margin * share, torch.ones_like(cosine)))


FAMILY = Family(
    name="ldam",
    title="Label-distribution-aware margin",
    reads="cosines",
    function=ldam,
    needs=("class_counts",),
    knobs=(
        Knob(
            name="max_margin",
            symbol="max m",
            default=0.5,
            low=0.0,
            high=2.0,
            grid=(0.0, 0.1, 0.2, 0.3, 0.5),
            search=(0.0, 0.8),
            source="LDAM's code has 0.5, and its author 0.3 for iNaturalist; 0 is norm_face, and the others fill in between",
        ),
        replace(
            SCALE,
            default=30.0,
            grid=(10.0, 30.0, 64.0),
            source="LDAM's code has 30; 10 and 64 as in Largest margins",
        ),
    ),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019, eqs. (11) and (13)",
    formula=(
        r"L = -\log \frac{e^{s (c_y - m_y)}}{e^{s (c_y - m_y)} + \sum_{j \neq y} e^{s c_j}}",
        r"m_y = m_{\max} \left( \frac{n_{\min}}{n_y} \right)^{1/4}",
    ),
    when=(
        "For classes of very unequal size: the fewer training samples n_y a class has, the larger its margin. Where all are of one "
        "size it is `cos_face`. Its own paper trains it with a late re-weighting of the classes, which is no part of the loss."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("LDAM", "72.86", "73.30°", "88.92", "88.19°", "63.27", "61.42°", "87.04", "85.21°"),
            ("with `zero_centroid`", "72.86", "91.75°", "89.51", "96.26°", "64.99", "96.04°", "86.74", "96.26°"),
        ),
    ),
)
