"""Rotation prediction: a dial that asks of each image how it is turned, so that a network learns from images without their labels.

Gidaris, Singh and Komodakis, Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018. Images are stored once and
turned batch by batch, after whatever changes them at random: a flip of a turned image would show another turn than its label says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from margin_core.data.dataset import Dataset

DEGREES = (0, 90, 180, 270)
TURNS = len(DEGREES)


def turn(images: Tensor, turns: Tensor) -> Tensor:
    """Each image turned against the clock by so many quarters of a circle, pixel by pixel.

    Args:
        images: Square images, (N, C, H, H).
        turns: int64 in [0, 4), (N,).

    Example:
        >>> image = torch.tensor([[[[1, 2], [3, 4]]]])
        >>> turn(image.expand(4, 1, 2, 2), torch.arange(4)).flatten(1).tolist()
        [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    """
    # All four and a choice, not a mask for each: a mask would make the processor wait for the device.
    all_four = torch.stack([images.rot90(number, dims=(2, 3)) for number in range(TURNS)])
    return all_four[turns, torch.arange(len(images), device=images.device)]


def turned_examples(places: Tensor) -> Tensor:
    """The examples, (4 N,), that the images at ``places`` (N,) are under `rotation_task`, in the same order.

    Example:
        >>> turned_examples(torch.tensor([0, 5])).tolist()
        [0, 1, 2, 3, 20, 21, 22, 23]
    """
    return (TURNS * places.unsqueeze(1) + torch.arange(TURNS)).flatten()


def rotation_task(dataset: Dataset) -> Dataset:
    """The same images, each of them four examples: example 4 i + k is image i turned k times by 90 degrees, and its label is k."""
    tests, val = dataset.test_indices, dataset.val_indices
    return replace(
        dataset,
        labels=torch.arange(TURNS).repeat(len(dataset.images)),
        class_names=tuple(f"{degrees} degrees" for degrees in DEGREES),
        test_indices=None if tests is None else turned_examples(tests),
        val_indices=None if val is None else turned_examples(val),
        superclasses=None,
        groups=None,
        pretext="rotation",
    )
