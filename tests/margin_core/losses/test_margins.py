"""The margin families: where one is another, what the largest-margins paper proves of them, and what each alone asks for."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from margin_core.heads import LinearHead
from margin_core.losses import build_loss
from margin_core.losses.functional import (
    arc_face,
    ce,
    cos_face,
    gm_softmax,
    l_softmax,
    ldam,
    lm_softmax,
    margin_softmax,
    norm_face,
    sphere_face,
)
from margin_core.losses.sphere_face import annealing
from margin_core.models import Classifier
from tests.margin_core.losses.samples import Sample, close, cosines, gradient, number, one_hot, scale

READINGS = st.sampled_from([{"gradient": g, "beyond_pi": b} for g in ("exact", "straight_through") for b in ("continue", "none")])


def same(one: object, other: object, s: Sample, knobs: dict[str, object], of: dict[str, object]) -> None:
    """``one`` with ``knobs`` is ``other`` with ``of``, in value and gradient."""
    close(one(*s, **knobs), other(*s, **of))  # type: ignore[operator]
    left, right = gradient(one, *s, **knobs), gradient(other, *s, **of)
    close(left, right, atol=1e-12 * max(1.0, right.abs().max().item()))


@given(cosines, scale, number(0.0, 2.0), READINGS)
def test_the_unified_margin_softmax_is_each_of_the_others(s: Sample, size: float, m: float, reading: dict[str, object]) -> None:
    same(margin_softmax, norm_face, s, {"s": size, **reading}, {"s": size})
    same(margin_softmax, cos_face, s, {"m3": m, "s": size, **reading}, {"m": m, "s": size})
    same(margin_softmax, arc_face, s, {"m2": m, "s": size, **reading}, {"m": m, "s": size, **reading})
    same(margin_softmax, sphere_face, s, {"m1": 1.0 + m, "s": size, **reading}, {"m": 1.0 + m, "s": size, **reading})


@given(cosines, scale, number(0.0, 2.0))
def test_where_the_margin_does_not_depend_on_the_angle_both_gradients_are_the_same(s: Sample, size: float, m: float) -> None:
    assert torch.equal(gradient(cos_face, *s, m=m, s=size), gradient(cos_face, *s, m=m, s=size, gradient="straight_through"))
    assert torch.equal(gradient(norm_face, *s, s=size), gradient(norm_face, *s, s=size, gradient="straight_through"))


@given(cosines, scale, number(0.9, 4.0), number(0.0, 0.5), number(0.0, 0.5))
def test_the_straight_through_gradient_is_that_of_the_margin_taken_as_a_constant(
    s: Sample, size: float, m1: float, m2: float, m3: float
) -> None:
    margins = {"m1": m1, "m2": m2, "m3": m3, "s": size}
    c, y = s
    loss, straight = margin_softmax(c, y, **margins), gradient(margin_softmax, c, y, gradient="straight_through", **margins)
    assert torch.equal(margin_softmax(c, y, gradient="straight_through", **margins), loss)
    moved = gradient(lambda scores, target: margin_softmax(scores, target, **margins), c, y)
    others = one_hot(c, y) == 0
    close(straight[others], moved[others], atol=1e-12 * size)
    close(straight[y], -moved[others].sum(), atol=1e-12 * size)  # the pull of a margin that does not turn


@given(cosines, scale, number(1.0, 4.0), number(0.0, math.pi / 3), number(0.0, 1.0))
def test_a_margin_softmax_is_at_least_the_generalised_one_by_which_the_paper_bounds_it(
    s: Sample, size: float, m1: float, m2: float, m3: float
) -> None:
    loss = margin_softmax(*s, m1=m1, m2=m2, m3=m3, s=size)
    alpha = max(0.5, math.cos(m2))
    assert loss >= gm_softmax(*s, alpha1=alpha, alpha2=alpha, beta1=-m3, beta2=-m3, s=size) - 1e-11


@given(cosines, scale, number(1.0, 4.0), number(0.0, 1e6))
def test_annealed_the_target_of_sphere_face_lies_between_its_cosine_and_the_margin_s(s: Sample, size: float, m: float, lam: float) -> None:
    assert norm_face(*s, s=size) - 1e-11 <= sphere_face(*s, m=m, s=size, lam=lam) <= sphere_face(*s, m=m, s=size) + 1e-11
    close(sphere_face(*s, m=m, s=size, lam=1e18), norm_face(*s, s=size))


def test_the_annealing_is_that_of_the_authors_code_and_a_function_of_the_step_alone() -> None:
    assert [annealing(step) for step in (0, 1, 1000)] == pytest.approx([1000.0, 1000.0 / 1.12, 1000.0 / 121.0])
    assert annealing(1_000_000) == 5.0
    assert annealing(100, base=1500.0, gamma=0.1, power=1.0, minimum=5.0) == pytest.approx(1500.0 / 11.0)
    assert annealing(9, gamma=1.0, power=2.0, minimum=0.0) == pytest.approx(10.0)
    weights = [annealing(step) for step in range(3000)]
    assert weights == sorted(weights, reverse=True)
    with pytest.raises(ValueError, match="step must be >= 0, got -1"):
        annealing(-1)


def test_the_annealing_weight_is_a_knob_that_training_moves() -> None:
    loss = build_loss("sphere_face", num_classes=3, m=4.0, reduction="none")
    c, y = torch.tensor([[0.3, 0.1, -0.5]], dtype=torch.float64), torch.tensor([0])
    for step in (0, 100, 10_000):
        loss.set_knobs(lam=annealing(step))
        assert torch.equal(loss(c, y), sphere_face(c, y, m=4.0, lam=annealing(step)))


def test_l_softmax_with_m_1_is_cross_entropy_of_the_logits_for_features_and_prototypes_too() -> None:
    generator = torch.Generator().manual_seed(0)
    head = LinearHead(4, 3).double()
    features = torch.randn(6, 4, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.arange(6) % 3
    model = Classifier(torch.nn.Identity(), head)
    loss, plain = build_loss("l_softmax", num_classes=3, m=1), build_loss("ce", num_classes=3)
    output = model(features)
    ours = loss(model.cosines(output), target, norms=model.norms(output))
    theirs = plain(features @ head.weight.T, target)
    close(ours, theirs)
    for left, right in zip(*(torch.autograd.grad(value, (features, head.weight)) for value in (ours, theirs)), strict=True):
        close(left, right)
    close(loss.prediction_logits(model.cosines(output), norms=model.norms(output)), features @ head.weight.T)


@given(cosines, st.integers(1, 5), number(0.1, 64.0), number(0.0, 10.0))
def test_l_softmax_with_equal_norms_is_sphere_face_at_that_scale(s: Sample, m: int, size: float, lam: float) -> None:
    same(l_softmax, sphere_face, s, {"m": m, "lam": lam, "norms": size}, {"m": m, "lam": lam, "s": size})
    same(l_softmax, sphere_face, s, {"m": m, "norms": torch.full_like(s[0], size)}, {"m": m, "s": size})


@given(cosines, st.integers(1, 5))
def test_l_softmax_of_a_zero_feature_is_that_of_guessing(s: Sample, m: int) -> None:
    close(l_softmax(*s, m=m, norms=torch.zeros_like(s[0])), math.log(len(s[0])))


def test_l_softmax_asks_for_its_norms() -> None:
    with pytest.raises(TypeError, match="norms"):
        build_loss("l_softmax", num_classes=3)(torch.zeros(2, 3), torch.tensor([0, 1]))


@given(cosines, scale, number(0.0, 1.0), st.integers(1, 1000))
def test_ldam_with_equal_classes_is_cos_face(s: Sample, size: float, m: float, count: int) -> None:
    same(ldam, cos_face, s, {"max_margin": m, "s": size, "class_counts": [count] * len(s[0])}, {"m": m, "s": size})


@given(cosines, scale, number(0.0, 1.0), st.lists(st.integers(1, 5000), min_size=7, max_size=7))
def test_ldam_is_cos_face_with_the_margin_of_the_target_s_class(s: Sample, size: float, m: float, drawn: list[int]) -> None:
    counts = drawn[: len(s[0])]
    own = m * (min(counts) / counts[int(s[1])]) ** 0.25
    close(ldam(*s, max_margin=m, s=size, class_counts=counts), cos_face(*s, m=own, s=size))
    close(build_loss("ldam", num_classes=len(counts), max_margin=m, s=size, class_counts=counts)(*s), cos_face(*s, m=own, s=size))


def test_ldam_takes_counts_of_any_kind() -> None:
    cosines, target = torch.tensor([[0.5, -0.2, 0.1], [0.3, 0.9, -0.4]], dtype=torch.float64), torch.tensor([0, 2])
    counts = torch.tensor([100, 7, 33])
    for kind in (torch.float32, torch.bfloat16, torch.uint8):
        close(ldam(cosines, target, class_counts=counts.to(kind)), ldam(cosines, target, class_counts=counts))


def test_ldam_refuses_counts_of_other_classes() -> None:
    with pytest.raises(ValueError, match=r"class_counts must have the shape \(3,\), got \(2,\)"):
        ldam(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), class_counts=[3, 2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_ldam_takes_targets_of_any_integer_type(dtype: torch.dtype) -> None:
    c, y = torch.eye(3)[:, :3], torch.tensor([0, 1, 1])
    assert torch.equal(ldam(c, y.to(dtype), class_counts=[9, 3, 1]), ldam(c, y, class_counts=[9, 3, 1]))


@given(cosines, scale, number(0.0, 1.0), number(-1.0, 1.0))
def test_gm_softmax_is_norm_face_cos_face_and_in_the_limit_lm_softmax(s: Sample, size: float, m: float, beta1: float) -> None:
    same(gm_softmax, norm_face, s, {"s": size}, {"s": size})
    same(gm_softmax, cos_face, s, {"beta1": -m, "beta2": -m, "s": size}, {"m": m, "s": size})
    # Far enough for the target's part of the sum to vanish, e^-40 of it at most, and no farther: a large shift would cost digits.
    far = {"alpha2": 0.0, "beta2": -1.0 - 40.0 / size, "s": size}
    close(gm_softmax(*s, **far) / size, lm_softmax(*s, s=size))
    close(gradient(gm_softmax, *s, **far) / size, gradient(lm_softmax, *s, s=size))
    close(gm_softmax(*s, beta1=beta1, s=size), gm_softmax(*s, s=size) - size * beta1, atol=1e-11)
    close(gradient(gm_softmax, *s, beta1=beta1, s=size), gradient(gm_softmax, *s, s=size))


@given(cosines, scale, number(0.5, 2.0), number(0.0, 1.0), number(-1.0, 0.5))
def test_the_gradients_of_gm_softmax_sum_to_what_its_slopes_leave(
    s: Sample, size: float, alpha1: float, share: float, beta2: float
) -> None:
    c, y = s
    alpha2 = share * alpha1
    own = size * (alpha2 * c[y] + beta2)
    p_y = torch.sigmoid(own - torch.where(one_hot(c, y) == 1, -math.inf, size * c).logsumexp(dim=-1))
    pull = gradient(gm_softmax, c, y, alpha1=alpha1, alpha2=alpha2, beta2=beta2, s=size)
    close(pull.sum() / size, 1.0 - alpha1 + (alpha2 - 1.0) * p_y)


def test_slopes_outside_the_theorem_are_refused_together_by_module_and_function() -> None:
    wrong = r"gm_softmax: alpha1 must be >= 0.5 and alpha2 <= alpha1, got alpha1 = 1.0 and alpha2 = 1.5"
    with pytest.raises(ValueError, match=wrong):
        build_loss("gm_softmax", num_classes=3, alpha2=1.5)
    loss = build_loss("gm_softmax", num_classes=3)
    with pytest.raises(ValueError, match=wrong):
        loss.set_knobs(alpha2=1.5)
    assert loss.knobs["alpha2"] == 1.0
    loss.set_knobs(alpha1=2.0, alpha2=1.5)
    with pytest.raises(ValueError, match=wrong):
        gm_softmax(torch.zeros(1, 3), torch.tensor([0]), alpha1=1.0, alpha2=1.5)
    with pytest.raises(ValueError, match=r"alpha1 must be >= 0\.5"):
        gm_softmax(torch.zeros(1, 3), torch.tensor([0]), alpha1=0.4, alpha2=0.0)


@pytest.mark.parametrize("loss", [norm_face, cos_face, arc_face, sphere_face, margin_softmax, gm_softmax])
def test_at_a_scale_of_1_without_a_margin_all_are_cross_entropy_of_the_cosines(loss: object) -> None:
    knobs = {cos_face: {"m": 0.0}, arc_face: {"m": 0.0}, sphere_face: {"m": 1.0}}.get(loss, {})  # type: ignore[call-overload]
    c, y = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).reshape(3, 4), torch.tensor([0, 3, 1])

    def per_sample(function: object, **values: float) -> tuple[Tensor, Tensor]:
        leaf = c.clone().requires_grad_()
        value = function(leaf, y, **values)  # type: ignore[operator]
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    for left, right in zip(per_sample(loss, s=1.0, **knobs), per_sample(ce), strict=True):
        close(left, right)
