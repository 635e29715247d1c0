"""ResNet-32: its shortcuts are option A's."""

from __future__ import annotations

import torch

from margin_core.models.resnet32 import ZeroPadding, build


def test_a_shortcut_keeps_every_second_pixel_and_pads_the_new_channels_with_zeros() -> None:
    images = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).reshape(2, 3, 5, 4)
    passed = ZeroPadding(3, 7)(images)
    assert passed.shape == (2, 7, 3, 2)
    assert torch.equal(passed[:, :3], images[:, :, ::2, ::2])
    assert not passed[:, 3:].any()


def test_where_all_blocks_are_silent_the_features_are_the_stem_s_and_zeros() -> None:
    torch.manual_seed(0)
    network = build("resnet32", (3, 32, 32)).eval()
    for path, parameter in network.named_parameters():
        if path.endswith("bn2.weight"):
            torch.nn.init.zeros_(parameter)
    images = torch.randn(2, 3, 32, 32)
    features = network(images)
    torch.testing.assert_close(features[:, :16], network[:3](images)[:, :, ::4, ::4].mean(dim=(2, 3)))
    assert features.shape == (2, 64)
    assert not features[:, 16:].any()
