"""A formula's value in exact arithmetic, its derivatives by differences, and the points at which a family is held to it.

A formula is written as its paper prints it, in mpmath's numbers and without a thought for stability, and it imports nothing that the
family imports; so agreement means something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from mpmath import mp, mpf

from margin_core.knobs import Knob
from margin_core.losses.family import Family

Formula = Callable[..., mpf]
Point = tuple[list[float], int, dict[str, float]]

POINTS = 200
DIGITS = 100
# Of the central differences: their truncation is about its square, and 30 digits are lost to cancellation. Exact in any precision.
STEP = mpf(2) ** -100

# Scores and target: far ahead and far behind, ties of competitors and of target and competitor, all equal, two classes, near 0.
LOGITS = [
    ([1e4, -1e4, 0.0], 0),
    ([1e4, -1e4, 0.0], 1),
    ([1e4, -1e4, 0.0], 2),
    ([1e4, 1e4 - 0.3, 1e4 - 2.0, 1e4 + 0.1], 1),
    ([-1e4, -1e4 + 0.7], 0),
    ([1e4, 0.0], 0),
    ([1e4, 0.0], 1),
    ([0.0, 0.0, 0.0, 0.0], 2),
    ([0.0, 0.0], 1),
    ([3.0, 3.0, 3.0, 1.0], 3),
    ([3.0, 3.0, 3.0, 1.0], 0),
    ([1e-9, 0.0, -1e-9], 0),
    ([40.0, 0.0, -700.0], 0),
    ([40.0, 0.0, -700.0], 1),
    ([2.5, -1.5], 0),
    ([2.5, -1.5], 1),
]
# And for cosines: at the ends of their range and as near to them as numbers come, and 0.
COSINES = [
    ([1.0, 0.5, -1.0], 0),
    ([1.0, 0.5, -1.0], 1),
    ([1.0, 0.5, -1.0], 2),
    ([1.0, 1.0], 0),
    ([-1.0, -1.0, -1.0], 1),
    ([1.0 - 1e-12, -1.0, 1.0, 0.0], 0),
    ([-1.0 + 1e-12, 1.0, -1.0], 0),
    ([-1.0 + 1e-15, 0.5, -1.0], 0),
    ([1.0 - 1e-15, 0.5, -1.0], 0),
    ([0.5, 0.5, 0.5], 1),
    ([0.25, 0.5, 0.5, -0.75], 0),
    ([1.0 - 1e-6, 1.0], 0),
    ([-0.999, 0.3], 0),
    ([0.0, 0.0], 1),
    ([0.0, 0.7, -0.2], 0),
    ([0.0, 0.0, 0.0], 2),
]


def points(family: Family, seed: int = 1) -> Iterator[Point]:
    """Scores, target and knobs: random ones, then adversarial scores with every grid value of the first knob."""
    rng = np.random.default_rng(seed)
    logits = family.reads == "logits"
    for _ in range(POINTS):
        classes = int(rng.integers(2, 8))
        scores = rng.normal(0.0, rng.choice([0.5, 3.0, 20.0]), classes) if logits else rng.uniform(-1.0, 1.0, classes)
        yield scores.tolist(), int(rng.integers(classes)), {knob.name: _within(knob, rng) for knob in family.knobs}
    defaults = {knob.name: knob.default for knob in family.knobs}
    for scores_, target in LOGITS if logits else COSINES:
        for first in family.knobs[0].grid:
            yield scores_, target, {**defaults, family.knobs[0].name: first}


def _within(knob: Knob, rng: np.random.Generator) -> float:
    """A random value of the range that a search would use."""
    low, high = knob.search
    if knob.integer:
        return float(rng.integers(int(low), int(high), endpoint=True))
    return float(math.exp(rng.uniform(math.log(low), math.log(high))) if knob.scale == "log" else rng.uniform(low, high))


def value_and_gradient(
    formula: Formula, x: Sequence[float], y: int, *, digits: int = DIGITS, **settings: object
) -> tuple[mpf, list[mpf | None]]:
    """The formula's value at ``x`` and its derivative with respect to each score.

    Args:
        formula: Called as ``formula(x, y, at, **settings)``.
        x: The scores of one sample.
        y: Its target.
        digits: Decimal digits of the arithmetic.
        settings: Knobs and whatever else the formula takes; floats are made mpmath's.

    Returns:
        The value, and the derivatives; None where a disturbed score leaves the real numbers, as beyond a cosine of 1.
    """
    with mp.workdps(digits):
        at = [mpf(value) for value in x]
        numbers = {name: mpf(value) if isinstance(value, float) else value for name, value in settings.items()}
        gradient: list[mpf | None] = []
        for j in range(len(at)):
            up, down = ([value + sign * STEP * (i == j) for i, value in enumerate(at)] for sign in (1, -1))
            slope = (formula(up, y, at, **numbers) - formula(down, y, at, **numbers)) / (2 * STEP)
            gradient.append(slope if isinstance(slope, mpf) else None)
        return formula(at, y, at, **numbers), gradient


def derivative(f: Callable[[mpf], mpf], x: mpf, *, digits: int = DIGITS) -> mpf:
    """df/dx by a central difference."""
    with mp.workdps(digits):
        return (f(x + STEP) - f(x - STEP)) / (2 * STEP)


def relative_errors(ours: Sequence[float], exact: Sequence[mpf | None], floor: float) -> list[float]:
    """How far a loss and the entries of its gradient, in that order, are from the exact ones that there are.

    An error is relative to the exact number, or, where that is smaller, to the largest entry of the gradient, but to no more than 1: a
    loss that crosses 0, or an entry that is 0, has no digits of its own. ``floor`` is the least that an error is relative to.
    """
    scale = min(max((abs(entry) for entry in exact[1:] if entry is not None), default=mpf(1)), mpf(1))
    pairs = zip(ours, exact, strict=True)
    return [float(abs(mpf(number) - truth) / max(abs(truth), scale, mpf(floor))) for number, truth in pairs if truth is not None]
