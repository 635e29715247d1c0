"""Residual networks: the same as torchvision's behind another stem."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34

from margin_core.models.residual import residual_network


@pytest.mark.parametrize(("theirs", "blocks"), [(resnet18, (2, 2, 2, 2)), (resnet34, (3, 4, 6, 3))])
def test_with_their_weights_it_says_what_torchvision_s_network_with_a_3x3_stem_says(theirs, blocks: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    other = theirs(weights=None)
    other.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    other.maxpool, other.fc = nn.Identity(), nn.Identity()
    ours = residual_network(3, blocks=blocks, width=64)
    ours.load_state_dict(dict(zip(ours.state_dict(), other.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(ours(images), other(images))


def test_equal_seeds_give_equal_weights() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(nn.utils.parameters_to_vector(residual_network(1, blocks=(1, 1), width=4).parameters()))
    assert torch.equal(*drawn)
