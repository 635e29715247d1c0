"""The curves of |g_y| against p_y, held to the papers' equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from margin_core.losses import list_losses
from margin_core.metrics import target_gradient

P = np.linspace(0.01, 0.99, 99)


def curve(family: str, competitors: int = 1, **knobs: float | str) -> np.ndarray:
    return target_gradient(family, P.tolist(), competitors=competitors, **knobs).numpy()


def assert_close(measured: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(measured, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("family", list_losses())
@pytest.mark.parametrize("competitors", [1, 9])
def test_every_family_has_a_curve(family: str, competitors: int) -> None:
    measured = curve(family, competitors)
    assert np.isfinite(measured).all()
    assert (measured >= 0.0).all()


@pytest.mark.parametrize("competitors", [1, 9, 99])
def test_cross_entropy_decays_linearly(competitors: int) -> None:
    assert_close(curve("ce", competitors), 1.0 - P)


@pytest.mark.parametrize("eps", [0.1, 0.3])
@pytest.mark.parametrize("competitors", [1, 9])
def test_smoothed_labels_pull_back_beyond_their_target(eps: float, competitors: int) -> None:
    assert_close(curve("ce", competitors, label_smoothing=eps), np.abs(P - (1.0 - eps) - eps / (competitors + 1)))


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("tau", [0.5, 1.0])
@pytest.mark.parametrize("competitors", [1, 9])
@pytest.mark.parametrize("hardest", ["attached", "detached"])
def test_gds_is_its_equation_12_with_the_gate_of_the_scores(lam: float, tau: float, competitors: int, hardest: str) -> None:
    q = 1.0 - P + (1.0 - P) / competitors
    alpha = q ** (lam / tau) / (1.0 + q ** (lam / tau))
    assert_close(curve("gds", competitors, lam=lam, tau=tau, hardest=hardest), np.abs(P * (1.0 - alpha * lam) - 1.0))


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("competitors", [1, 9])
def test_gradient_decay_is_its_equation_11(beta: float, tau: float, competitors: int) -> None:
    assert_close(curve("gradient_decay", competitors, beta=beta, tau=tau), (1.0 - P) / (1.0 + (beta - 1.0) * P))


@pytest.mark.parametrize("competitors", [1, 9])
def test_two_scales_jump_where_the_lead_reaches_eta(competitors: int) -> None:
    # x_y - max x_j is the logit of p_y plus log(K - 1); from eta on, ten times it is judged, and pulls ten times.
    lead = np.log(P / (1.0 - P)) + math.log(competitors)
    steep = 10.0 / (1.0 + np.exp(10.0 * lead - math.log(competitors)))
    assert_close(curve("two_scale", competitors, eta=0.5, ratio=10.0), np.where(lead < 0.5, 1.0 - P, steep))


@pytest.mark.parametrize("s", [10.0, 20.0, 64.0])
@pytest.mark.parametrize("competitors", [1, 9])
def test_norm_face_is_cross_entropy_at_any_scale(s: float, competitors: int) -> None:
    assert_close(curve("norm_face", competitors, s=s), 1.0 - P)


@pytest.mark.parametrize("m", [0.0, 0.1, 0.35])
@pytest.mark.parametrize("competitors", [1, 9])
def test_cos_face_is_gradient_decay_with_beta_exp_minus_s_m(m: float, competitors: int) -> None:
    assert_close(curve("cos_face", competitors, m=m, s=10.0), curve("gradient_decay", competitors, beta=math.exp(-10.0 * m)))


@pytest.mark.parametrize("m", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("competitors", [1, 9])
def test_arc_face_pulls_by_the_slope_of_its_margin(m: float, competitors: int) -> None:
    s = 20.0
    lead = np.log(P / (1.0 - P)) + math.log(competitors)
    own = lead / s * competitors / (competitors + 1)
    theta = np.arccos(own)
    behind = s * (np.cos(theta + m) + own / competitors) - math.log(competitors)
    assert_close(curve("arc_face", competitors, m=m, s=s), np.sin(theta + m) / np.sin(theta) / (1.0 + np.exp(behind)))


def test_lm_softmax_never_lets_go() -> None:
    assert_close(curve("lm_softmax", s=20.0), np.full_like(P, 1.0 / 20.0))


def test_probabilities_near_0_and_1_keep_their_digits() -> None:
    p = torch.tensor([1e-12, 1.0 - 1e-12], dtype=torch.float64)
    torch.testing.assert_close(target_gradient("ce", p), 1.0 - p, rtol=1e-9, atol=0.0)


def test_where_no_cosine_gives_the_probability_there_is_no_gradient() -> None:
    # At s = 1 two opposite prototypes give 1 / (1 + exp(-2)) = 0.88 at most.
    measured = target_gradient("norm_face", [0.5, 0.88, 0.89], s=1.0)
    assert measured[:2].numpy() == pytest.approx([0.5, 0.12])
    assert math.isnan(measured[2])


def test_the_shape_is_that_of_the_probabilities_and_no_graph_is_kept() -> None:
    p = torch.full((2, 3), 0.25, requires_grad=True)
    measured = target_gradient("ce", p)
    assert measured.shape == (2, 3)
    assert measured.dtype == torch.float64
    assert not measured.requires_grad
    assert target_gradient("ce", []).shape == (0,)


def test_a_curve_can_be_drawn_where_gradients_are_switched_off() -> None:
    expected = target_gradient("gds", [0.5])
    with torch.no_grad():
        assert torch.equal(target_gradient("gds", [0.5]), expected)
    with torch.inference_mode():
        assert torch.equal(target_gradient("gds", torch.tensor([0.5])), expected)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"p_y must be in \(0, 1\), got"):
        target_gradient("ce", [0.5, p])


def test_arguments_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="competitors must be >= 1, got 0"):
        target_gradient("ce", [0.5], competitors=0)
    with pytest.raises(ValueError, match="gds: lam must be >= 0, got -1"):
        target_gradient("gds", [0.5], lam=-1)
    with pytest.raises(ValueError, match="unknown loss family 'hinge'"):
        target_gradient("hinge", [0.5])
