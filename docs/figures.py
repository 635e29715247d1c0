"""The pictures of the families' pages: how hard each family pulls at its target, measured on the losses themselves.

Every picture has |dL/dx_y| against the probability of the target, over cross-entropy's 1 - p_y. Families on cosines have it against the
angle of the target too, which is where a margin shows. Equal losses give equal bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses import Family, build_loss, get_family
from margin_core.losses.functional import ohem
from margin_core.metrics import target_gradient
from margin_core.metrics.gradients import NORMS

P_Y = torch.linspace(0.005, 0.995, 397, dtype=torch.float64)
SMALL_P_Y = torch.logspace(-4.0, math.log10(0.995), 800, dtype=torch.float64)
ANGLES = torch.linspace(30.0, 120.0, 361, dtype=torch.float64)
HIGHEST = 5.0
"""Where the vertical axis ends at the latest."""
COMPETITORS = {"logits": 1, "cosines": 99}
"""Of the target, in a family's picture: the hardest case for logits; enough for the scale s to show for cosines."""

SETTINGS = {
    "svg.fonttype": "path",
    "svg.hashsalt": "margin-studies",
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Curve:
    """A line of a picture: the pull at each probability, and for families on cosines at each angle."""

    label: str
    by_probability: Tensor
    by_angle: Tensor | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Picture:
    """The lines of a family's picture, those on top last, and the probabilities that they are taken at."""

    curves: tuple[Curve, ...]
    p_y: Tensor = P_Y


def picture(family: Family) -> Picture:
    """What is drawn of ``family``: its own picture where it has one, else a line for each value of its first knob's grid."""
    return OWN_PICTURES[family.name]() if family.name in OWN_PICTURES else Picture(_over_first_knob(family))


def draw(shown: Picture) -> Figure:
    """The picture as a figure, on white, with its legend at the right."""
    angles = any(curve.by_angle is not None for curve in shown.curves)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10.0 if angles else 6.8, 3.6), layout="constrained")
        panels = figure.subplots(1, 2 if angles else 1, squeeze=False, sharey=True)[0]
        _by_probability(panels[0], shown)
        if angles:
            _by_angle(panels[1], shown)
        panels[0].set_ylim(0.0, min(panels[0].get_ylim()[1], HIGHEST))
        for axes in panels:
            axes.grid(color="#e7eaee", linewidth=0.8)
            axes.set_axisbelow(True)
        panels[0].set_ylabel(r"$|\partial L \,/\, \partial x_y|$")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def svg(figure: Figure) -> str:
    """The figure as an SVG document."""
    text = io.StringIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(text, format="svg", metadata=METADATA)
    # A hundredth of a point is fine enough. The scale of a letter is no such length.
    rounded = re.sub(
        r"scale\([^)]*\)|-?\d+\.\d{3,}", lambda found: found[0] if found[0][0] == "s" else f"{float(found[0]):.2f}", text.getvalue()
    )
    # A line of the file for each element, not for each point.
    return re.sub(r"\s*\n\s*(<?)", lambda found: "\n<" if found[1] else " ", rounded.strip()) + "\n"


def _by_probability(axes: Axes, shown: Picture) -> None:
    p_y = _rounded(shown.p_y)
    axes.plot(p_y, 1.0 - p_y, color="#ccd2d9", linewidth=6.0, solid_capstyle="butt", label=r"cross-entropy, $1 - p_y$")
    for curve, colour in zip(shown.curves, _colours(shown), strict=True):
        axes.plot(p_y, _rounded(curve.by_probability), color=colour, linestyle="--" if curve.dashed else "-", label=curve.label)
    axes.set_xlabel(r"$p_y$, probability of the target")
    if shown.p_y is SMALL_P_Y:
        axes.set_xscale("log")
    axes.set_xlim(float(SMALL_P_Y[0]) if shown.p_y is SMALL_P_Y else 0.0, 1.0)


def _by_angle(axes: Axes, shown: Picture) -> None:
    for curve, colour in zip(shown.curves, _colours(shown), strict=True):
        if curve.by_angle is not None:
            axes.plot(ANGLES, _rounded(curve.by_angle), color=colour, linestyle="--" if curve.dashed else "-")
    axes.set_xlabel(r"$\theta_y$, angle of the target in degrees")
    axes.set_xlim(float(ANGLES[0]), float(ANGLES[-1]))
    axes.set_xticks(range(30, 121, 15))


