"""Random scores such as a family reads, and how it is built and called in the tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from margin_core.losses.family import Family, Loss, Reduction

BATCH, CLASSES = 64, 5
COUNTS = (64, 3, 20, 1, 7)


def draw(family: Family, *shape: int, classes: int = CLASSES, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores (*shape, classes) such as the family reads, and targets (*shape)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    scores = 3.0 * noise if family.reads == "logits" else torch.tanh(noise)
    return scores.to(dtype), torch.randint(classes, shape, generator=generator)


def needs(family: Family, classes: int = CLASSES) -> dict[str, tuple[int, ...]]:
    """What the family is built with besides its knobs."""
    return dict.fromkeys(family.needs, COUNTS[:classes])


def inputs(family: Family, scores: Tensor) -> dict[str, Tensor]:
    """What the family is called with besides scores and target: norms, each a number of its own score, so that they move along with it."""
    return {"norms": 3.0 + 2.0 * scores.detach().float()} if "norms" in family.inputs else {}


def build(family: Family, classes: int = CLASSES, reduction: Reduction = "none", **values: Any) -> Loss:
    """The family's module."""
    return family.build(num_classes=classes, reduction=reduction, **{**needs(family, classes), **values})


def pure(family: Family, scores: Tensor, target: Tensor, **values: Any) -> Tensor:
    """The family's pure function at ``values`` of its knobs and options."""
    return family.function(scores, target, **{**needs(family, scores.shape[-1]), **inputs(family, scores), **values})


def loss_and_gradient(family: Family, scores: Tensor, target: Tensor, **values: Any) -> tuple[Tensor, Tensor]:
    """The module's loss of each sample, and the gradient of their sum with respect to the scores."""
    leaf = scores.clone().requires_grad_()
    loss = build(family, scores.shape[-1], **values)(leaf, target, **inputs(family, scores))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient
