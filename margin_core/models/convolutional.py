"""What the convolutional networks share: the least size of their images, and how their weights start.

What each network is made of is its own file's.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from margin_core.models.source import Shape


def at_least(side: int) -> Callable[[str, Shape | None], None]:
    """A ``check`` of a model that takes images of ``side`` x ``side`` pixels and larger ones.

    Example:
        >>> at_least(12)("lenet5", (1, 8, 8))
        Traceback (most recent call last):
        ...
        ValueError: lenet5 needs images of at least 12x12 pixels, got 8x8
    """

    def check(name: str, in_shape: Shape | None) -> None:
        if in_shape is None:
            return
        _, height, width = in_shape
        if min(height, width) < side:
            raise ValueError(f"{name} needs images of at least {side}x{side} pixels, got {height}x{width}")

    return check


def he_initialised(network: nn.Sequential) -> nn.Sequential:
    """The network, its convolutions drawn anew so that gradients keep their variance from layer to layer; biases are 0.

    He, Zhang, Ren and Sun, Delving Deep into Rectifiers, ICCV 2015, eq. (14): a standard deviation of sqrt(2 / fan-out), which is
    torchvision's choice for residual networks and VGG, and the wide residual networks' own.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
