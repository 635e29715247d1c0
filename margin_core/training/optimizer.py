"""The optimiser that a recipe names, over the parameters of a network and of its loss."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from margin_core.training.recipe import Recipe


def build_optimizer(recipe: Recipe, network: Iterable[Tensor], loss: Iterable[Tensor]) -> Optimizer:
    """The recipe's optimiser, over the network's parameters and, in a group without weight decay, the loss's own.

    Args:
        recipe: Optimiser, momentum, weight decay; the learning rate is set at each step from `Recipe.learning_rate`.
        network: The network's parameters.
        loss: The loss's own parameters (the scales R1 and R2 of ``two_scale``); there may be none.
    """
    own = list(loss)
    groups: list[dict[str, object]] = [{"params": list(network)}, {"params": own, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    # The fused kernels are the fastest of torch's three ways also on CPU: 10 % (sgd) to 20 % (adamw) of a small network's step. Not with
    # float16, whose first steps are skipped while the scale of the loss is found: fused SGD would keep a momentum that was never set.
    fused = recipe.precision != "float16"
    options = {"momentum": recipe.momentum} if recipe.optimizer == "sgd" else {}
    kind = torch.optim.SGD if recipe.optimizer == "sgd" else torch.optim.AdamW
    built: Optimizer = _plain(kind)(groups, lr=recipe.learning_rate(0.0), weight_decay=recipe.weight_decay, fused=fused, **options)
    if fused and recipe.optimizer == "sgd" and recipe.momentum > 0.0:
        # The fused kernel wants a momentum of all that have a gradient, or of none; two_scale's second scale may have its first one late.
        for parameter in own:
            if parameter.requires_grad:
                built.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return built


@cache
def _plain(optimizer: type[Optimizer]) -> type[Any]:
    """The same without its marks for torch's compiler, which would import it: two seconds and 60 MB of each process, for nothing.

    The marks say that these methods are not to be compiled. `Recipe.compile` compiles the network, not what calls them.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in names}
    return type(optimizer.__name__, (optimizer,), {**methods, "step": torch.no_grad()(inspect.unwrap(optimizer.step))})
