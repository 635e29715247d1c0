"""The papers' formulas in 100-digit arithmetic, in the form in which the papers print them.

Nothing here is rearranged for stability and nothing is imported from the package, so agreement means something. A choice that
passes no gradient (which competitor is the hardest, which scale applies) is made on ``at``, the undisturbed scores. What compares
them with the families is `margin_core.testing`; a formula has the name of its family and takes its knobs.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpmath import acos, cos, exp, floor, fsum, log, mp, mpf, pi

Scores = Sequence[mpf]

mp.dps = 100


def others(x: Scores, y: int) -> list[mpf]:
    return [value for j, value in enumerate(x) if j != y]


def hardest_index(x: Scores, y: int) -> int:
    """The competitor with the highest score, the first of several."""
    return max((j for j in range(len(x)) if j != y), key=lambda j: (x[j], -j))


def ce(x: Scores, y: int, at: Scores, *, label_smoothing: mpf) -> mpf:
    total, classes = fsum(exp(value) for value in x), len(x)
    label = [(1 - label_smoothing) * (j == y) + label_smoothing / classes for j in range(classes)]
    return -fsum(weight * log(exp(value) / total) for weight, value in zip(label, x, strict=True))


def probability(x: Scores, y: int) -> mpf:
    return exp(x[y]) / fsum(exp(value) for value in x)


def focal(x: Scores, y: int, at: Scores, *, gamma: mpf) -> mpf:
    p = probability(x, y)
    return -((1 - p) ** gamma) * log(p)


def gce(x: Scores, y: int, at: Scores, *, q: mpf) -> mpf:
    return (1 - probability(x, y) ** q) / q


def truncated_ce(x: Scores, y: int, at: Scores, *, k: mpf) -> mpf:
    return -log(k) if probability(at, y) < k else -log(probability(x, y))


def ohem(x: Scores, y: int, at: Scores, *, keep: mpf) -> mpf:
    """Of a batch of one, which is always kept."""
    return -log(probability(x, y))


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


def two_scale(x: Scores, y: int, at: Scores, *, eta: mpf, ratio: mpf) -> mpf:
    """As the family starts: R1 = R = 1 and R2 = ratio R1."""
    return two_scale_of(x, y, at, eta=eta, r1=mpf(1), r2=ratio, scale=mpf(1))


def two_scale_of(x: Scores, y: int, at: Scores, *, eta: mpf, r1: mpf, r2: mpf, scale: mpf) -> mpf:
    confidence = at[y] - max(others(at, y))
    r = r1 if confidence < eta else r2
    normalised = [value / scale for value in x]
    return -log(1 / (1 + fsum(exp(r * (value - normalised[y])) for value in others(normalised, y))))


def norm_face(c: Scores, y: int, at: Scores, *, s: mpf) -> mpf:
    return -log(exp(s * c[y]) / fsum(exp(s * value) for value in c))


def cos_face(c: Scores, y: int, at: Scores, *, m: mpf, s: mpf) -> mpf:
    own = exp(s * (c[y] - m))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def psi(theta: mpf, m1: mpf, m2: mpf, beyond_pi: str = "continue") -> mpf:
    """cos(m1 theta + m2) with the angular softmax's continuation: (-1)^k cos(phi) - 2k on [k pi, (k + 1) pi].

    A cosine that is disturbed beyond 1 has a complex angle, and a loss that is not compared.
    """
    phi = m1 * theta + m2
    k = int(floor(phi.real / pi)) if beyond_pi == "continue" else 0
    return (-1) ** k * cos(phi) - 2 * k


def arc_face(c: Scores, y: int, at: Scores, *, m: mpf, s: mpf, beyond_pi: str = "continue") -> mpf:
    return margin_softmax(c, y, at, m1=mpf(1), m2=m, m3=mpf(0), s=s, beyond_pi=beyond_pi)


def margin_softmax(c: Scores, y: int, at: Scores, *, m1: mpf, m2: mpf, m3: mpf, s: mpf, beyond_pi: str = "continue") -> mpf:
    own = exp(s * (psi(acos(c[y]), m1, m2, beyond_pi) - m3))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def sphere_face(c: Scores, y: int, at: Scores, *, m: mpf, s: mpf, lam: mpf, beyond_pi: str = "continue") -> mpf:
    own = exp(s * (lam * c[y] + psi(acos(c[y]), m, mpf(0), beyond_pi)) / (1 + lam))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def l_softmax(c: Scores, y: int, at: Scores, *, m: mpf, lam: mpf, norms: Scores) -> mpf:
    own = exp(norms[y] * (lam * c[y] + psi(acos(c[y]), m, mpf(0))) / (1 + lam))
    return -log(own / (own + fsum(others([exp(size * value) for size, value in zip(norms, c, strict=True)], y))))


def gm_softmax(c: Scores, y: int, at: Scores, *, alpha1: mpf, alpha2: mpf, beta1: mpf, beta2: mpf, s: mpf) -> mpf:
    return -log(exp(s * (alpha1 * c[y] + beta1)) / (exp(s * (alpha2 * c[y] + beta2)) + fsum(exp(s * value) for value in others(c, y))))


def ldam(c: Scores, y: int, at: Scores, *, max_margin: mpf, s: mpf, class_counts: Sequence[int]) -> mpf:
    inverse_roots = [mpf(count) ** (mpf(-1) / 4) for count in class_counts]
    own = exp(s * (c[y] - max_margin * inverse_roots[y] / max(inverse_roots)))
    return -log(own / (own + fsum(exp(s * value) for value in others(c, y))))


def lm_softmax(c: Scores, y: int, at: Scores, *, s: mpf) -> mpf:
    return -log(exp(s * c[y]) / fsum(exp(s * value) for value in others(c, y))) / s


def sample_margin(c: Scores, y: int, at: Scores) -> mpf:
    return -(c[y] - c[hardest_index(at, y)])
