"""Theorem 5 of "Learning towards the largest margins": the least mean of the generalised margin softmax, had at the simplex alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from margin_core.losses.functional import gm_softmax
from tests.margin_core.losses.samples import number, scale
from tests.margin_core.theory.configurations import disturbed, simplex

KNOBS = [
    {"alpha1": 1.0, "alpha2": 1.0, "beta1": 0.0, "beta2": 0.0, "s": 10.0},
    {"alpha1": 1.0, "alpha2": 1.0, "beta1": -0.35, "beta2": -0.35, "s": 64.0},
    {"alpha1": 0.5, "alpha2": 0.5, "beta1": 0.0, "beta2": 0.1, "s": 5.0},
    {"alpha1": 2.0, "alpha2": 0.0, "beta1": 0.3, "beta2": -0.2, "s": 1.0},
    {"alpha1": 0.7, "alpha2": -1.0, "beta1": -0.1, "beta2": 0.4, "s": 20.0},
]


def bound(classes: int, alpha1: float, alpha2: float, beta1: float, beta2: float, s: float) -> float:
    """log[e^{s (alpha2 + beta2 - alpha1 - beta1)} + (K - 1) e^{-s (1 / (K - 1) + alpha1 + beta1)}]: the signs are those of the proof.

    The slides print others.
    """
    rest = math.log(classes - 1) - s * (1.0 / (classes - 1) + alpha1 + beta1)
    return float(np.logaddexp(s * (alpha2 + beta2 - alpha1 - beta1), rest))


@given(st.integers(2, 100), number(0.5, 2.0), number(0.0, 3.0), number(-0.5, 0.5), number(-0.5, 0.5), scale)
def test_the_simplex_has_the_loss_of_the_bound_in_every_class(
    classes: int, alpha1: float, less: float, beta1: float, beta2: float, s: float
) -> None:
    knobs = {"alpha1": alpha1, "alpha2": alpha1 - less, "beta1": beta1, "beta2": beta2, "s": s}
    points = simplex(classes)
    losses = gm_softmax(points @ points.T, torch.arange(classes), **knobs)
    torch.testing.assert_close(losses, torch.full_like(losses, bound(classes, **knobs)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_none_of_ten_thousand_configurations_is_below_the_bound(classes: int, knobs: dict[str, float]) -> None:
    generator, target = torch.Generator().manual_seed(classes), torch.arange(classes)
    # From close to the optimum, where a wrong constant would show, to wholly random.
    for size in (1e-3, 0.1, 1.0, 100.0, 1e6):
        prototypes, features = (disturbed(simplex(classes), size, generator, 2_000) for _ in range(2))
        losses = gm_softmax(features @ prototypes.mT, target.expand(2_000, classes), **knobs).mean(dim=-1)
        assert losses.min() >= bound(classes, **knobs) - 1e-9


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_gradient_descent_comes_to_the_bound_and_not_below_it(classes: int, knobs: dict[str, float]) -> None:
    starts, generator = 16, torch.Generator().manual_seed(classes)
    points = torch.randn(2, starts, classes, classes, generator=generator, dtype=torch.float64).requires_grad_()
    target, least = torch.arange(classes).expand(starts, classes), bound(classes, **knobs)
    optimiser = torch.optim.Adam([points], lr=0.05)
    found = math.inf
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.05 * (1.0 + math.cos(math.pi * step / 400)) / 2.0
        prototypes, features = normalize(points, dim=-1)
        losses = gm_softmax(features @ prototypes.mT, target, **knobs).mean(dim=-1)
        assert losses.min() >= least - 1e-9
        found = min(found, losses.min().item())
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
    assert found <= least + 1e-3
