"""MobileNetV1: pairs of depthwise and pointwise convolutions, each with batch normalisation and ReLU."""

from __future__ import annotations

import torch
from torch import nn

from margin_core.models.mobilenet_v1 import build

# Howard et al., table 1: channels after each pair, and the stride of its depthwise convolution.
PAIRS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *5 * [(512, 1)], (1024, 2), (1024, 1)]


def test_the_pairs_are_those_of_the_paper_behind_a_stem_of_stride_1() -> None:
    stem, *pairs = (layer for layer in build("mobilenet_v1", (3, 32, 32)).modules() if isinstance(layer, nn.Conv2d))
    assert (stem.out_channels, stem.kernel_size, stem.stride) == (32, (3, 3), (1, 1))
    before = 32
    for (after, stride), depthwise, pointwise in zip(PAIRS, pairs[::2], pairs[1::2], strict=True):
        assert (depthwise.groups, depthwise.kernel_size, depthwise.stride) == (before, (3, 3), (stride, stride))
        assert (pointwise.out_channels, pointwise.groups, pointwise.kernel_size) == (after, 1, (1, 1))
        before = after


def test_it_is_a_plain_chain_of_its_convolutions_each_normalised_and_rectified() -> None:
    torch.manual_seed(0)
    network = build("mobilenet_v1", (3, 32, 32)).eval()
    images = torch.randn(2, 3, 32, 32)
    features = network(images)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # Before training the running statistics are 0 and 1.
            images = (layer(images) / (1.0 + 1e-5) ** 0.5).relu()
    torch.testing.assert_close(features, images.mean(dim=(2, 3)))
