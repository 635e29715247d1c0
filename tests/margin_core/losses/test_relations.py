"""How the families relate: where one is another, between which bounds it lies, and the gradients that the papers derive."""

from __future__ import annotations

import math

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from margin_core.losses.functional import arc_face, ce, cos_face, gds, gradient_decay, lm_softmax, norm_face, two_scale
from tests.margin_core.losses.samples import Sample, close, cosines, gradient, logits, number, one_hot, sample, scale


def gds_gate(scores: Tensor, target: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """alpha and p_y of the paper's eqs. (9) to (12), by their definitions."""
    p = scores.softmax(dim=-1)
    hardest = torch.where(one_hot(scores, target) == 1, 0.0, p).max()
    return ((1 - p[target] + hardest) ** lam / (1 + (1 - p[target] + hardest) ** lam)), p[target]


@given(logits, number(0.0, 1.0))
def test_ce_is_torch_s_cross_entropy_with_label_smoothing(s: Sample, eps: float) -> None:
    close(ce(*s, label_smoothing=eps), cross_entropy(*s, label_smoothing=eps))
    close(gradient(ce, *s, label_smoothing=eps), gradient(cross_entropy, *s, label_smoothing=eps))


@given(logits, number(0.1, 10.0))
def test_gds_without_lambda_is_cross_entropy_plus_tau_log_2(s: Sample, tau: float) -> None:
    close(gds(*s, lam=0.0, tau=tau), ce(*s) + tau * math.log(2.0))
    close(gradient(gds, *s, lam=0.0, tau=tau), gradient(ce, *s))


@given(logits, number(0.0, 5.0), number(0.1, 10.0))
def test_gds_exceeds_cross_entropy_by_at_most_tau_log_of_1_and_2_to_the_lambda_over_tau(s: Sample, lam: float, tau: float) -> None:
    excess = gds(*s, lam=lam, tau=tau) - ce(*s)
    assert -1e-12 <= excess <= tau * math.log1p(2.0 ** (lam / tau)) + 1e-12


@given(sample(8.0), number(0.0, 5.0), st.sampled_from(["attached", "detached"]))
def test_the_target_s_gradient_of_gds_is_equation_12(s: Sample, lam: float, hardest: str) -> None:
    alpha, p_y = gds_gate(*s, lam)
    close(gradient(gds, *s, lam=lam, hardest=hardest)[s[1]], p_y * (1 - alpha * lam) - 1)


@given(logits, number(0.0, 5.0))
def test_the_gradients_of_gds_sum_to_zero_with_the_hardest_competitor_attached(s: Sample, lam: float) -> None:
    close(gradient(gds, *s, lam=lam).sum(), 0.0)


@given(sample(8.0), number(0.1, 5.0))
def test_detaching_the_hardest_competitor_of_gds_takes_its_own_pull_away_and_no_other(s: Sample, lam: float) -> None:
    alpha, _ = gds_gate(*s, lam)
    x, y = s
    p = x.softmax(dim=-1)
    rivals = torch.where(one_hot(x, y) == 1, -math.inf, x)
    assume(not ((rivals < rivals.max()) & (rivals > rivals.max() - 1e-12)).any())  # nearly a tie, in which the first is taken
    pull = alpha * lam * p[rivals.argmax()] / (p.sum() - p[y] + p[rivals.argmax()])
    difference = gradient(gds, *s, lam=lam) - gradient(gds, *s, lam=lam, hardest="detached")
    close(difference, one_hot(x, rivals.argmax()) * pull)
    close(gds(*s, lam=lam), gds(*s, lam=lam, hardest="detached"))


@given(sample(8.0), number(0.1, 5.0))
def test_the_gate_of_gds_leans_to_the_hardest_competitor_for_misclassified_samples_only(s: Sample, lam: float) -> None:
    x, y = s
    lead = x[y] - torch.where(one_hot(x, y) == 1, -math.inf, x).max()
    assume(abs(lead) > 1e-3)
    p_y = x.softmax(dim=-1)[y]
    alpha = (1 - (1 + gradient(gds, x, y, lam=lam)[y]) / p_y) / lam  # eq. (12), solved for alpha
    assert (alpha > 0.5) == (lead < 0)


@given(logits)
def test_gradient_decay_with_beta_1_is_cross_entropy(s: Sample) -> None:
    close(gradient_decay(*s, beta=1.0), ce(*s))
    close(gradient(gradient_decay, *s, beta=1.0), gradient(ce, *s))


@given(logits, number(1e-6, 1e3), number(0.25, 4.0))
def test_gradient_decay_is_cross_entropy_of_logits_with_log_beta_added_to_the_target(s: Sample, beta: float, tau: float) -> None:
    x, y = s
    shifted = x / tau + math.log(beta) * one_hot(x, y)
    close(gradient_decay(x, y, beta=beta, tau=tau), ce(shifted, y) + math.log(beta))
    close(gradient(gradient_decay, x, y, beta=beta, tau=tau), gradient(ce, shifted, y) / tau)


@given(sample(8.0), number(0.001, 10.0))
def test_the_target_s_gradient_of_gradient_decay_falls_with_its_probability_as_the_paper_derives(s: Sample, beta: float) -> None:
    p_y = s[0].softmax(dim=-1)[s[1]]
    close(gradient(gradient_decay, *s, beta=beta)[s[1]], -(1 - p_y) / (1 + (beta - 1) * p_y))


@given(logits, number(0.001, 10.0), number(0.25, 4.0))
def test_gradient_decay_pulls_the_target_as_hard_as_it_pushes_all_its_competitors(s: Sample, beta: float, tau: float) -> None:
    x, y = s
    pull = gradient(gradient_decay, x, y, beta=beta, tau=tau)
    close(pull[y].abs(), torch.where(one_hot(x, y) == 1, 0.0, pull.abs()).sum())


@given(number(1e-3, 100.0))
def test_the_curvature_of_gradient_decay_is_a_quarter_at_most_and_that_where_p_is_1_over_1_and_beta(beta: float) -> None:
    p = torch.cat([torch.linspace(0.01, 0.99, 99, dtype=torch.float64), torch.tensor([1.0 / (1.0 + beta)], dtype=torch.float64)])
    z = torch.stack([p.logit(), torch.zeros_like(p)], dim=-1).requires_grad_()
    target = torch.zeros(100, dtype=torch.int64)
    (slope,) = torch.autograd.grad(gradient_decay(z, target, beta=beta).sum(), z, create_graph=True)
    curvature = torch.autograd.grad(slope[:, 0].sum(), z)[0][:, 0]
    assert (curvature <= 0.25 + 1e-12).all()
    close(curvature[-1], 0.25)


@given(logits, st.sampled_from([1e-300, 1e-30, 1e30, 1e300]))
def test_gradient_decay_overflows_for_no_beta(s: Sample, beta: float) -> None:
    assert gradient_decay(*s, beta=beta).isfinite()
    assert gradient(gradient_decay, *s, beta=beta).isfinite().all()


@given(logits, number(0.01, 100.0))
def test_two_scale_with_equal_scales_is_cross_entropy(s: Sample, eta: float) -> None:
    close(two_scale(*s, eta=eta, ratio=1.0), ce(*s))
    close(gradient(two_scale, *s, eta=eta, ratio=1.0), gradient(ce, *s))


@given(logits, number(0.01, 5.0), number(1.0, 50.0))
def test_two_scale_is_cross_entropy_at_the_scale_that_the_raw_confidence_chooses(s: Sample, eta: float, ratio: float) -> None:
    x, y = s
    confidence = x[y] - torch.where(one_hot(x, y) == 1, -math.inf, x).max()
    factor = ratio if confidence >= eta else 1.0
    close(two_scale(*s, eta=eta, ratio=ratio), ce(factor * x, y))
    close(gradient(two_scale, *s, eta=eta, ratio=ratio), factor * gradient(ce, factor * x, y))


@given(logits, number(1.0, 50.0), number(-5.0, 5.0))
def test_two_scale_depends_only_on_how_its_scales_compare_with_the_network_s(s: Sample, ratio: float, shift: float) -> None:
    together = two_scale(*s, r1=math.exp(shift), r2=ratio * math.exp(shift), log_scale=shift)
    close(together, two_scale(*s, ratio=ratio))


@given(cosines, scale)
def test_without_a_margin_cos_face_and_arc_face_are_norm_face(s: Sample, size: float) -> None:
    for loss in (cos_face, arc_face):
        close(loss(*s, m=0.0, s=size), norm_face(*s, s=size))
        close(gradient(loss, *s, m=0.0, s=size), gradient(norm_face, *s, s=size))


@given(cosines, scale)
def test_norm_face_is_cross_entropy_of_scaled_cosines(s: Sample, size: float) -> None:
    close(norm_face(*s, s=size), ce(size * s[0], s[1]))


@given(cosines, scale, number(0.0, 2.0))
def test_cos_face_is_norm_face_with_the_margin_taken_off_the_target_s_cosine(s: Sample, size: float, m: float) -> None:
    c, y = s
    close(cos_face(c, y, m=m, s=size), norm_face(c - m * one_hot(c, y), y, s=size))


@given(cosines, scale, number(0.0, math.pi / 2))
def test_arc_face_is_norm_face_of_the_target_s_angle_plus_the_margin_up_to_pi(s: Sample, size: float, m: float) -> None:
    c, y = s
    theta = c[y].acos()
    assume(theta + m <= math.pi)
    widened = torch.where(one_hot(c, y) == 1, (theta + m).cos(), c)
    close(arc_face(c, y, m=m, s=size), norm_face(widened, y, s=size), atol=1e-11)


@given(cosines, scale, number(0.0, 2.0), number(0.0, 2.0))
def test_a_larger_margin_is_never_easier(s: Sample, size: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert cos_face(*s, m=low, s=size) <= cos_face(*s, m=high, s=size) + 1e-12
    assert arc_face(*s, m=low, s=size) <= arc_face(*s, m=high, s=size) + 1e-12


@given(cosines, number(1e-3, 1e6))
def test_lm_softmax_lies_between_the_negative_sample_margin_and_that_plus_log_of_the_competitors_over_s(s: Sample, size: float) -> None:
    c, y = s
    margin = c[y] - torch.where(one_hot(c, y) == 1, -math.inf, c).max()
    slack = math.log(len(c) - 1) / size
    rounding = 1e-12 * (1.0 + slack)
    assert -margin - rounding <= lm_softmax(c, y, s=size) <= slack - margin + rounding


@given(cosines, scale)
def test_the_target_s_gradient_of_lm_softmax_is_minus_one_and_the_others_sum_to_one(s: Sample, size: float) -> None:
    pull = gradient(lm_softmax, *s, s=size)
    close(pull[s[1]], -1.0)
    close(pull.sum(), 0.0)
