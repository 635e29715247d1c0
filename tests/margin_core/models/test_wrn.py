"""Wide residual networks: their names, and blocks that normalise before they convolve."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from margin_core.models import check_model
from margin_core.models.wrn import PreActivationBlock, build


@pytest.mark.parametrize("name", ["wrn-28", "wrn-28-0", "wrn-028-10", "wrn-28-10-3", "wrn-28-x", "wrn:28-10"])
def test_a_name_without_depth_and_width_is_told_how_it_is_written(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_model(name)
    assert str(caught.value) == f"model must be written wrn-<depth>-<width>, each a whole number >= 1, got {name!r}"


@pytest.mark.parametrize("depth", [1, 4, 9, 27, 29])
def test_a_depth_that_three_stages_of_equal_blocks_cannot_have_is_refused(depth: int) -> None:
    with pytest.raises(ValueError) as caught:
        check_model(f"wrn-{depth}-2")
    told = "the depth must be 6n + 4 with n >= 1 (10, 16, 22, 28, 34, 40, ...)"
    assert str(caught.value) == f"model 'wrn-{depth}-2': {told}, got {depth}"


def test_a_block_that_keeps_the_shape_leaves_its_input_as_it_is_and_adds_to_it() -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(4, 4, stride=1)
    images = torch.randn(3, 4, 6, 6)
    normalised = nn.BatchNorm2d(4)
    torch.testing.assert_close(block(images), images + block.conv2(normalised(block.conv1(normalised(images).relu())).relu()))
    nn.init.zeros_(block.conv2.weight)
    assert torch.equal(block(images), images)


def test_a_block_that_changes_the_shape_normalises_once_for_both_ways() -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(4, 8, stride=2)
    images = torch.randn(3, 4, 7, 6)
    active, normalised = nn.BatchNorm2d(4)(images).relu(), nn.BatchNorm2d(8)
    torch.testing.assert_close(block(images), block.shortcut(active) + block.conv2(normalised(block.conv1(active)).relu()))
    assert block(images).shape == (3, 8, 4, 3)


@pytest.mark.parametrize(("name", "channels"), [("wrn-10-1", [16, 32, 64]), ("wrn-22-3", [*3 * [48], *3 * [96], *3 * [192]])])
def test_each_stage_has_as_many_blocks_as_the_depth_and_channels_as_the_width_says(name: str, channels: list[int]) -> None:
    blocks = [layer for layer in build(name, (3, 32, 32)) if isinstance(layer, PreActivationBlock)]
    assert [block.conv2.out_channels for block in blocks] == channels
