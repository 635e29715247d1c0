"""The optimiser that a recipe names, over the parameters of a network and of its loss."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from margin_core.training.recipe import Recipe


def build_optimizer(recipe: Recipe, network: Iterable[Tensor], loss: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The recipe's optimiser, over the network's parameters and, in a group without weight decay, the loss's own.

    Args:
        recipe: Optimiser, momentum, weight decay; the learning rate is set at each step from `Recipe.learning_rate`.
        network: The network's parameters.
        loss: The loss's own parameters (the scales R1 and R2 of ``two_scale``); there may be none.
    """
    groups: list[dict[str, object]] = [{"params": list(network)}, {"params": list(loss), "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    # The fused kernels are the fastest of torch's three ways also on CPU: 10 % (sgd) to 20 % (adamw) of a small network's step. Not with
    # float16, whose first steps are skipped while the scale of the loss is found: fused SGD would keep a momentum that was never set.
    fused = recipe.precision != "float16"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
