"""Random samples for property tests, and how their losses and gradients are compared."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

Sample = tuple[Tensor, Tensor]


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=64)


@st.composite
def sample(draw: st.DrawFn, bound: float) -> Sample:
    """Scores of one sample of two to seven classes, each within the bound, and its target."""
    scores = draw(st.lists(number(-bound, bound), min_size=2, max_size=7))
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(draw(st.integers(0, len(scores) - 1)))


logits = sample(30.0)
cosines = sample(1.0)
scale = number(1.0, 64.0)


def gradient(loss: object, scores: Tensor, target: Tensor, **knobs: object) -> Tensor:
    leaf = scores.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, target, **knobs), leaf)[0]  # type: ignore[operator]


def one_hot(scores: Tensor, target: Tensor) -> Tensor:
    return torch.eye(scores.shape[-1], dtype=scores.dtype)[target]


def close(left: Tensor, right: Tensor | float, atol: float = 1e-12) -> None:
    torch.testing.assert_close(left, torch.as_tensor(right, dtype=left.dtype), rtol=1e-12, atol=atol)
