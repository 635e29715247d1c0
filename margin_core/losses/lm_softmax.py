"""Largest-margin softmax: a smooth form of the negative sample margin, in which the target does not compete with itself."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from margin_core.losses.energies import KnobValue, knob_like, target_gap
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


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
    gap = target_gap(cosines, target, s)
    return -gap / knob_like(s, gap)


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
)
