"""Changes of pictures and mixtures of them: torchvision's pixels, and the same for a picture whatever batch it is in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as tv

from margin_core.training.augmentation import Augmentation, Mixup, crop_and_flip, rotate

PICTURES = torch.randint(0, 256, (6, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augmentation(augment: str, *, seed: int = 0, examples: int = 6) -> Augmentation:
    return Augmentation(augment, examples, black=0.0, generator=torch.Generator().manual_seed(seed), device="cpu")  # type: ignore[arg-type]


def test_crops_and_flips_are_torchvisions() -> None:
    offsets = torch.tensor([[0, 0], [8, 8], [4, 4], [3, 6], [0, 8], [5, 1]])
    flips = torch.tensor([False, True, False, True, True, False])
    changed = crop_and_flip(PICTURES, offsets, flips, 0.0)
    for picture, (top, left), flip, ours in zip(PICTURES, offsets.tolist(), flips, changed, strict=True):
        cropped = tv.crop(tv.pad(picture, [4]), top, left, 9, 7)
        assert torch.equal(ours, tv.hflip(cropped) if flip else cropped)


def test_rotations_are_torchvisions() -> None:
    degrees = torch.tensor([-20.0, -3.3, 0.0, 7.0, 13.0, 19.9])
    for picture, angle, ours in zip(PICTURES, degrees, rotate(PICTURES, degrees, 0.0), strict=True):
        assert torch.equal(ours, tv.rotate(picture, float(angle)))


def test_what_comes_in_from_outside_is_black_in_the_units_of_the_pictures() -> None:
    pictures = torch.full((2, 1, 5, 5), 0.7)
    moved = crop_and_flip(pictures, torch.tensor([[0, 0], [4, 4]]), torch.tensor([False, False]), -0.8)
    assert moved[0].unique().tolist() == pytest.approx([-0.8, 0.7])
    assert torch.equal(moved[1], pictures[1])
    turned = rotate(pictures, torch.tensor([20.0, 20.0]), -0.8)
    assert turned.unique().tolist() == pytest.approx([-0.8, 0.7])


@pytest.mark.parametrize("augment", ["crop_flip", "crop_flip_rotate"])
def test_a_picture_is_changed_in_the_same_way_whatever_batch_it_is_in(augment: str) -> None:
    change = augmentation(augment)
    together = change(PICTURES, torch.arange(6))
    order = torch.tensor([3, 0, 5])
    assert torch.equal(change(PICTURES[order], order), together[order])
    assert torch.equal(augmentation(augment)(PICTURES, torch.arange(6)), together)
    assert not torch.equal(augmentation(augment, seed=1)(PICTURES, torch.arange(6)), together)
    assert together.dtype == torch.uint8


def test_all_places_of_a_crop_both_sides_and_all_angles_are_drawn() -> None:
    # One white pixel in the middle shows where the crop was taken: 9 x 9 places, each as often as the others.
    change = augmentation("crop_flip", examples=8100)
    picture = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    picture[0, 0, 4, 4] = 255
    seen = change(picture.expand(8100, 1, 9, 9), torch.arange(8100)).ne(0).float().sum(dim=(0, 1))
    assert seen.min() > 60 and seen.max() < 140
    left = torch.zeros(1, 1, 1, 2, dtype=torch.uint8)
    left[0, 0, 0, 0] = 255
    assert torch.equal(augmentation("none")(left, torch.tensor([0])), left)
    angles = augmentation("crop_flip_rotate", examples=8100)._angles
    assert (angles.min() < -19.9) and (angles.max() > 19.9) and angles.abs().max() <= 20.0
    assert 3850 < int(change._flips.sum()) < 4250


def test_mixed_images_are_of_pairs_in_the_share_that_is_said() -> None:
    images = torch.randn(32, 1, 4, 4)
    mix = Mixup(0.4, np.random.default_rng(0))
    shares = []
    for _ in range(300):
        mixed, others, share = mix(images)
        assert sorted(others.tolist()) == list(range(32))
        torch.testing.assert_close(mixed, share * images + (1.0 - share) * images[others])
        shares.append(share)
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1.0 / 7.2, rel=0.15)
