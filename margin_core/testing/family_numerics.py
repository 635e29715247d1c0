"""The numbers of a loss family: finite at extreme scores, in low precision close to the exact ones, with gradients that are derivatives."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from margin_core.heads import CosineHead
from margin_core.losses.family import Family
from margin_core.testing.family_cases import FamilyCases, only
from margin_core.testing.samples import BATCH, CLASSES, COUNTS, build, draw, inputs, loss_and_gradient, pure

ROUNDINGS = 4.0
"""How many roundings in float32 a loss or a gradient may be off. Ours are off by 1.6 of them at most by the compiled loops and by 3 by
torch's operations; what is left is for machines that sum, or take exponentials and logarithms, in other ways."""
UNDERFLOW = 1e-30
"""What may be lost besides: probabilities below 1e-38, which float32 cannot hold to all digits, times scale and norm."""


class FamilyNumerics(FamilyCases):
    """What the numbers of every loss family are like, whatever its formula."""

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    def test_in_low_precision_loss_and_gradient_are_the_exact_ones_but_for_a_few_roundings(
        self, family: Family, dtype: torch.dtype
    ) -> None:
        scores, target = draw(family, BATCH, dtype=dtype)
        for knob in family.knobs:
            for value in (*knob.grid, *knob.search):
                assert_close_to_exact(family, scores, target, **{knob.name: value})

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_extreme_scores_give_finite_losses_and_gradients_close_to_the_exact_ones(self, family: Family, dtype: torch.dtype) -> None:
        extremes = [1e4, -1e4, 0.0] if family.reads == "logits" else [1.0, -1.0, 0.0]
        scores = torch.tensor(list(itertools.product(extremes, repeat=3)), dtype=dtype).repeat(3, 1)
        target = torch.arange(3).repeat_interleave(27)
        for knob in family.knobs:
            for value in (*knob.grid, *knob.search):
                assert_close_to_exact(family, scores, target, **{knob.name: value})

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @only(lambda family: family.reads == "cosines")
    def test_in_low_precision_the_largest_margins_at_a_scale_of_64_give_finite_gradients_close_to_the_exact_ones(
        self, family: Family, dtype: torch.dtype
    ) -> None:
        near_one = 1.0 - torch.finfo(dtype).eps / 2.0
        scores = torch.tensor(list(itertools.product([1.0, near_one, -near_one, -1.0, 0.5], repeat=3)), dtype=dtype)
        knobs = {knob.name: 64.0 if knob.name == "s" else max(*knob.grid, *knob.search) for knob in family.knobs}
        for target in range(3):
            assert_close_to_exact(family, scores, torch.full((len(scores),), target), **knobs)

    def test_a_class_of_score_minus_infinity_is_out_of_the_competition(self, family: Family) -> None:
        scores, target = draw(family, BATCH, classes=4)
        masked = torch.where(torch.arange(4) == 2, -math.inf, scores)
        target, kept = torch.where(target == 2, 0, target), torch.tensor([0, 1, 3])
        counts = {name: [COUNTS[j] for j in kept] for name in family.needs}
        loss, gradient = all_of(family, masked, scores, target)
        expected, expected_gradient = all_of(family, scores[:, kept], scores[:, kept], torch.where(target == 3, 2, target), **counts)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient[:, kept], expected_gradient, rtol=1e-12, atol=1e-12)
        assert (gradient[:, 2] == 0.0).all()

    @only(lambda family: family.reads == "cosines")
    def test_a_zero_feature_has_a_finite_loss_and_moves_no_prototype(self, family: Family) -> None:
        head, features = CosineHead(3, CLASSES), torch.zeros(2, 3, requires_grad=True)
        cosines = head(features)
        assert torch.equal(cosines, torch.zeros(2, CLASSES))
        given = {"norms": torch.zeros(2, CLASSES)} if "norms" in family.inputs else {}
        loss = build(family, reduction="sum")(cosines, torch.tensor([0, 3]), **given)
        loss.backward()
        assert loss.isfinite()
        assert features.grad is not None
        assert features.grad.isfinite().all()
        assert head.weight.grad is not None
        assert torch.equal(head.weight.grad, torch.zeros_like(head.weight))

    def test_the_caller_s_tensors_are_not_written_to(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        scores.requires_grad_()
        knobs = {knob.name: torch.full((BATCH,), knob.default, dtype=torch.float64) for knob in family.knobs}
        given = (scores, target, *knobs.values())
        before = [(tensor.detach().clone(), tensor._version) for tensor in given]
        torch.autograd.backward(pure(family, scores, target, **knobs).sum())
        for tensor, (value, version) in zip(given, before, strict=True):
            assert torch.equal(tensor, value)
            assert tensor._version == version

    def test_strided_scores_and_targets_are_as_good_as_contiguous_ones(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        loss, gradient = loss_and_gradient(family, scores, target)
        for strided in (scores.T.contiguous().T, scores.repeat_interleave(2, dim=0)[::2], scores.repeat_interleave(2, dim=1)[:, ::2]):
            assert not strided.is_contiguous()
            # Not by loss_and_gradient, whose clone would be contiguous.
            strided_loss = build(family)(strided.requires_grad_(), target.repeat_interleave(2)[::2], **inputs(family, strided))
            torch.testing.assert_close(strided_loss, loss, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(torch.autograd.grad(strided_loss.sum(), strided)[0], gradient, rtol=1e-12, atol=1e-12)

    def test_gradients_are_those_of_finite_differences(self, family: Family) -> None:
        scores, target = draw(family, 6, seed=1)
        inside = {knob.name: sum(knob.search) / 2.0 for knob in family.knobs}
        knobs = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in inside.items()}

        given = inputs(family, scores)

        def function(scores: Tensor, *values: Tensor) -> Tensor:
            return pure(family, scores, target, **given, **dict(zip(knobs, values, strict=True)))

        assert torch.autograd.gradcheck(function, (scores.requires_grad_(), *knobs.values()))
        # With knobs that are not trained the slopes may be stated rather than derived.
        assert torch.autograd.gradcheck(lambda scores: function(scores, *(value.detach() for value in knobs.values())), (scores,))
        assert torch.autograd.gradgradcheck(function, (scores, *(value.detach() for value in knobs.values())))

    def test_autocast_does_not_lower_the_precision_of_the_loss(self, family: Family) -> None:
        scores, target = draw(family, BATCH, dtype=torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside, gradient = loss_and_gradient(family, scores, target)
        outside, expected = loss_and_gradient(family, scores, target)
        assert torch.equal(inside, outside)
        assert torch.equal(gradient, expected)


def all_of(family: Family, scores: Tensor, unmasked: Tensor, target: Tensor, **counts: Any) -> tuple[Tensor, Tensor]:
    """Loss and gradient with the inputs of the scores before they were masked."""
    leaf = scores.clone().requires_grad_()
    loss = build(family, scores.shape[-1], **counts)(leaf, target, **inputs(family, unmasked))
    return loss.detach(), torch.autograd.grad(loss.sum(), leaf)[0]


def assert_close_to_exact(family: Family, scores: Tensor, target: Tensor, **knobs: float) -> None:
    """Loss and gradient are finite, in their dtypes, and but for a few roundings those that float64 gives at the same scores.

    The loss is float32's, and the gradient is rounded to the dtype of the scores once, at the end: each entry is within a unit in the last
    place of one that is float32's. To the nearest it would be half a unit, but Triton's interpreter cuts digits off. What float32 itself
    may cost is read off the exact numbers, since another computation in float32 may be wrong just as the family's own is: it is how far
    they move where any score moves by a rounding of the sample's largest, or of 1 if that is larger, and a rounding of the loss itself
    and of the gradient's largest entry besides.
    """
    loss, gradient = loss_and_gradient(family, scores, target, **knobs)
    assert loss.dtype == torch.promote_types(scores.dtype, torch.float32)
    assert gradient.dtype == scores.dtype
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    if scores.dtype == torch.float64:
        return
    eps, exact = torch.finfo(torch.float32).eps, scores.double()
    steps = eps * exact.abs().amax(dim=-1, keepdim=True).clamp_min(1.0) * torch.eye(exact.shape[-1], dtype=torch.float64).unsqueeze(1)
    moved = torch.cat([exact.unsqueeze(0), exact + steps, exact - steps])
    (exact_loss, loss_moves), (exact_gradient, gradient_moves) = (
        (at[0], torch.stack((at[1:] - at[0]).abs().chunk(2)).amax(dim=0).sum(dim=0))
        for at in plain_loss_and_gradient(family, moved, target.expand(len(moved), -1), **knobs)
    )
    of_loss = loss_moves + eps * exact_loss.abs()
    of_gradient = gradient_moves + eps * exact_gradient.abs().amax(dim=-1, keepdim=True)
    info = torch.finfo(scores.dtype)
    unit = info.eps / 2.0 * 2.0 ** exact_gradient.abs().clamp_min(info.tiny).frexp().exponent.double()
    assert ((loss - exact_loss).abs() <= ROUNDINGS * of_loss + UNDERFLOW).all(), knobs
    assert ((gradient - exact_gradient).abs() <= ROUNDINGS * of_gradient + unit + UNDERFLOW).all(), knobs


def plain_loss_and_gradient(family: Family, scores: Tensor, target: Tensor, **knobs: Any) -> tuple[Tensor, Tensor]:
    """The same as `loss_and_gradient` by torch.func, under which a family that has loops or kernels of its own takes torch's operations."""
    module, given = build(family, scores.shape[-1], **knobs), inputs(family, scores)
    loss, pull_back, *_ = torch.func.vjp(lambda scores: module(scores, target, **given), scores)
    return loss.detach(), pull_back(torch.ones_like(loss))[0]
