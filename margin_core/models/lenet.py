"""LeNet-5 for any number of channels, as the two-scale paper uses it on CIFAR: max pooling and ReLU.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 1998.
"""

from __future__ import annotations

from torch import nn

from margin_core.models.convolutional import at_least
from margin_core.models.source import ModelSource, Shape


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """Two convolutions of 5x5, each with max pooling, then 120 and 84 units; the features are the 84.

    Args:
        name: ``lenet5``.
        in_shape: The shape of one image, (C, H, W). Sides below 32 are padded by 2 pixels at each edge, so that 28x28 becomes the 32x32
            that the network was made for.
    """
    channels, height, width = in_shape
    padding = 2 if min(height, width) < 32 else 0
    rows, columns = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
    )


MODEL = ModelSource(
    name="lenet5",
    title="LeNet-5",
    reference="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 1998",
    build=build,
    check=at_least(12),
)
