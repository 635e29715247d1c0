"""What the papers' formulas in 100-digit arithmetic tell of single families, beside what `tests/conformance` holds all of them to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mpmath import exp, mpf

from margin_core.losses import functional
from margin_core.testing.exact import value_and_gradient
from tests.margin_core.losses import oracle

TOLERANCE = 1e-12


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
    _, exact = value_and_gradient(getattr(oracle, family), x, y, **knobs)
    assert max(float(abs(mpf(g) / e - 1)) for g, e in zip(gradient.tolist(), exact, strict=True)) < TOLERANCE


def test_two_scale_with_scales_beyond_float32_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(3)
    for _ in range(48):
        x, y = rng.normal(0.0, 3.0, 5).tolist(), int(rng.integers(5))
        log_scale, lead, separation, eta = (float(v) for v in rng.uniform([80.0, -1.0, 0.0, 0.01], [200.0, 1.0, 3.0, 2.0]))
        r1, r2 = math.exp(log_scale + lead), math.exp(log_scale + lead + separation)
        scores = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        loss = functional.two_scale(scores, torch.tensor(y), eta=eta, r1=r1, r2=r2, log_scale=log_scale)
        (gradient,) = torch.autograd.grad(loss, scores)
        scales = {"r1": mpf(r1), "r2": mpf(r2), "scale": exp(mpf(log_scale))}
        exact, exact_gradient = value_and_gradient(oracle.two_scale_of, x, y, eta=eta, **scales)
        for ours, theirs in zip([loss.item(), *gradient.tolist()], [exact, *exact_gradient], strict=True):
            assert abs(mpf(ours) - theirs) < TOLERANCE * max(1, abs(theirs))
