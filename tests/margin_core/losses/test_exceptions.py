"""The exceptions to exact and finite numbers that docs/numerics.md lists are what it says they are."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from margin_core.losses import FAMILIES, Family
from margin_core.losses.angular_margin import LEAST_SINE
from margin_core.testing.samples import build, draw, inputs, loss_and_gradient

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
OF_LOGITS = {name: family for name, family in FAMILIES.ours.items() if family.reads == "logits"}


@pytest.mark.parametrize("dtype", LEAST_SINE)
def test_the_slope_of_an_angle_at_its_ends_is_finite_where_the_exact_one_is_not(dtype: torch.dtype) -> None:
    # d psi / dc = sin(theta + m) / sin(theta) grows without bound towards c = 1, and s (1 - p_y) times it is the gradient.
    cosines = torch.tensor([[1.0, 0.9, 0.0]], dtype=dtype)
    _, gradient = loss_and_gradient(FAMILIES.ours["arc_face"], cosines, torch.tensor([0]), m=0.5, s=1.0)
    missing = 1.0 / (1.0 + math.exp(math.cos(0.5)) / (math.exp(cosines[0, 1].item()) + 1.0))
    expected = -missing * (math.cos(0.5) + math.sin(0.5) / LEAST_SINE[dtype])
    assert gradient[0, 0].item() == pytest.approx(expected, rel=max(1e-6, 2 * torch.finfo(dtype).eps))


@pytest.mark.parametrize("family", OF_LOGITS.values(), ids=OF_LOGITS)
def test_a_target_of_minus_infinity_has_the_loss_that_its_formula_tends_to(family: Family) -> None:
    scores, target = draw(family, 4)
    scores.scatter_(-1, target.unsqueeze(-1), -math.inf)
    loss, _ = loss_and_gradient(family, scores, target)
    limit = {"gce": 1.0 / 0.7, "truncated_ce": -math.log(0.01)}.get(family.name, math.inf)
    # Of equal losses ohem keeps the first half.
    limits = [math.inf, math.inf, 0.0, 0.0] if family.name == "ohem" else [limit] * 4
    assert loss.tolist() == pytest.approx(limits, rel=1e-14)


@EVERY_FAMILY
def test_where_all_competitors_are_out_nothing_pulls_them(family: Family) -> None:
    scores, target = draw(family, 4)
    given, out = inputs(family, scores), torch.full_like(scores, -math.inf).scatter(-1, target.unsqueeze(-1), 0.5).requires_grad_()
    loss = build(family)(out, target, **given)
    (gradient,) = torch.autograd.grad(loss.sum(), out)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.scatter(-1, target.unsqueeze(-1), 0.0).eq(0.0).all()


@EVERY_FAMILY
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_of_no_sample_the_loss_is_what_cross_entropy_s_is(family: Family, reduction: str) -> None:
    scores, target = draw(family, 0)
    scores.requires_grad_()
    loss = build(family, reduction=reduction)(scores, target, **inputs(family, scores))
    assert torch.equal(loss.isnan(), cross_entropy(scores, target, reduction=reduction).isnan())
    assert loss.nan_to_num().tolist() == cross_entropy(scores, target, reduction=reduction).nan_to_num().tolist()
    loss.sum().backward()
    assert scores.grad is not None
    assert scores.grad.shape == (0, 5)


def test_scores_that_were_written_to_since_are_refused_by_the_way_back() -> None:
    scores, target = draw(FAMILIES.ours["ce"], 4)
    product = 1.0 * scores.requires_grad_()
    loss = FAMILIES.ours["ce"].function(product, target).sum()
    product.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
