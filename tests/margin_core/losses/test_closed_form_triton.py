"""The Triton kernels give what the plain path gives: on a GPU, or slowly in Triton's interpreter, `make test-triton`.

The interpreter has to be chosen before Triton is imported, so where there is no GPU a process of its own runs this file.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from margin_core.losses import FAMILIES, Family, closed_form
from margin_core.losses.energies import ByConfidence, energies
from margin_core.losses.gds import _attached
from margin_core.testing.samples import draw, loss_and_gradient

ROOT = Path(__file__).parents[3]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
kernels = pytest.mark.skipif(DEVICE == "cpu" and not closed_form.INTERPRETED, reason="needs a GPU, or TRITON_INTERPRET=1")

# Two classes; not a power of two; more than one block; more than one block and one class; no sample.
SHAPES = [(4, 2), (3, 5), (2, 8192 + 8192), (2, 2 * 8192 + 1), (0, 7)]


@pytest.mark.skipif(closed_form.INTERPRETED or DEVICE == "cuda", reason="the kernels are tested in this process")
def test_the_kernels_pass_their_tests_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    ran = subprocess.run(
        run, cwd=ROOT, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " passed" in ran.stdout


def loss_and_gradients(scores: Tensor, target: Tensor, scale: float | Tensor | ByConfidence, differentiably: bool) -> list[Tensor]:
    """A loss that has to do with gap and hardest competitor, with uneven gradients of scores and scale.

    ``differentiably``, which means by the plain path, or in closed form.
    """
    leaf = scores.detach().requires_grad_()
    trained = [x.requires_grad_() for x in (scale if isinstance(scale, tuple) else [scale]) if isinstance(x, Tensor)]
    if differentiably:
        plain = closed_form.cross_entropy(energies(leaf, target, scale)).loss
        hard = _attached(energies(leaf, target), 1.5, 0.8).loss
    else:
        plain = closed_form.closed_form(closed_form.cross_entropy, leaf, target, scale=scale)
        hard = closed_form.closed_form(_attached, leaf, target, 1.5, 0.8, hardest=True)
    uneven = [torch.linspace(low, 1.0, plain.numel(), dtype=plain.dtype, device=plain.device) for low in (-1.0, 0.5)]
    return [plain.detach(), hard.detach(), *torch.autograd.grad([plain, hard], [leaf, *trained], uneven)]


@kernels
@pytest.mark.parametrize("kind", ["number", "tensor", "by confidence", "in a unit", "in a unit of each"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_losses_and_gradients_are_those_of_the_plain_path(dtype: torch.dtype, shape: tuple[int, int], kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (3.0 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(DEVICE, dtype)
    target = torch.randint(shape[1], shape[:1], generator=generator).to(DEVICE)
    wide = torch.promote_types(dtype, torch.float32)
    sizes = {
        "number": 1.5,
        "tensor": torch.linspace(0.5, 2.0, shape[0], dtype=wide, device=DEVICE),
        "by confidence": ByConfidence(0.5, *torch.tensor([0.5, 2.0], dtype=wide, device=DEVICE)),
        "in a unit": ByConfidence(0.5, *torch.tensor([50.0, 200.0, math.log(100.0)], dtype=torch.float64, device=DEVICE)),
        "in a unit of each": ByConfidence(
            0.5, *torch.tensor([[50.0], [200.0], [math.log(100.0)]], dtype=torch.float64, device=DEVICE).expand(3, shape[0]).clone()
        ),
    }
    closed = loss_and_gradients(scores, target, sizes[kind], differentiably=False)
    # The exact ones, to a rounding.
    exact = loss_and_gradients(scores.double(), target, sizes[kind], differentiably=True)
    for ours, expected in zip(closed, exact, strict=True):
        rounding = 32.0 * max(torch.finfo(x).eps for x in (ours.dtype, wide))
        torch.testing.assert_close(ours.double(), expected.double(), rtol=rounding, atol=rounding)


@kernels
def test_masked_tied_and_strided_scores_are_those_of_the_plain_path() -> None:
    low = -math.inf
    rows = [[1.0, low, 2.0, low], [0.0, low, low, low], [3.0, 2.0, 2.0, 2.0], [1e4, -1e4, 1e4, 0.0], [-1e4, 1e4, 9999.5, low]]
    scores = torch.tensor(rows, dtype=torch.float64, device=DEVICE)
    for layout in (scores, scores.T.contiguous().T, scores.repeat_interleave(2, dim=1)[:, ::2]):
        target = torch.zeros(len(rows), dtype=torch.int64, device=DEVICE)
        closed = loss_and_gradients(layout, target, 1.0, differentiably=False)
        plain = loss_and_gradients(layout, target, 1.0, differentiably=True)
        for ours, expected in zip(closed, plain, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-14, atol=0.0)


@kernels
def test_a_target_that_is_no_class_is_seen() -> None:
    loss = FAMILIES.ours["ce"].function(torch.zeros(2, 3, device=DEVICE), torch.tensor([1, 3], device=DEVICE))
    assert loss.isnan().tolist() == [False, True]


@kernels
@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_every_family_gives_what_it_gives_on_the_plain_path(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, target = (x.to(DEVICE) for x in draw(family, 8))
    fused = loss_and_gradient(family, scores, target)
    monkeypatch.setattr(closed_form, "_has_kernels", lambda scores: False)
    plain = loss_and_gradient(family, scores, target)
    for ours, expected in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@kernels
def test_gradients_of_the_gradient_and_mapped_ones_are_to_be_had() -> None:
    family = FAMILIES.ours["gds"]
    scores, target = (x.to(DEVICE) for x in draw(family, 4))
    assert torch.autograd.gradgradcheck(lambda x: family.function(x, target), scores.requires_grad_())
    _, gradient = loss_and_gradient(family, scores.detach(), target)
    rows = torch.vmap(torch.func.grad(family.function))(scores.detach(), target)
    torch.testing.assert_close(rows, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_nothing_waits_for_the_gpu(family: Family) -> None:
    scores, target = (x.to(DEVICE) for x in draw(family, 8))
    loss_and_gradient(family, scores, target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        knobs = {knob.name: knob.default for knob in family.knobs}
        needs = {"class_counts": torch.arange(1, 6, device=DEVICE)} if family.needs else {}
        inputs = {"norms": torch.ones_like(scores)} if "norms" in family.inputs else {}
        family.function(scores.requires_grad_(), target, **knobs, **needs, **inputs).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
