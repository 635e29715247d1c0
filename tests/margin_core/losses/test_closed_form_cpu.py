"""The compiled loops give what the plain path gives, to the last digits, on however many threads."""

from __future__ import annotations

import math
import shutil
import subprocess
import sysconfig
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from margin_core.losses import FAMILIES, Family, closed_form, closed_form_cpu
from margin_core.losses.energies import ByConfidence
from margin_core.losses.functional import ce, gds
from margin_core.losses.gds import _attached
from margin_core.testing.samples import draw, inputs, loss_and_gradient

compiled = pytest.mark.skipif(closed_form_cpu.FUNCTIONS is None or closed_form.INTERPRETED, reason="needs the compiled loops")
# Two classes; no multiple of a vector; more than one thread's work; one sample of many; no sample.
SHAPES = [(4, 2), (3, 5), (7, 8192 + 3), (1, 70_001), (0, 7)]


@pytest.fixture
def threads() -> Iterator[None]:
    """Leaves torch's threads as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_loops_are_compiled_where_there_is_a_compiler() -> None:
    assert closed_form_cpu.FUNCTIONS is not None or shutil.which("cc") is None, "`make env` compiles them"


def loss_and_gradients(scores: Tensor, target: Tensor, scale: float | Tensor | ByConfidence) -> list[Tensor]:
    """A loss of the gap and one of the hardest competitor, with uneven gradients of scores and scale."""
    leaf = scores.detach().requires_grad_()
    trained = [x.requires_grad_() for x in (scale if isinstance(scale, tuple) else [scale]) if isinstance(x, Tensor)]
    plain = closed_form.closed_form(closed_form.cross_entropy, leaf, target, scale=scale)
    hard = closed_form.closed_form(_attached, leaf, target, 1.5, 0.8, hardest=True)
    uneven = [torch.linspace(low, 1.0, plain.numel(), dtype=plain.dtype) for low in (-1.0, 0.5)]
    return [plain.detach(), hard.detach(), *torch.autograd.grad([plain, hard], [leaf, *trained], uneven)]


@compiled
@pytest.mark.parametrize("kind", ["number", "tensor", "by confidence", "in a unit", "in a unit of each"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_losses_and_gradients_are_those_of_the_plain_path(
    dtype: torch.dtype, shape: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (3.0 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
    target = torch.randint(shape[1], shape[:1], generator=generator)
    wide = torch.promote_types(dtype, torch.float32)
    sizes = {
        "number": 1.5,
        "tensor": torch.linspace(0.5, 2.0, shape[0], dtype=wide),
        "by confidence": ByConfidence(0.5, *torch.tensor([0.5, 2.0], dtype=wide)),
        "in a unit": ByConfidence(0.5, *torch.tensor([50.0, 200.0, math.log(100.0)], dtype=torch.float64)),
        "in a unit of each": ByConfidence(
            0.5, *torch.tensor([[50.0], [200.0], [math.log(100.0)]], dtype=torch.float64).expand(3, shape[0]).clone()
        ),
    }
    by_loops = loss_and_gradients(scores, target, sizes[kind])
    monkeypatch.setattr(closed_form_cpu, "FUNCTIONS", None)
    # The exact ones, to a rounding.
    for ours, expected in zip(by_loops, loss_and_gradients(scores.double(), target, sizes[kind]), strict=True):
        rounding = 32.0 * max(torch.finfo(x).eps for x in (ours.dtype, wide))
        torch.testing.assert_close(ours.double(), expected.double(), rtol=rounding, atol=rounding)


@compiled
def test_masked_tied_and_strided_scores_are_those_of_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    low = -math.inf
    rows = [[1.0, low, 2.0, low], [0.0, low, low, low], [3.0, 2.0, 2.0, 2.0], [1e4, -1e4, 1e4, 0.0], [-1e4, 1e4, 9999.5, low]]
    scores, target = torch.tensor(rows, dtype=torch.float64), torch.zeros(len(rows), dtype=torch.int64)
    layouts = [scores, scores.T.contiguous().T, scores.repeat_interleave(2, dim=1)[:, ::2], scores[:1].expand(len(rows), 4)]
    by_loops = [loss_and_gradients(layout, target, 1.0) for layout in layouts]
    monkeypatch.setattr(closed_form_cpu, "FUNCTIONS", None)
    for layout, found in zip(layouts, by_loops, strict=True):
        for ours, expected in zip(found, loss_and_gradients(layout, target, 1.0), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-14, atol=0.0)


@compiled
@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_every_family_gives_what_it_gives_on_the_plain_path(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, target = draw(family, 64)
    by_loops = loss_and_gradient(family, scores, target)
    monkeypatch.setattr(closed_form_cpu, "FUNCTIONS", None)
    for ours, expected in zip(by_loops, loss_and_gradient(family, scores, target), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@compiled
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, -87.3), (torch.float64, -708.3)])
def test_the_exponential_is_exact_to_a_few_units_in_the_last_place(dtype: torch.dtype, least: float) -> None:
    # With one competitor far above and gradients of one, the others' gradients are exponentials of their leads over it.
    lead = torch.cat([torch.linspace(least, 0.0, 200_001, dtype=torch.float64), torch.linspace(-1e-3, 0.0, 1001, dtype=torch.float64)])
    lead = lead.to(dtype)
    row = torch.cat([torch.tensor([0.0], dtype=dtype), lead]).unsqueeze(0)
    one = torch.ones(1, dtype=dtype)
    kept = closed_form_cpu.Kept(torch.zeros(2, 1, dtype=dtype), closed_form_cpu.Places(0, 1, *[-1] * (closed_form_cpu.FOUND - 2)), None)
    slopes = None, one, one, None, None
    found, _ = closed_form_cpu.backward(row, None, torch.zeros(1, dtype=torch.int64), 1.0, kept, one, slopes, of_norms=False)
    torch.testing.assert_close(found[0, 1:].double(), lead.double().exp(), rtol=2.0 * torch.finfo(dtype).eps, atol=0.0)


@compiled
def test_what_is_no_number_is_seen() -> None:
    scores = torch.zeros(3, 40)
    scores[0, 7], scores[1, 0] = math.nan, math.nan
    loss = FAMILIES.ours["ce"].function(scores, torch.zeros(3, dtype=torch.int64))
    assert loss.isnan().tolist() == [True, True, False]


@compiled
def test_a_target_that_is_no_class_is_an_error() -> None:
    with pytest.raises(IndexError, match="from 0 to 2"):
        FAMILIES.ours["ce"].function(torch.zeros(2, 3), torch.tensor([1, 3]))


@compiled
@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (1, 3), (2, 3)])
def test_a_gradient_that_is_one_number_for_several_samples_is_taken_as_it_lies(shape: tuple[int, ...]) -> None:
    scores = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    target = torch.arange(6).reshape(2, 3) % 4
    of_loss = torch.linspace(0.5, 2.0, max(1, math.prod(shape)), dtype=torch.float64).reshape(shape)
    loss = closed_form.closed_form(_attached, scores, target, 1.5, 0.8, hardest=True)
    (found,) = torch.autograd.grad(loss, scores, of_loss.expand(2, 3), retain_graph=True)
    (expected,) = torch.autograd.grad(loss, scores, of_loss.expand(2, 3).contiguous())
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)


@compiled
def test_a_formula_that_states_too_little_or_too_much_is_refused() -> None:
    scores, target = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 1, 2])
    norms = torch.ones(3, 4, requires_grad=True)

    def too_much(energy: closed_form.Energies) -> closed_form.Slopes:
        return closed_form.Slopes(energy.plain, score=-energy.missing, competitors=energy.missing, hardest=energy.missing)

    def too_little(energy: closed_form.Energies) -> closed_form.Slopes:
        return closed_form.Slopes(energy.plain, score=-energy.missing, competitors=energy.missing)

    with pytest.raises(ValueError, match="by the hardest competitor only if asked"):
        closed_form.closed_form(too_much, scores, target)
    with pytest.raises(ValueError, match="by the norm, where norms are trained"):
        closed_form.closed_form(too_little, scores, target, norms=norms)
    scale = torch.tensor(2.0, requires_grad=True)
    for compiled_formula in (None, ("gds", 1.0, 1.0)):
        with pytest.raises(ValueError, match="where its scale is not trained"):
            closed_form.closed_form(_attached, scores, target, 1.0, 1.0, scale=scale, hardest=True, compiled=compiled_formula)


@compiled
def test_nothing_of_a_call_outlives_its_backward_pass() -> None:
    scores, target, lam = torch.randn(8, 5, requires_grad=True), torch.zeros(8, dtype=torch.int64), torch.rand(8)
    knob, loss = weakref.ref(lam), gds(scores, target, lam=lam)
    del lam
    loss.sum().backward()
    assert knob() is None


@compiled
def test_another_default_device_changes_nothing() -> None:
    scores, target = torch.randn(8, 5), torch.zeros(8, dtype=torch.int64)
    with torch.device("meta"):
        loss = ce(scores, target)
    torch.testing.assert_close(loss, ce(scores, target))


@compiled
def test_slopes_of_another_kind_are_taken_as_they_are() -> None:
    # In double where the scores are not, and one for all samples.
    def formula(energy: closed_form.Energies) -> closed_form.Slopes:
        return closed_form.Slopes(energy.gap * 2.0, gap=torch.tensor(2.0, dtype=torch.float64))

    scores = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (found,) = torch.autograd.grad(closed_form.closed_form(formula, scores, torch.arange(5) % 4).sum(), scores)
    loss = closed_form.closed_form(formula, scores, torch.arange(5) % 4).sum()
    (expected,) = torch.autograd.grad(loss, scores, create_graph=True)
    torch.testing.assert_close(found, expected)


@compiled
def test_a_target_that_has_become_no_class_on_the_way_back_is_an_error() -> None:
    numbers = np.array([0, 1])
    loss = FAMILIES.ours["ce"].function(torch.zeros(2, 3, requires_grad=True), torch.from_numpy(numbers)).sum()
    numbers[:] = 10**10
    with pytest.raises(IndexError, match="from 0 to 2"):
        loss.backward()


@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_a_loss_is_the_callers_to_change(family: Family) -> None:
    scores, target = draw(family, 6)
    values = {**inputs(family, scores), **({"class_counts": torch.arange(1, 6)} if family.needs else {})}
    leaf = scores.requires_grad_()
    (expected,) = torch.autograd.grad((2.0 * family.function(leaf, target, **values)).sum(), leaf)
    loss = family.function(leaf, target, **values)
    loss *= 2.0
    loss[0] += 1.0
    (found,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(found, expected)
    assert loss.untyped_storage().nbytes() == loss.numel() * loss.element_size()


@pytest.mark.parametrize("name", ["ce", "gds", "two_scale", "arc_face"])
def test_what_is_traced_or_mapped_is_done_by_plain_operations(name: str) -> None:
    family = FAMILIES.ours[name]
    scores, target = draw(family, 6)
    other, _ = draw(family, 6, seed=1)
    torch.testing.assert_close(make_fx(lambda x: family.function(x, target))(scores)(other), family.function(other, target))
    _, expected = loss_and_gradient(family, scores, target)
    leaf = scores.requires_grad_()
    rows = torch.autograd.grad(family.function(leaf, target), leaf, torch.eye(6, dtype=leaf.dtype), is_grads_batched=True)[0]
    torch.testing.assert_close(rows.sum(dim=0), expected)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert family.function(scores, target).shape == (6,)


def test_compiled_autograd_gives_the_same_gradient() -> None:
    scores, target = draw(FAMILIES.ours["gds"], 6)
    _, expected = loss_and_gradient(FAMILIES.ours["gds"], scores, target)
    leaf = scores.requires_grad_()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        FAMILIES.ours["gds"].function(leaf, target).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, expected)


@compiled
def test_tensors_that_are_not_in_memory_as_they_are_read_are_put_there() -> None:
    scores, target = draw(FAMILIES.ours["ce"], 6)
    loss = FAMILIES.ours["ce"].function(torch._neg_view(scores), target)
    torch.testing.assert_close(loss, FAMILIES.ours["ce"].function(-scores, target))
    leaf = scores.requires_grad_()
    FAMILIES.ours["ce"].function(leaf, target).backward(torch._efficientzerotensor(6, dtype=leaf.dtype))
    assert leaf.grad is not None
    assert not leaf.grad.any()
    torch.testing.assert_close(ce(scores, torch._efficientzerotensor((6,), dtype=torch.int64)), ce(scores, torch.zeros_like(target)))
    two = torch.tensor(1.0 - 2.0j, dtype=torch.complex128).conj().imag
    torch.testing.assert_close(gds(scores, target, lam=two), gds(scores, target, lam=2.0))


@compiled
def test_what_is_kept_may_be_packed_as_another_kind() -> None:
    scores, target = draw(FAMILIES.ours["gds"], 6)
    leaf = scores.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.float() if x.is_floating_point() else x, lambda x: x):
        loss = FAMILIES.ours["gds"].function(leaf, target)
    (found,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(found.double(), loss_and_gradient(FAMILIES.ours["gds"], scores, target)[1], rtol=1e-5, atol=1e-6)


def test_a_target_on_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="on the device of the scores, cpu, got meta"):
        FAMILIES.ours["ce"].function(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64, device="meta"))


@compiled
def test_where_every_competitor_is_out_no_class_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, target = torch.full((1, 7), -math.inf), torch.tensor([3])
    _, by_loops = loss_and_gradient(FAMILIES.ours["gds"], scores, target)
    monkeypatch.setattr(closed_form_cpu, "FUNCTIONS", None)
    torch.testing.assert_close(by_loops, loss_and_gradient(FAMILIES.ours["gds"], scores, target)[1], equal_nan=True)


@pytest.mark.parametrize("content", [b"no library", None])
def test_a_library_that_is_not_of_this_release_is_left_alone(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / f"_closed_form{sysconfig.get_config_var('EXT_SUFFIX')}"
    monkeypatch.setattr(closed_form_cpu, "__file__", str(tmp_path / "closed_form_cpu.py"))
    assert closed_form_cpu._load() is None
    if content is None:
        if shutil.which("cc") is None:
            pytest.skip("needs a C compiler")
        source = tmp_path / "other.c"
        source.write_text("int closed_form_version(void) { return 0; }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    else:
        library.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="is not of this release .*; install it anew"):
        assert closed_form_cpu._load() is None


@compiled
@pytest.mark.usefixtures("threads")
def test_numbers_do_not_depend_on_the_threads() -> None:
    scores, target = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)), torch.arange(64)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(loss_and_gradient(FAMILIES.ours["gds"], scores, target))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))
