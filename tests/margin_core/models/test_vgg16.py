"""VGG-16: what it makes of images that are not 32x32."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from margin_core.models.vgg16 import build


def test_it_sees_28x28_as_32x32_with_a_border_of_zeros() -> None:
    torch.manual_seed(0)
    small, whole = build("vgg16", (1, 28, 28)).eval(), build("vgg16", (1, 32, 32)).eval()
    whole.load_state_dict(small.state_dict())
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(small(images), whole(F.pad(images, (2, 2, 2, 2))))


def test_of_64x64_its_features_are_the_mean_over_the_pixels_that_five_poolings_leave() -> None:
    torch.manual_seed(0)
    network = build("vgg16", (3, 64, 64)).eval()
    images = torch.randn(2, 3, 64, 64)
    left = network[:-2](images)
    assert left.shape == (2, 512, 2, 2)
    torch.testing.assert_close(network(images), left.mean(dim=(2, 3)))
