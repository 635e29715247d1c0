"""VGG-16 with batch normalisation, in its form for 32x32 images: the thirteen convolutions, and no hidden layers after them.

Five poolings leave one pixel of 32x32, whose 512 channels are the features. The two layers of 4096 units that ImageNet's network has
there, and most of its weights, are left out, as is usual on CIFAR.
"""

from __future__ import annotations

from torch import nn

from margin_core.models.convolutional import at_least, he_initialised
from margin_core.models.source import ModelSource, Shape


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """The backbone, torchvision's configuration D.

    Args:
        name: ``vgg16``.
        in_shape: The shape of one image, (C, H, W). Sides below 32 are padded by 2 pixels at each edge, as in ``lenet5``; of larger
            images than 32x32 the mean over the pixels that are left is taken.
    """
    from torchvision.models.vgg import cfgs, make_layers

    channels, height, width = in_shape
    padding = 2 if min(height, width) < 32 else 0
    _, *layers = make_layers(cfgs["D"], batch_norm=True)
    # torchvision's first convolution takes images of three channels.
    first = nn.Conv2d(channels, 64, kernel_size=3, padding=1 + padding)
    return he_initialised(nn.Sequential(first, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


MODEL = ModelSource(
    name="vgg16",
    title="VGG-16 with batch normalisation, for 32x32",
    reference="Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
    build=build,
    check=at_least(28),
)
