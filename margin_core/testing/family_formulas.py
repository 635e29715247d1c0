"""The numbers of a loss family against its formula in exact arithmetic."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import ClassVar

import torch
from mpmath import mpf

from margin_core.losses.family import Family
from margin_core.testing.exact import DIGITS, Formula, Point, points, relative_errors, value_and_gradient
from margin_core.testing.family_cases import FamilyCases

NORMS = (0.3, 25.0, 4.0, 1.0, 7.5, 0.0, 2.0)
COUNTS = (64, 3, 20, 1, 7, 9, 500)


class FamilyFormulas(FamilyCases):
    """Values and gradients are those of the formula, at random points and at adversarial ones.

    Attributes:
        tolerance: The greatest relative error of the loss and of each entry of its gradient, as `exact.relative_errors` defines it.
        floor: The least that an error is relative to. As it is, the smallest normal number, losses keep their digits however small they
            are; at 1, small ones are right to ``tolerance`` in absolute terms only.
    """

    tolerance: ClassVar[float] = 1e-12
    floor: ClassVar[float] = sys.float_info.min

    def test_values_and_gradients_are_those_of_the_formula(self, family: Family, formula: Formula, options: Mapping[str, str]) -> None:
        # As many digits as tell numbers of the floor's size apart to within the tolerance, after what the differences lose.
        digits = max(DIGITS, 60 - math.floor(math.log10(self.tolerance * self.floor)))
        for point in points(family):
            ours, exact = numbers(family, point, options), exact_numbers(family, formula, point, options, digits)
            assert max(relative_errors(ours, exact, self.floor)) < self.tolerance, point


def numbers(family: Family, point: Point, options: Mapping[str, str]) -> list[float]:
    """The loss and the entries of its gradient as the family computes them, in float64."""
    x, y, knobs = point
    scores = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    given = {name: torch.tensor(values, dtype=torch.float64) for name, values in _given(family, len(x)).items()}
    loss = family.function(scores, torch.tensor(y), **knobs, **given, **options)
    (gradient,) = torch.autograd.grad(loss, scores)
    return [loss.item(), *gradient.tolist()]


def exact_numbers(family: Family, formula: Formula, point: Point, options: Mapping[str, str], digits: int) -> list[mpf | None]:
    """The same by the formula; None for an entry of the gradient that does not exist."""
    x, y, knobs = point
    given = {name: [mpf(value) for value in values] for name, values in _given(family, len(x)).items()}
    value, gradient = value_and_gradient(formula, x, y, digits=digits, **knobs, **given, **options)
    return [value, *gradient]


def _given(family: Family, classes: int) -> dict[str, tuple[float, ...]]:
    """What the family is called with besides scores, target and knobs: a number for each class."""
    norms = {"norms": NORMS[:classes]} if "norms" in family.inputs else {}
    return {**norms, **dict.fromkeys(family.needs, COUNTS[:classes])}
