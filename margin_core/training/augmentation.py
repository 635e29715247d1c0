"""Random changes of the pictures and labels that a network is trained on, drawn anew for each epoch and made batch by batch on the device.

Which changes a recipe asks for, and for which losses labels may be mixed, is said by `recipe`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from margin_core.training.recipe import Augment

PADDING = 4
GREATEST_ANGLE = 20.0


class Augmentation:
    """How each training picture is changed in one epoch.

    A picture's change depends on its place among the training examples, not on the batch that it comes in, so that trials of one
    replicate see the same pictures whatever their batches.

    The random crop is out of the picture padded by 4 black pixels on each side. The rotation, after crop and flip, takes the nearest pixel
    and fills up with black, as torchvision's ``RandomRotation`` does by default.

    Args:
        augment: A name, as a recipe has it.
        examples: Number of training examples.
        black: The stored value of a black pixel.
        generator: Where the changes are drawn from.
        device: Where the pictures are.
    """

    def __init__(self, augment: Augment, examples: int, *, black: float, generator: torch.Generator, device: torch.device | str) -> None:
        self.augment = augment
        self.black = black
        if augment == "none":
            return
        self._offsets = torch.randint(2 * PADDING + 1, (examples, 2), generator=generator).to(device)
        self._flips = (torch.rand(examples, generator=generator) < 0.5).to(device)
        if augment == "crop_flip_rotate":
            self._angles = ((2.0 * torch.rand(examples, generator=generator) - 1.0) * GREATEST_ANGLE).to(device)

    def __call__(self, images: Tensor, places: Tensor) -> Tensor:
        """The changed pictures: ``images`` (N, C, H, W) as they are stored, at ``places`` (N,) among the training examples."""
        if self.augment == "none":
            return images
        images = crop_and_flip(images, self._offsets[places], self._flips[places], self.black)
        return rotate(images, self._angles[places], self.black) if self.augment == "crop_flip_rotate" else images


def crop_and_flip(images: Tensor, offsets: Tensor, flips: Tensor, black: float) -> Tensor:
    """Cut each of ``images`` (N, C, H, W) out of itself with a black margin at ``offsets`` (N, 2), then flip it where ``flips`` (N,) says.

    Example:
        >>> image = torch.tensor([[[[1, 2], [3, 4]]]])
        >>> crop_and_flip(image, torch.tensor([[4, 5]]), torch.tensor([False]), 0).tolist()
        [[[[2, 0], [4, 0]]]]
        >>> crop_and_flip(image, torch.tensor([[4, 4]]), torch.tensor([True]), 0).tolist()
        [[[[2, 1], [4, 3]]]]
    """
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, [PADDING] * 4, value=black)
    rows = offsets[:, :1] + torch.arange(height, device=device)
    along = torch.arange(width, device=device)
    columns = offsets[:, 1:] + torch.where(flips[:, None], width - 1 - along, along)
    of = torch.arange(count, device=device)[:, None, None, None], torch.arange(channels, device=device)[None, :, None, None]
    return padded[(*of, rows[:, None, :, None], columns[:, None, None, :])]


def rotate(images: Tensor, degrees: Tensor, black: float) -> Tensor:
    """Rotate each of ``images`` (N, C, H, W) by its angle ``degrees`` (N,) against the clock, to the nearest pixel, with black corners."""
    height, width = images.shape[-2:]
    angle = degrees.deg2rad()
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Rows of an affine map from places in the new picture to places in the old one, both from -1 to 1 along each side.
    turn = torch.stack([cos, -sin * height / width, none, sin * width / height, cos, none], dim=1).reshape(-1, 2, 3)
    places = F.affine_grid(turn, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.to(torch.float32) - black, places, mode="nearest", padding_mode="zeros", align_corners=False)
    return (moved + black).to(images.dtype)


class Mixup:
    """Pairs of examples and how they are mixed in one epoch (Zhang et al., mixup, ICLR 2018).

    Args:
        alpha: Both parameters of the beta distribution of the shares, > 0.
        generator: Where shares and pairs are drawn from.
    """

    def __init__(self, alpha: float, generator: np.random.Generator) -> None:
        self._alpha = alpha
        self._generator = generator

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor, float]:
        """Mix each of a batch's images (N, C, H, W) with another of the batch.

        Returns:
            The mixed images, the places (N,) in the batch of those mixed in, and the share in [0, 1] that each keeps of itself.
        """
        share = float(self._generator.beta(self._alpha, self._alpha))
        others = torch.from_numpy(self._generator.permutation(len(images))).to(images.device)
        return torch.lerp(images[others], images, share), others, share
