"""The Tammes problem for eight points: LM-Softmax with a rising s arranges them as far apart as they can be."""

from __future__ import annotations

import pytest
import torch

from benchmarks.tammes import ARMS, LEAST_DEGREES, OPTIMUM, RISING, Arm, arrange
from margin_core.metrics import class_margin

SOLVERS = [pytest.param(arm, id=f"{arm.features}-features") for arm in ARMS if arm.knobs["s"] is RISING]


def test_the_square_antiprism_has_the_angle_of_the_optimum() -> None:
    # Two squares, one turned by 45 degrees, so far apart that all edges are of one length.
    turns = torch.arange(8, dtype=torch.float64) * torch.pi / 4.0
    heights = 2.0**-0.25 * (4.0 * turns).cos()
    antiprism = torch.stack([2.0**0.5 * turns.cos(), 2.0**0.5 * turns.sin(), heights], dim=1)
    assert class_margin(antiprism) == pytest.approx(OPTIMUM, abs=1e-9)
    assert pytest.approx(74.8585, abs=5e-5) == OPTIMUM


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("arm", SOLVERS)
def test_lm_softmax_with_a_rising_s_solves_it_from_every_start(arm: Arm, seed: int) -> None:
    assert LEAST_DEGREES <= class_margin(arrange(arm, seed=seed, steps=500)) <= OPTIMUM + 1e-9
