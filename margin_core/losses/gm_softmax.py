"""Generalised margin softmax: the target's cosine enters numerator and denominator by a line each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.closed_form import Slopes, closed_form
from margin_core.losses.energies import Energies, KnobValue, cross_entropy_of_gap, knob_like
from margin_core.losses.family import Family
from margin_core.losses.scale import SCALE


def gm_softmax(
    cosines: Tensor,
    target: Tensor,
    *,
    alpha1: KnobValue = 1.0,
    alpha2: KnobValue = 1.0,
    beta1: KnobValue = 0.0,
    beta2: KnobValue = 0.0,
    s: KnobValue = 20.0,
) -> Tensor:
    """-log(e^{s (alpha1 c_y + beta1)} / (e^{s (alpha2 c_y + beta2)} + sum_{j != y} e^{s c_j})), for alpha1 >= 1/2 and alpha2 <= alpha1.

    The betas stand inside the scale, as theorem 5 needs it; the slides print them outside. With d = s (alpha2 c_y + beta2) it is
    s ((alpha2 - alpha1) c_y + beta2 - beta1) + log(1 + e^{N - d}), N = log sum_{j != y} e^{s c_j}: so beta1 shifts the loss and moves
    no gradient. (alpha1, alpha2, beta1, beta2) = (1, 1, 0, 0) is `norm_face`, (1, 1, -m, -m) `cos_face`, and s times `lm_softmax` is
    its limit (1, 1, 0, -inf).

    Args:
        cosines: c (..., K) in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).
        alpha1: Slope in the numerator, at least 1/2, a number or a tensor that broadcasts over (...), as all that follow.
        alpha2: Slope in the denominator, at most alpha1.
        beta1: Shift in the numerator.
        beta2: Shift in the denominator.
        s: Scale > 0.

    Returns:
        The loss of each sample (...).

    Raises:
        ValueError: If alpha1 and alpha2, given as numbers, are not as above. Tensors are not looked at, which would wait for the device.
    """
    if not isinstance(alpha1, Tensor) and not isinstance(alpha2, Tensor):
        check_slopes({"alpha1": alpha1, "alpha2": alpha2})
    return closed_form(
        _formula, cosines, target, alpha1, alpha2, beta1, beta2, s, scale=s, compiled=("gm_softmax", alpha1, alpha2, beta1, beta2, s)
    )


def _formula(energy: Energies, alpha1: KnobValue, alpha2: KnobValue, beta1: KnobValue, beta2: KnobValue, s: KnobValue) -> Slopes:
    cosine = energy.score
    alpha1, alpha2, beta1, beta2, s = (knob_like(value, cosine) for value in (alpha1, alpha2, beta1, beta2, s))
    gap = energy.gap + s * ((alpha2 - 1.0) * cosine + beta2)
    # With the larger of d and N taken out of the logarithm, so that neither beta2 far below nor a target far ahead costs digits.
    ahead = s * ((alpha2 - alpha1) * cosine + (beta2 - beta1)) + cross_entropy_of_gap(gap)
    behind = -energy.gap - s * ((alpha1 - 1.0) * cosine + beta1) + cross_entropy_of_gap(-gap)
    missing = torch.sigmoid(-gap)
    return Slopes(
        torch.where(gap > 0.0, ahead, behind),
        score=s * ((alpha2 - alpha1) - alpha2 * missing),
        competitors=missing,
    )


def check_slopes(knobs: Mapping[str, float]) -> None:
    """Raise `ValueError` unless alpha1 >= 1/2 and alpha2 <= alpha1, where the paper's theorem 5 holds."""
    alpha1, alpha2 = knobs["alpha1"], knobs["alpha2"]
    if not (alpha1 >= 0.5 and alpha2 <= alpha1):
        raise ValueError(f"gm_softmax: alpha1 must be >= 0.5 and alpha2 <= alpha1, got alpha1 = {alpha1!r} and alpha2 = {alpha2!r}")


FAMILY = Family(
    name="gm_softmax",
    title="Generalised margin softmax",
    reads="cosines",
    function=gm_softmax,
    constraint=check_slopes,
    knobs=(
        Knob(
            name="alpha2",
            symbol="α₂",
            default=1.0,
            low=float("-inf"),
            high=float("inf"),
            grid=(0.0, 0.25, 0.5, 0.75, 1.0),
            search=(0.0, 1.0),
            source="Largest margins, GM-Softmax, which asks for alpha2 <= alpha1 and names no values; 1 is norm_face",
        ),
        Knob(
            name="alpha1",
            symbol="α₁",
            default=1.0,
            low=0.5,
            high=float("inf"),
            grid=(1.0,),
            search=(1.0, 2.0),
            source="Largest margins, GM-Softmax, which asks for alpha1 >= 1/2 and alpha2 <= alpha1",
        ),
        Knob(
            name="beta1",
            symbol="β₁",
            default=0.0,
            low=float("-inf"),
            high=float("inf"),
            grid=(0.0,),
            search=(-0.5, 0.5),
            source="Largest margins, GM-Softmax; it shifts the loss and moves no gradient",
        ),
        Knob(
            name="beta2",
            symbol="β₂",
            default=0.0,
            low=float("-inf"),
            high=float("inf"),
            grid=(0.0,),
            search=(-0.5, 0.5),
            source="Largest margins, GM-Softmax; -m is the pull of cos_face",
        ),
        SCALE,
    ),
    inverse_temperature=lambda knobs: knobs["s"],
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, GM-Softmax and theorem 5",
    formula=(r"L = -\log \frac{e^{s (\alpha_1 c_y + \beta_1)}}{e^{s (\alpha_2 c_y + \beta_2)} + \sum_{j \neq y} e^{s c_j}}",),
    when=(
        "To look between the losses on cosines, which are corners of it: `norm_face` at the defaults, `cos_face` at β1 = β2 = -m, "
        "`lm_softmax` as β2 falls without end. With α2 < α1 even a sample that is certain is pulled, by α1 - α2. β1 moves the loss "
        "and no gradient."
    ),
)
