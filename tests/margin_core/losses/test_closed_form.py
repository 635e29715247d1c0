"""The closed form gives what the plain operations give: the families' stated slopes are the slopes of their losses."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from margin_core.losses import FAMILIES, Family, closed_form, closed_form_cpu
from margin_core.losses.energies import ByConfidence
from margin_core.testing.samples import build, draw, inputs, loss_and_gradient, pure

OF_LOGITS = {name: family for name, family in FAMILIES.ours.items() if family.reads == "logits"}
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)


def plain_loss_and_gradient(family: Family, scores: Tensor, target: Tensor, **values: object) -> tuple[Tensor, Tensor]:
    """Those of `loss_and_gradient`, by the plain operations: where a gradient of the gradient is wanted there is no other way."""
    leaf = scores.clone().requires_grad_()
    loss = build(family, scores.shape[-1], **values)(leaf, target, **inputs(family, scores))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf, create_graph=True)
    return loss.detach(), gradient.detach()


@EVERY_FAMILY
def test_the_slopes_that_a_family_states_are_those_of_its_loss(family: Family) -> None:
    scores, target = draw(family, 64)
    settings = [{}, *({k.name: value} for k in family.knobs for value in k.grid), *({o.name: c} for o in family.options for c in o.choices)]
    for values in settings:
        for ours, expected in zip(
            loss_and_gradient(family, scores, target, **values), plain_loss_and_gradient(family, scores, target, **values), strict=True
        ):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13, msg=lambda m, values=values: f"{values}: {m}")


@pytest.mark.parametrize("family", OF_LOGITS.values(), ids=OF_LOGITS)
@pytest.mark.parametrize("lead", [-200.0, 200.0])
def test_digits_are_kept_where_one_score_leads_all_others_by_far(family: Family, lead: float) -> None:
    # exp(-200) is nothing in float32, where the softmax over all classes has lost it.
    scores, target = draw(family, 16)
    scores.scatter_add_(-1, target.unsqueeze(-1), torch.full((16, 1), lead, dtype=scores.dtype))
    for dtype, rounding in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        loss, gradient = loss_and_gradient(family, scores.to(dtype), target)
        exact, exact_gradient = plain_loss_and_gradient(family, scores, target)
        tiny = torch.finfo(dtype).tiny
        torch.testing.assert_close(loss.double(), exact, rtol=rounding, atol=tiny)
        torch.testing.assert_close(gradient.double(), exact_gradient, rtol=rounding, atol=tiny)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_trained_scales_get_the_gradient_of_the_samples_that_are_taken_at_them(dtype: torch.dtype) -> None:
    scores, target = draw(FAMILIES.ours["two_scale"], 32, dtype=dtype)
    scores[:, 0] = scores[:, 0].where(target == 0, -math.inf)
    gradients = []
    for differentiable in (False, True):
        below, above = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.7, 3.0))
        leaf = scores.clone().requires_grad_()
        loss = closed_form.closed_form(closed_form.cross_entropy, leaf, target, scale=ByConfidence(0.5, below, above)).sum()
        gradients.append(torch.autograd.grad(loss, (leaf, below, above), create_graph=differentiable))
    for ours, expected in zip(*gradients, strict=True):
        assert ours.isfinite().all()
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected, rtol=1e4 * torch.finfo(dtype).eps, atol=1e3 * torch.finfo(dtype).eps)


def test_norms_get_a_gradient_of_their_own() -> None:
    family = FAMILIES.ours["l_softmax"]
    scores, target = draw(family, 16)
    gradients = []
    for differentiable in (False, True):
        leaf, norms = scores.clone().requires_grad_(), (2.0 + scores).detach().requires_grad_()
        loss = family.function(leaf, target, norms=norms, m=3.0, lam=0.5).sum()
        gradients.append(torch.autograd.grad(loss, (leaf, norms), create_graph=differentiable))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13)
    column = torch.full((16, 1), 2.0, dtype=torch.float64, requires_grad=True)
    family.function(scores, target, norms=column).sum().backward()
    assert column.grad is not None
    assert column.grad.shape == (16, 1)


@EVERY_FAMILY
def test_a_knob_may_be_trained(family: Family) -> None:
    scores, target = draw(family, 8)
    knobs = {k.name: torch.tensor(k.default, dtype=torch.float64, requires_grad=True) for k in family.knobs}
    loss = pure(family, scores.requires_grad_(), target, **knobs).sum()
    gradients = torch.autograd.grad(loss, list(knobs.values()), allow_unused=True)
    # `keep` decides which samples count, and a step has no gradient.
    assert any(g is not None for g in gradients) or family.name == "ohem"
    assert all(g.isfinite().all() for g in gradients if g is not None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("spread", [1.0, 10.0, 30.0])
def test_cross_entropy_in_low_precision_is_as_near_the_exact_one_as_torch_s_own(dtype: torch.dtype, spread: float) -> None:
    family, eps = FAMILIES.ours["ce"], torch.finfo(torch.float32).eps
    scores, target = draw(family, 256, classes=1000, dtype=dtype)
    scores = (scores * (spread / 3.0)).to(dtype)
    leaf = scores.float().requires_grad_()
    theirs = torch.nn.functional.cross_entropy(leaf, target, reduction="none")
    (their_gradient,) = torch.autograd.grad(theirs.sum(), leaf)
    ours, gradient = loss_and_gradient(family, scores, target)
    exact, exact_gradient = loss_and_gradient(family, scores.double(), target)
    # The greatest error, of which a rounding of the largest number is no fault.
    assert (ours - exact).abs().max() <= 2.0 * (theirs - exact).abs().max() + 2.0 * eps * exact.max()
    rounding = torch.finfo(dtype).eps
    assert (gradient - exact_gradient).abs().max() <= 2.0 * (their_gradient - exact_gradient).abs().max() + rounding


@EVERY_FAMILY
@pytest.mark.skipif(closed_form_cpu.FUNCTIONS is None, reason="needs the compiled loops")
def test_of_the_scores_size_only_the_gradient_is_made(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "is_eager", lambda tensor: True)  # though it is watched
    made: list[int] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            # Views and in-place operations make nothing.
            if (
                isinstance(out, Tensor)
                and out.numel() >= 64 * 500
                and not any(isinstance(x, Tensor) and x.untyped_storage().data_ptr() == out.untyped_storage().data_ptr() for x in args)
            ):
                made.append(out.numel())
            return out

    scores, target = draw(family, 64, classes=500, dtype=torch.float32)
    given = {**inputs(family, scores), **({"class_counts": torch.arange(1, 501)} if family.needs else {})}
    scores.requires_grad_()
    with Watch():
        family.function(scores, target, **given).sum().backward()
    assert len(made) == 1


def test_tensors_without_data_are_taken() -> None:
    with FakeTensorMode():
        loss = FAMILIES.ours["gds"].function(torch.zeros(4, 3, requires_grad=True), torch.zeros(4, dtype=torch.int64))
        assert loss.shape == (4,)


@pytest.mark.parametrize("target", [torch.tensor([0, 3]), torch.tensor([-1, 0])])
@pytest.mark.skipif(closed_form.INTERPRETED, reason="on a GPU the loss of such a target is NaN")
def test_a_class_that_is_not_there_is_refused(target: Tensor) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        FAMILIES.ours["ce"].function(torch.zeros(2, 3), target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_common_offset_costs_no_digits_at_any_scale(dtype: torch.dtype) -> None:
    family = FAMILIES.ours["gradient_decay"]
    scores, target = torch.tensor([[1.0, 0.5, 0.25], [-0.5, 0.5, 0.75]], dtype=dtype), torch.tensor([0, 1])
    for ours, expected in zip(
        loss_and_gradient(family, scores + 8192.0, target, tau=0.7), loss_and_gradient(family, scores, target, tau=0.7), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=8.0 * torch.finfo(dtype).eps, atol=0.0)


def test_an_input_that_is_made_of_another_gets_its_gradient_once() -> None:
    scores, target = draw(FAMILIES.ours["norm_face"], 8)
    leaf = scores.requires_grad_()
    base = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    cases = [
        (leaf, lambda: FAMILIES.ours["norm_face"].function(leaf, target, s=10.0 * leaf.amax(dim=-1).exp())),
        (leaf, lambda: FAMILIES.ours["l_softmax"].function(leaf, target, norms=2.0 + leaf, m=3.0)),
        (base, lambda: closed_form.closed_form(closed_form.cross_entropy, leaf, target, scale=ByConfidence(0.1, base, 10.0 * base))),
    ]
    for wanted, loss in cases:
        (once,) = torch.autograd.grad(loss().sum(), wanted)
        (recorded,) = torch.autograd.grad(loss().sum(), wanted, create_graph=True)
        torch.testing.assert_close(recorded.detach(), once, rtol=1e-12, atol=1e-13)


def test_norms_and_a_slope_by_the_gap_go_together() -> None:
    scores, target = draw(FAMILIES.ours["ce"], 8)
    gradients = []
    for differentiable in (False, True):
        leaf, norms = scores.clone().requires_grad_(), (4.0 + 0.3 * scores).detach().requires_grad_()
        loss = closed_form.closed_form(closed_form.cross_entropy, leaf, target, scale=0.6, norms=norms).sum()
        gradients.append(torch.autograd.grad(loss, (leaf, norms), create_graph=differentiable))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13)


def test_a_knob_that_has_more_axes_than_the_samples_is_refused() -> None:
    scores, target = draw(FAMILIES.ours["focal"], 1)
    with pytest.raises(ValueError, match=r"knobs must broadcast over the shape \(1,\) of target, got .* of shape \(3,\)"):
        FAMILIES.ours["focal"].function(scores, target, gamma=torch.arange(3.0))


def test_a_formula_without_the_slope_that_is_needed_is_refused() -> None:
    scores, target = draw(FAMILIES.ours["ce"], 4)
    with pytest.raises(ValueError, match="must state its slope"):
        closed_form.closed_form(lambda energy: closed_form.Slopes(energy.gap), scores, target)
    formula = closed_form.cross_entropy_with(lambda x: (x, torch.ones_like(x)))
    with pytest.raises(ValueError, match="where its scale is not trained"):
        closed_form.closed_form(formula, scores, target, 1.0, scale=torch.ones((), dtype=torch.float64, requires_grad=True))


def test_a_knob_that_was_written_to_since_is_refused_by_the_way_back() -> None:
    scores, target = draw(FAMILIES.ours["gds"], 4)
    lam = torch.ones(())
    loss = FAMILIES.ours["gds"].function(scores.requires_grad_(), target, lam=lam).sum()
    lam.fill_(3.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_nearly_tied_competitors_are_told_apart() -> None:
    scores, target = torch.tensor([[60.0, 0.0, 1e-6]]), torch.tensor([0])
    (_, gradient), (_, expected) = (f(FAMILIES.ours["gds"], scores, target) for f in (loss_and_gradient, plain_loss_and_gradient))
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_knob_of_half_precision_is_the_number_that_it_holds(dtype: torch.dtype) -> None:
    scores, target = draw(FAMILIES.ours["gradient_decay"], 8)
    tau = torch.tensor(3e-5 if dtype == torch.float16 else 0.3, dtype=dtype)
    expected = FAMILIES.ours["gradient_decay"].function(scores, target, tau=tau.item())
    torch.testing.assert_close(FAMILIES.ours["gradient_decay"].function(scores, target, tau=tau), expected, rtol=1e-12, atol=0.0)


@EVERY_FAMILY
def test_where_nothing_is_recorded_it_is_mapped_and_compiled_as_well(family: Family) -> None:
    scores, target = draw(family, 3, 8)
    with torch.no_grad():
        expected = torch.stack([pure(family, *one) for one in zip(scores, target, strict=True)])
        if not family.needs:
            torch.testing.assert_close(torch.vmap(lambda x, y: pure(family, x, y))(scores, target), expected, rtol=1e-12, atol=1e-12)
        torch.compiler.reset()
        compiled = torch.compile(lambda x, y: pure(family, x, y), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(scores[0], target[0]), expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch.func's own use of it.
@EVERY_FAMILY
def test_a_hessian_is_to_be_had_in_forward_mode_too(family: Family) -> None:
    scores, target = draw(family, 2)
    given = inputs(family, scores)

    def loss(scores: Tensor) -> Tensor:
        return pure(family, scores, target, **given).sum()

    hessian = torch.func.hessian(loss)(scores)
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(loss, scores), rtol=1e-10, atol=1e-10)


@EVERY_FAMILY
def test_a_loss_survives_being_pickled(family: Family) -> None:
    scores, target = draw(family, 4)
    loss = build(family)
    again = pickle.loads(pickle.dumps(loss))
    assert again.family is family
    given = inputs(family, scores)
    assert torch.equal(again(scores, target, **given), loss(scores, target, **given))
