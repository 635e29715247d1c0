"""Residual networks for small images: torchvision's basic blocks behind a stem that keeps every pixel.

The networks for ImageNet begin with a 7x7 convolution of stride 2 and a pooling, which leave 8x8 of 32x32 pixels. Here the stem is a 3x3
convolution of stride 1, as in He et al., section 4.2. How many blocks, how wide and with which shortcuts is each network's own file's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from margin_core.models.convolutional import he_initialised

REFERENCE = "He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016"


def projection(before: int, after: int) -> nn.Sequential:
    """The shortcut of option B where a stage begins: a 1x1 convolution of stride 2 from ``before`` to ``after`` channels, normalised."""
    return nn.Sequential(nn.Conv2d(before, after, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(after))


def residual_network(
    channels: int, *, blocks: Sequence[int], width: int, shortcut: Callable[[int, int], nn.Module] = projection
) -> nn.Sequential:
    """Stem, stages of basic blocks, and the mean over what is left of the image.

    Args:
        channels: C, of the images.
        blocks: How many blocks each stage has. From the second on, a stage halves the sides and doubles the channels.
        width: The channels of the stem and of the first stage.
        shortcut: Given the channels before and after, what passes the first block of a stage by.
    """
    from torchvision.models.resnet import BasicBlock

    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    for stage, depth in enumerate(blocks):
        halves = stage > 0
        if halves:
            layers.append(BasicBlock(width, 2 * width, stride=2, downsample=shortcut(width, 2 * width)))
            width *= 2
        layers += [BasicBlock(width, width) for _ in range(depth - halves)]
    return he_initialised(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
