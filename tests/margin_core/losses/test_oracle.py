"""Values and gradients of every family against the papers' formulas in 100-digit arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from mpmath import exp, mpf

from margin_core.knobs import Knob
from margin_core.losses import functional, get_family, list_losses
from tests.margin_core.losses import oracle

TOLERANCE = 1e-12
POINTS = 48
Case = tuple[list[float], int, dict[str, float]]

LOGITS = [
    ([1e4, -1e4, 0.0], 0),
    ([1e4, -1e4, 0.0], 1),
    ([1e4, -1e4, 0.0], 2),
    ([1e4, 1e4 - 0.3, 1e4 - 2.0, 1e4 + 0.1], 1),
    ([-1e4, -1e4 + 0.7], 0),
    ([0.0, 0.0, 0.0, 0.0], 2),
    ([3.0, 3.0, 3.0, 1.0], 3),
    ([1e-9, 0.0, -1e-9], 0),
    ([40.0, 0.0, -700.0], 0),
    ([40.0, 0.0, -700.0], 1),
    ([2.5, -1.5], 0),
    ([2.5, -1.5], 1),
]
COSINES = [
    ([1.0 - 1e-12, -1.0, 1.0, 0.0], 0),
    ([-1.0 + 1e-12, 1.0, -1.0], 0),
    ([-1.0 + 1e-15, 0.5, -1.0], 0),
    ([1.0 - 1e-15, 0.5, -1.0], 0),
    ([0.5, 0.5, 0.5], 1),
    ([0.25, 0.5, 0.5, -0.75], 0),
    ([1.0 - 1e-6, 1.0], 0),
    ([-0.999, 0.3], 0),
    ([0.0, 0.0], 1),
]


def draw(knob: Knob, rng: np.random.Generator) -> float:
    low, high = knob.search
    if knob.integer:
        return float(rng.integers(int(low), int(high), endpoint=True))
    return float(math.exp(rng.uniform(math.log(low), math.log(high))) if knob.scale == "log" else rng.uniform(low, high))


def cases(family: str, seed: int) -> Iterator[Case]:
    """Random scores with random knobs, then adversarial scores with every grid value of the first knob."""
    declaration, rng = get_family(family), np.random.default_rng(seed)
    logits = declaration.reads == "logits"
    for _ in range(POINTS):
        classes = int(rng.integers(2, 8))
        scores = rng.normal(0.0, rng.choice([0.5, 3.0, 20.0]), classes) if logits else rng.uniform(-1.0, 1.0, classes)
        yield scores.tolist(), int(rng.integers(classes)), {knob.name: draw(knob, rng) for knob in declaration.knobs}
    for scores_, target in LOGITS if logits else COSINES:
        for first in declaration.knobs[0].grid:
            yield scores_, target, {knob.name: first if i == 0 else knob.default for i, knob in enumerate(declaration.knobs)}


def formula_of(family: str, knobs: dict[str, float], **given: object) -> tuple[Callable[..., mpf], dict[str, object]]:
    """The oracle's formula and its arguments; the two-scale paper writes R1, R2 and R where the knob is R2 / R1."""
    if family == "two_scale":
        return oracle.two_scale, {"eta": knobs["eta"], "r1": mpf(1), "r2": mpf(knobs["ratio"]), "scale": mpf(1)}
    return getattr(oracle, family), {**knobs, **given}


def given(family: str, classes: int) -> dict[str, list[float] | list[int]]:
    """What the family is called with besides scores, target and knobs: an entry for each class."""
    declaration = get_family(family)
    norms = {"norms": [0.3, 25.0, 4.0, 1.0, 7.5, 0.0, 2.0][:classes]} if "norms" in declaration.inputs else {}
    return {**norms, **{name: [64, 3, 20, 1, 7, 9, 500][:classes] for name in declaration.needs}}