def _rounded(values: Tensor) -> Tensor:
    """Without the last digits, which processors round differently, so that the picture's bytes do not depend on them."""
    return values.round(decimals=9)


def _colours(shown: Picture) -> list[tuple[float, ...]]:
    """From dark to light in the order of the curves; a dashed curve has the colour of the solid one that it belongs to, the one before."""
    solid = sum(not curve.dashed for curve in shown.curves)
    steps = iter(matplotlib.colormaps["viridis"](index / max(solid - 1, 1) * 0.85) for index in range(solid))
    colours: list[tuple[float, ...]] = []
    for curve in shown.curves:
        colours.append(colours[-1] if curve.dashed else next(steps))
    return colours


def _over_first_knob(family: Family, p_y: Tensor = P_Y) -> tuple[Curve, ...]:
    knob = family.knobs[0]
    return tuple(_curve(family, _label(knob, value), {knob.name: value}, p_y) for value in knob.grid)


def _curve(family: Family, label: str, knobs: Mapping[str, float], p_y: Tensor = P_Y, dashed: bool = False) -> Curve:
    pull = target_gradient(family.name, p_y, competitors=COMPETITORS[family.reads], **knobs)
    return Curve(label, pull, _pull_by_angle(family, knobs) if family.reads == "cosines" else None, dashed)


def _pull_by_angle(family: Family, knobs: Mapping[str, float]) -> Tensor:
    """|dL/dx_y| with x = s c as in `target_gradient`, for a feature at each of `ANGLES` from its own prototype of a simplex."""
    competitors = COMPETITORS[family.reads]
    needs = {"class_counts": [1] * (competitors + 1)} if "class_counts" in family.needs else {}
    inputs = {"norms": NORMS} if "norms" in family.inputs else {}
    loss = build_loss(family.name, num_classes=competitors + 1, reduction="sum", **needs, **knobs)
    own = ANGLES.deg2rad().cos().unsqueeze(-1)
    cosines = torch.cat([own, (-own / competitors).expand(-1, competitors)], dim=-1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(cosines, torch.zeros(len(ANGLES), dtype=torch.int64), **inputs), cosines)
    scale = float(loss.prediction_logits(torch.ones((), dtype=torch.float64), **inputs))
    return gradient[:, 0].abs() / scale


def _label(knob: Knob, value: float) -> str:
    return f"{knob.symbol} = {value:g}"


def _gds() -> Picture:
    """The paper's figure 1 takes the gate alpha to be 1, which makes eq. (12) |p_y (1 - lam) - 1|."""
    family, curves = get_family("gds"), []
    for curve, lam in zip(_over_first_knob(family), family.knobs[0].grid, strict=True):
        curves.append(curve)
        if lam in (1.0, 2.0):
            curves.append(Curve(f"λ = {lam:g}, the paper's figure 1", (P_Y * (1.0 - lam) - 1.0).abs(), dashed=True))
    return Picture(tuple(curves))


def _two_scale() -> Picture:
    return Picture(_over_first_knob(get_family("two_scale"))[::-1])


def _truncated_ce() -> Picture:
    return Picture(_over_first_knob(get_family("truncated_ce"), SMALL_P_Y), SMALL_P_Y)


def _ohem() -> Picture:
    """A batch whose samples are spread evenly over the probabilities."""
    knob, curves = get_family("ohem").knobs[0], []
    for keep in reversed(knob.grid):
        scores = torch.stack([P_Y.logit(), torch.zeros_like(P_Y)], dim=-1).requires_grad_()
        loss = ohem(scores, torch.zeros(len(P_Y), dtype=torch.int64), keep=keep)
        (gradient,) = torch.autograd.grad(loss.sum(), scores)
        curves.append(Curve(_label(knob, keep), gradient[:, 0].abs()))
    return Picture(tuple(curves))


