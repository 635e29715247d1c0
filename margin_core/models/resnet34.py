"""ResNet-34 in its form for small images: the four stages of ImageNet's network, behind a 3x3 stem without pooling.

He et al., table 1; option B's projections are its shortcuts, as in torchvision.
"""

from __future__ import annotations

from torch import nn

from margin_core.models.convolutional import at_least
from margin_core.models.residual import REFERENCE, residual_network
from margin_core.models.source import ModelSource, Shape


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """The backbone for images of ``in_shape`` (C, H, W); the features are 512."""
    return residual_network(in_shape[0], blocks=(3, 4, 6, 3), width=64)


MODEL = ModelSource(name="resnet34", title="ResNet-34 with a 3x3 stem", reference=REFERENCE, build=build, check=at_least(8))
