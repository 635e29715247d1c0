"""The papers' formulas in 100-digit arithmetic, in the form in which the papers print them, and derivatives by differences.

Nothing here is rearranged for stability and nothing is imported from the package, so agreement means something. A choice that
passes no gradient (which competitor is the hardest, which scale applies) is made on ``at``, the undisturbed scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpmath import acos, cos, exp, floor, fsum, log, mp, mpf, pi

Scores = Sequence[mpf]
Formula = Callable[..., mpf]

mp.dps = 100
STEP = mpf(10) ** -30  # central differences: truncation about 1e-60, cancellation about 1e-70


def others(x: Scores, y: int) -> list[mpf]:
    return [value for j, value in enumerate(x) if j != y]


def hardest_index(x: Scores, y: int) -> int:
    """The competitor with the highest score, the first of several."""
    return max((j for j in range(len(x)) if j != y), key=lambda j: (x[j], -j))


def ce(x: Scores, y: int, at: Scores, *, label_smoothing: mpf) -> mpf:
    total, classes = fsum(exp(value) for value in x), len(x)
    label = [(1 - label_smoothing) * (j == y) + label_smoothing / classes for j in range(classes)]
    return -fsum(weight * log(exp(value) / total) for weight, value in zip(label, x, strict=True))


def gds(x: Scores, y: int, at: Scores, *, lam: mpf, tau: mpf, hardest: str = "attached") -> mpf:
    index = hardest_index(at, y)
    m = x[index] if hardest == "attached" else at[index]
    s_all = log(fsum(exp(value) for value in x))
    s_hard = log(fsum(exp(value) for value in others(x, y)) + exp(m))
    right = s_all - x[y]
    left = lam * s_hard + (1 - lam) * s_all - x[y]
    return tau * log(exp(left / tau) + exp(right / tau))


def gradient_decay(x: Scores, y: int, at: Scores, *, beta: mpf, tau: mpf) -> mpf:
    e = [exp(value / tau) for value in x]
    return -log(e[y] / (fsum(others(e, y)) + beta * e[y]))


def two_scale(x: Scores, y: int, at: Scores, *, eta: mpf, r1: mpf, r2: mpf, scale: mpf) -> mpf:
    confidence = at[y] - max(others(at, y))
    r = r1 if confidence < eta else r2
    normalised = [value / scale for value in x]
    return -log(1 / (1 + fsum(exp(r * (value - normalised[y])) for value in others(normalised, y))))


def norm_face(c: Scores, y: int, at: Scores, *, s: mpf) -> mpf:
    return -log(exp(s * c[y]) / fsum(exp(s * value) for value in c))


def cos_face(c: Scores, y: int, at: Scores, *, m: mpf, s: mpf) -> mpf:
    own = exp(s * (c[y] - m))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def psi(theta: mpf, m: mpf) -> mpf:
    """cos(theta + m) with the angular softmax's continuation: (-1)^k cos(phi) - 2k on [k pi, (k + 1) pi]."""
    phi = theta + m
    k = int(floor(phi / pi))
    return (-1) ** k * cos(phi) - 2 * k


def arc_face(c: Scores, y: int, at: Scores, *, m: mpf, s: mpf) -> mpf:
    own = exp(s * psi(acos(c[y]), m))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def lm_softmax(c: Scores, y: int, at: Scores, *, s: mpf) -> mpf:
    return -log(exp(s * c[y]) / fsum(exp(s * value) for value in others(c, y))) / s


def sample_margin(c: Scores, y: int, at: Scores) -> mpf:
    return -(c[y] - c[hardest_index(at, y)])


def value_and_gradient(formula: Formula, x: Sequence[float], y: int, **knobs: object) -> tuple[mpf, list[mpf]]:
    """The formula's value at ``x`` and its derivative with respect to each score."""
    at = [mpf(value) for value in x]
    settings = {name: mpf(value) if isinstance(value, float) else value for name, value in knobs.items()}
    gradient = []
    for j in range(len(at)):
        up, down = ([value + sign * STEP * (i == j) for i, value in enumerate(at)] for sign in (1, -1))
        gradient.append((formula(up, y, at, **settings) - formula(down, y, at, **settings)) / (2 * STEP))
    return formula(at, y, at, **settings), gradient


def derivative(f: Callable[[mpf], mpf], x: mpf) -> mpf:
    """df/dx by a central difference."""
    return (f(x + STEP) - f(x - STEP)) / (2 * STEP)