def _margin_softmax() -> Picture:
    """Without a margin, with each of the three alone, and with two of them."""
    family = get_family("margin_softmax")
    tried = ((1.0, 0.0, 0.0), (1.35, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 0.0, 0.35), (1.0, 0.3, 0.2))
    return Picture(tuple(_curve(family, f"m₁, m₂, m₃ = {m1:g}, {m2:g}, {m3:g}", {"m1": m1, "m2": m2, "m3": m3}) for m1, m2, m3 in tried))


def _l_softmax() -> Picture:
    """At the lambda that the authors' training ends with, and once without it."""
    family = get_family("l_softmax")
    one, two, *others = (_curve(family, f"m = {m:g}, λ = 5", {"m": m, "lam": 5.0}) for m in family.knobs[0].grid)
    return Picture((one, two, _curve(family, "m = 2, λ = 0", {"m": 2.0}, dashed=True), *others))


def _ldam() -> Picture:
    """The rarest class, and one that is 100 times as frequent: its margin is that of a balanced one at 100^(-1/4) of max m."""
    family = get_family("ldam")
    largest = family.knobs[0].grid[-1]
    frequent = _curve(family, f"max m = {largest:g}, frequent class", {"max_margin": largest * 0.01**0.25}, dashed=True)
    return Picture((*_over_first_knob(family), frequent))


OWN_PICTURES: dict[str, Callable[[], Picture]] = {
    "gds": _gds,
    "two_scale": _two_scale,
    "truncated_ce": _truncated_ce,
    "ohem": _ohem,
    "margin_softmax": _margin_softmax,
    "l_softmax": _l_softmax,
    "ldam": _ldam,
}

NOTES = {
    "ce": "A line touches 0 where the target has reached its smoothed label; to the right of that the pull is away from the target.",
    "gds": (
        "The dashed lines are those of the paper's figure 1, which takes the gate α to be 1. But α is the sigmoid of (λ/τ) log q, and "
        "q < 2: at τ = 1 it is below 2/3 for λ = 1 and below 4/5 for λ = 2, and it falls as p_y rises. So the pull is above that of "
        "cross-entropy throughout, and comes to 0 at p_y = 1 all the same."
    ),
    "gradient_decay": "A small β keeps the pull up until p_y is nearly 1, a large β gives it up early.",
    "two_scale": (
        "R1 is the network's R, and R2 is 10 R. Where the target leads by η, its sample passes to R2: for a small η it then pulls harder "
        "for a moment, and a little further on hardly at all. From η = 10 on that is where cross-entropy itself hardly pulls any more."
    ),
    "focal": "The larger γ, the sooner a sample that is right stops pulling.",
    "gce": "On the left are samples far from their label: the larger q, the less they pull.",
    "truncated_ce": "Below k there is no pull, from k on there is that of cross-entropy. The axis of p_y is logarithmic.",
    "ohem": (
        "One batch, whose samples are spread evenly over p_y. Those that are kept pull as in cross-entropy and the others not at all; the "
        "mean is over those that are kept."
    ),
    "norm_face": "By probability it is cross-entropy at every s. By angle, a larger s is content with a larger angle.",
    "cos_face": "A margin moves the angle at which a sample stops pulling. s = 20.",
    "arc_face": (
        "A margin moves the angle at which a sample stops pulling, and tilts the line: at larger angles the pull is sin(θ + m) / sin θ. "
        "s = 20."
    ),
    "sphere_face": (
        "A whole m makes the pull vanish where m θ is a multiple of π: at 90 degrees, where training starts, for m = 2 and m = 4. s = 20 "
        "and λ = 0."
    ),
    "margin_softmax": "No margin, each of the three alone, and two of them together. s = 20.",
    "l_softmax": (
        "Norms of feature and prototype multiply to 30. λ = 5 is where the authors' training ends; without λ the pull vanishes where m θ "
        "is a multiple of π, which for m = 2 is at 90 degrees, where training starts."
    ),
    "gm_softmax": "With α₂ below α₁ = 1 a pull of α₁ - α₂ is left however small the angle. s = 20.",
    "lm_softmax": (
        "The pull is the same at every probability and at every angle. It is 1/s with respect to x_y = s c_y, and with respect to the "
        "cosine 1."
    ),
    "ldam": (
        "The solid lines are for the rarest class, which has the whole margin, the dashed one is for a class with 100 times as many "
        "samples. s = 30."
    ),
}
"""What to see in a picture, and where its knobs stand, by family."""
