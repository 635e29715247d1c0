"""Wide residual networks of any depth and width, as the two-scale paper uses them on CIFAR: ``wrn-28-10`` is the size that is usual there.

Zagoruyko and Komodakis, table 1: a 3x3 stem of 16 channels and three stages of basic blocks with 16, 32 and 64 times the width, each
block normalising before it convolves; no dropout.
"""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn import functional as F

from margin_core.models.convolutional import at_least, he_initialised
from margin_core.models.source import ModelSource, Shape

WRITTEN = re.compile(r"wrn-([1-9][0-9]*)-([1-9][0-9]*)")


class PreActivationBlock(nn.Module):
    """Twice batch normalisation, ReLU and a 3x3 convolution, and a shortcut.

    Where the shape changes, the shortcut is a 1x1 convolution of the normalised input; elsewhere it is the input itself, untouched.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        stride: Of the first convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.shortcut = None if before == after else nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """From (N, before, H, W) to (N, after, H/stride, W/stride), sides rounded up."""
        active = F.relu(self.bn1(images))
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return residual + (images if self.shortcut is None else self.shortcut(active))


def check(name: str, in_shape: Shape | None) -> None:
    """Raise `ValueError` unless ``name`` ends in a depth of 6n + 4 and a width, and images have at least a pixel for the last stage."""
    written = WRITTEN.fullmatch(name)
    if written is None:
        raise ValueError(f"model must be written {MODEL.written}, each a whole number >= 1, got {name!r}")
    depth = int(written[1])
    if depth < 10 or (depth - 4) % 6 != 0:
        raise ValueError(f"model {name!r}: the depth must be 6n + 4 with n >= 1 (10, 16, 22, 28, 34, 40, ...), got {depth}")
    at_least(4)(name, in_shape)


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """The backbone; its features are 64 times the width.

    Args:
        name: Depth and width, as in ``wrn-28-10``. The depth counts the stem, the two convolutions of each block and, as the paper does,
            the shortcuts of three blocks.
        in_shape: The shape of one image, (C, H, W).
    """
    depth, width = (int(number) for number in name.split("-")[1:])
    before = 16
    layers: list[nn.Module] = [nn.Conv2d(in_shape[0], before, kernel_size=3, padding=1, bias=False)]
    for after, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
        for block in range((depth - 4) // 6):
            layers.append(PreActivationBlock(before, after, stride if block == 0 else 1))
            before = after
    return he_initialised(nn.Sequential(*layers, nn.BatchNorm2d(before), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


MODEL = ModelSource(
    name="wrn",
    title="Wide residual network",
    reference="Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016",
    build=build,
    arguments="-<depth>-<width>",
    check=check,
)
