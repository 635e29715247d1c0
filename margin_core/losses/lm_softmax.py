"""Largest-margin softmax: a smooth form of the negative sample margin, in which the target does not compete with itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, knob_like
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE
from margin_core.papers import LARGEST_MARGINS, LARGEST_MARGINS_TABLE_2, LARGEST_MARGINS_TABLE_3, Reported


def lm_softmax(cosines: Tensor, target: Tensor, *, s: KnobValue = 20.0) -> Tensor:
    """-(1 / s) log(e^{s c_y} / sum_{j != y} e^{s c_j}).

    The target is not in the sum, so its gradient is -1 however well the sample is classified; as s grows the loss tends to
    the negative sample margin max_{j != y} c_j - c_y, which it exceeds by at most log(K - 1) / s. Computed in log space, for any s.

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32. On unbounded scores the loss has no lower bound.
        target: Class indices (...).
        s: Scale > 0, a number or a tensor that broadcasts over (...).

    Returns:
        The loss of each sample (...), in [-2, 2 + log(K - 1) / s].
    """
    return closed_form(_formula, cosines, target, s, scale=s, compiled=("lm_softmax", s))


def _formula(energy: Energies, s: KnobValue) -> Slopes:
    s = knob_like(s, energy.gap)
    return Slopes(-energy.gap / s, gap=-torch.ones_like(energy.gap) / s)


FAMILY = Family(
    name="lm_softmax",
    title="Largest-margin softmax",
    reads="cosines",
    function=lm_softmax,
    knobs=(
        replace(
            SCALE,
            grid=(10.0, 15.0, 20.0, 30.0, 45.0, 64.0),
            source="Largest margins, table 3: 10, 20 and 64; 15, 30 and 45 fill in between",
        ),
    ),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, LM-Softmax",
    formula=(r"L = \frac{1}{s} \log \sum_{j \neq y} e^{s (c_j - c_y)}",),
    when=(
        "For the largest margins between classes and for features that are compared by angle. The pull on the target never lets up; a "
        "larger s gives more of it to the nearest competitor. Where classes differ much in size, use it with `zero_centroid`: alone "
        "it lets the rare ones collapse."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("LM-Softmax", "65.32", "4.420°", "88.69", "68.91°", "50.47", "0.452°", "86.08", "52.20°"),
            ("with `zero_centroid`", "73.21", "92.57°", "89.12", "95.73°", "65.91", "93.84°", "87.07", "96.05°"),
        ),
        LARGEST_MARGINS_TABLE_3.with_rows(
            ("s = 10", "83.3", "92.8", "72.2", "85.8"),
            ("s = 20", "84.7", "93.8", "74.1", "86.4"),
            ("s = 64", "84.6", "93.9", "74.2", "86.6"),
        ),
        Reported(
            what="Class margin of eight classes on a sphere in three dimensions, where 74.86° is the most that there can be",
            source=f"{LARGEST_MARGINS}, the picture of eight classes on a sphere",
            columns=("NormFace", "CosFace", "ArcFace", "LM-Softmax"),
            rows=(("68.50°", "71.86°", "67.74°", "74.46°"),),
        ),
    ),
)
