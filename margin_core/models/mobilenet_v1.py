"""MobileNetV1 in its form for small images: timm's network with a stem of stride 1, which leaves 2x2 of 32x32 pixels instead of 1x1.

Howard et al., table 1: a convolution, then thirteen pairs of a depthwise and a pointwise one. timm is imported only to build it.
"""

from __future__ import annotations

from torch import nn

from margin_core.models.convolutional import at_least
from margin_core.models.source import ModelSource, Shape


def build(name: str, in_shape: Shape) -> nn.Module:
    """The backbone for images of ``in_shape`` (C, H, W); the features are 1024. Its activation is the paper's ReLU, not timm's ReLU6."""
    import timm

    network = timm.create_model("mobilenetv1_100", pretrained=False, num_classes=0, in_chans=in_shape[0], act_layer="relu")
    stem = network.get_submodule("conv_stem")
    assert isinstance(stem, nn.Conv2d)
    stem.stride = (1, 1)
    return network


MODEL = ModelSource(
    name="mobilenet_v1",
    title="MobileNetV1 with a stem of stride 1",
    reference="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017",
    build=build,
    check=at_least(16),
)
