from __future__ import annotations

import pytest
import torch
from torch import Tensor

from margin_core.topology import Sample, frame_sensitivity, pose_sensitivity


def _images() -> tuple[Tensor, Tensor]:
    """Blobs in the middle of a dark field, bright in one class and dim in the other."""
    line = torch.linspace(-1.0, 1.0, 32)
    blob = torch.exp(-(line.unsqueeze(0).square() + line.unsqueeze(1).square()) / 0.02)
    labels = torch.arange(40) % 2
    brightness = 1.0 + labels.float() + 0.1 * torch.rand(40, generator=torch.Generator().manual_seed(0))
    return brightness.reshape(-1, 1, 1, 1) * blob, labels


def _total(images: Tensor) -> Tensor:
    return images.sum(dim=(-1, -2))


def _pixels(images: Tensor) -> Tensor:
    return images.flatten(1)


def test_features_that_do_not_see_where_a_body_is_are_less_sensitive_to_its_pose() -> None:
    images, labels = _images()
    blind, seeing = (pose_sensitivity(embed, images.split(16), Sample.of(embed(images), labels)).value for embed in (_total, _pixels))
    assert blind < 0.5 * seeing


def test_a_clean_frame_may_be_blanked_and_a_busy_one_not() -> None:
    images, labels = _images()
    clean = frame_sensitivity(_pixels, images.split(16), Sample.of(_pixels(images), labels)).value
    busy = images + torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) * (images < 0.05)
    cluttered = frame_sensitivity(_pixels, [busy], Sample.of(_pixels(busy), labels)).value
    assert clean < 0.2 < 0.5 < cluttered


def test_images_that_are_not_the_samples_are_refused() -> None:
    images, labels = _images()
    with pytest.raises(ValueError, match="images must be those of the sample's 40 examples, got 39"):
        pose_sensitivity(_pixels, [images[:39]], Sample.of(_pixels(images), labels))
