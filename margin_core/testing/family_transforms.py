"""A loss family under torch.compile and torch.func: the same numbers as without, in one graph and for a whole stack at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from margin_core.losses.family import Family
from margin_core.testing.family_cases import FamilyCases, only
from margin_core.testing.samples import BATCH, build, draw, inputs, loss_and_gradient, pure


class FamilyTransforms(FamilyCases):
    """What every loss family is under the transformations of PyTorch.

    Attributes:
        compile_backend: The backend of torch.compile. ``aot_eager`` traces forward and backward as ``inductor``, the default of
            torch.compile, does, and runs the graphs as they are, without a compiler.
    """

    compile_backend: ClassVar[str] = "aot_eager"

    def test_compiled_whole_it_gives_the_same_numbers(self, family: Family) -> None:
        # In one graph, so nothing in it reads a number off the device.
        scores, target = draw(family, BATCH)
        loss, gradient = loss_and_gradient(family, scores, target)
        torch.compiler.reset()
        compiled = torch.compile(build(family), fullgraph=True, backend=self.compile_backend)
        leaf = scores.clone().requires_grad_()
        result = compiled(leaf, target, **inputs(family, scores))
        torch.testing.assert_close(result.detach(), loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(result.sum(), leaf)[0], gradient, rtol=1e-12, atol=1e-12)

    def test_mapped_over_a_stack_it_gives_what_each_of_the_stack_would(self, family: Family) -> None:
        scores, target = draw(family, 3, BATCH)
        knob = family.knobs[0]
        values = torch.tensor([knob.default, *knob.search], dtype=torch.float64)

        def loss(scores: Tensor, target: Tensor, value: Tensor) -> Tensor:
            return pure(family, scores, target, **{knob.name: value})

        each = [loss(*one) for one in zip(scores, target, values, strict=True)]
        torch.testing.assert_close(torch.vmap(loss)(scores, target, values), torch.stack(each), rtol=1e-12, atol=1e-12)
        # One batch at many values of a knob.
        each = [loss(scores[0], target[0], value) for value in values]
        mapped = torch.vmap(loss, in_dims=(None, None, 0))(scores[0], target[0], values)
        torch.testing.assert_close(mapped, torch.stack(each), rtol=1e-12, atol=1e-12)

    @only(lambda family: family.per_sample)
    def test_the_gradient_of_each_sample_is_its_row_of_the_whole_gradient(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        _, gradient = loss_and_gradient(family, scores, target)
        knobs = {knob.name: knob.default for knob in family.knobs}
        rows = torch.vmap(torch.func.grad(lambda scores, target: pure(family, scores, target, **knobs)))(scores, target)
        torch.testing.assert_close(rows, gradient, rtol=1e-12, atol=1e-12)

    def test_equal_inputs_give_equal_bits(self, family: Family) -> None:
        # Enough scores for more than one thread to share them.
        scores, target = draw(family, 128, classes=512, dtype=torch.float32)
        counts = {name: [1 + j for j in range(512)] for name in family.needs}
        once, again = (loss_and_gradient(family, scores, target, **counts) for _ in range(2))
        assert torch.equal(once[0], again[0])
        assert torch.equal(once[1], again[1])
