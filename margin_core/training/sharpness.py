"""Sharpness-aware minimisation: the weights at which a step takes its gradient. The step itself is left to `step`.

Of PyPI's packages, pytorch_optimizer has both, but its adaptive form scales by w**2, without eta, and for biases too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

# As the authors of both: keeps a gradient of zero from being divided by.
TINY = 1e-12


@contextmanager
def perturbed(model: nn.Module, *, rho: float, eta: float | None) -> Iterator[None]:
    """Move the weights of ``model`` to about where the loss is greatest near them for the block, then back to the last bit.

    SAM (Foret et al., ICLR 2021), eq. (2), moves them by ε = ρ g / ‖g‖. ASAM (Kwon et al., ICML 2021), eq. (9), measures nearness in
    units of the weights, so that scaling a layer up and the next one down changes nothing: ε = ρ T² g / ‖T g‖, where T is ``|w| + η`` for
    a weight and, as in the authors' program, 1 for a bias.

    Batch norm normalises by the batch in the block, but leaves its running statistics alone, which are those of the unmoved weights.

    Args:
        model: The network, with gradients g; a common factor in them makes no difference. The block may change them.
        rho: ρ, > 0.
        eta: η of ASAM, >= 0, or None for SAM.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> layer.weight.data.fill_(3.0), layer.bias.data.fill_(1.0)
        (tensor([[3.]]), tensor([1.]))
        >>> layer.weight.grad, layer.bias.grad = torch.full((1, 1), 3.0), torch.full((1,), 4.0)
        >>> with perturbed(layer, rho=0.5, eta=None):
        ...     round(layer.weight.item(), 4), round(layer.bias.item(), 4)
        (3.3, 1.4)
        >>> layer.weight.item(), layer.bias.item()
        (3.0, 1.0)
    """
    trained = [(name, parameter, parameter.grad) for name, parameter in model.named_parameters() if parameter.grad is not None]
    parameters = [parameter for _, parameter, _ in trained]
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        units = [
            parameter.abs() + eta if eta is not None and name.rpartition(".")[2] == "weight" else torch.ones_like(parameter)
            for name, parameter, _ in trained
        ]
        steps = [unit * gradient for unit, (_, _, gradient) in zip(units, trained, strict=True)]
        factor = rho / (get_total_norm(steps) + TINY)
        for parameter, unit, step in zip(parameters, units, steps, strict=True):
            parameter.add_(factor * unit * step)
    # Not train(False), which would normalise by the running statistics.
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