def worst_error(family: str, case: Case, **options: str) -> float:
    """Largest error of the value and of any gradient entry, relative to the exact one where that is above 1."""
    x, y, knobs = case
    scores = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    more = given(family, len(x))
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in more.items()}
    loss = get_family(family).function(scores, torch.tensor(y), **knobs, **tensors, **options)
    (gradient,) = torch.autograd.grad(loss, scores)
    exact_numbers = {name: [mpf(value) for value in values] for name, values in more.items()}
    formula, arguments = formula_of(family, knobs, **exact_numbers)
    exact_loss, exact_gradient = oracle.value_and_gradient(formula, x, y, **arguments, **options)
    pairs = zip([loss.item(), *gradient.tolist()], [exact_loss, *exact_gradient], strict=True)
    return max(float(abs(mpf(ours) - exact) / max(1, abs(exact))) for ours, exact in pairs)


@pytest.mark.parametrize("family", list_losses())
def test_values_and_gradients_are_those_of_the_paper(family: str) -> None:
    for case in cases(family, seed=1):
        assert worst_error(family, case) < TOLERANCE, case


def test_gds_with_a_detached_hardest_competitor_is_that_of_the_paper() -> None:
    for case in cases("gds", seed=2):
        assert worst_error("gds", case, hardest="detached") < TOLERANCE, case


@pytest.mark.parametrize("family", ["arc_face", "sphere_face", "margin_softmax"])
def test_margins_that_rise_again_beyond_pi_are_those_of_their_formula(family: str) -> None:
    for case in cases(family, seed=4):
        assert worst_error(family, case, beyond_pi="none") < TOLERANCE, case


@pytest.mark.parametrize("gap", [5.0, 20.0, 37.0, 60.0])
@pytest.mark.parametrize(
    ("family", "knobs"),
    [
        ("ce", {"label_smoothing": 0.0}),
        ("gds", {"lam": 2.0, "tau": 1.0}),
        ("gds", {"lam": 0.5, "tau": 1.0}),
        ("gradient_decay", {"beta": 1.0, "tau": 1.0}),
        ("gradient_decay", {"beta": 0.01, "tau": 1.0}),
        ("two_scale", {"eta": 100.0, "ratio": 10.0}),
        ("focal", {"gamma": 0.5}),
        ("focal", {"gamma": 2.0}),
        ("gce", {"q": 0.7}),
        ("gce", {"q": 1e-9}),
        ("truncated_ce", {"k": 0.1}),
    ],
)
def test_gradients_of_well_classified_samples_keep_their_digits(family: str, knobs: dict[str, float], gap: float) -> None:
    x, y = [gap, -0.3, 0.0, -2.0], 0
    scores = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(getattr(functional, family)(scores, torch.tensor(y), **knobs), scores)
    formula, arguments = formula_of(family, knobs)
    _, exact = oracle.value_and_gradient(formula, x, y, **arguments)
    assert max(float(abs(mpf(g) / e - 1)) for g, e in zip(gradient.tolist(), exact, strict=True)) < TOLERANCE


def test_two_scale_with_scales_beyond_float32_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(3)
    for _ in range(POINTS):
        x, y = rng.normal(0.0, 3.0, 5).tolist(), int(rng.integers(5))
        log_scale, lead, separation, eta = (float(v) for v in rng.uniform([80.0, -1.0, 0.0, 0.01], [200.0, 1.0, 3.0, 2.0]))
        log_r1, log_r2 = log_scale + lead, log_scale + lead + separation
        scores = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        loss = functional.two_scale(scores, torch.tensor(y), eta=eta, log_r1=log_r1, log_r2=log_r2, log_scale=log_scale)
        (gradient,) = torch.autograd.grad(loss, scores)
        scales = {"r1": exp(mpf(log_r1)), "r2": exp(mpf(log_r2)), "scale": exp(mpf(log_scale))}
        exact, exact_gradient = oracle.value_and_gradient(oracle.two_scale, x, y, eta=eta, **scales)
        for ours, theirs in zip([loss.item(), *gradient.tolist()], [exact, *exact_gradient], strict=True):
            assert abs(mpf(ours) - theirs) < TOLERANCE * max(1, abs(theirs))
