"""What moves the features of an image, by the distance between classes: the motion of a rigid body, or what stands around the object.

These need the images and the network, not its features alone; so they are functions of their own and not in the list of descriptors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from margin_core.topology.descriptor import Estimate
from margin_core.topology.sample import Sample

Change = Callable[[Tensor], Tensor]

MOTIONS = (
    (15.0, 1.0, 0.0, 0.0),
    (-15.0, 1.0, 0.0, 0.0),
    (0.0, 1.15, 0.0, 0.0),
    (0.0, 0.87, 0.0, 0.0),
    (0.0, 1.0, 0.12, 0.0),
    (0.0, 1.0, 0.0, 0.12),
)
"""Degrees, enlargement, and shifts across and down in parts of the side."""
FRAME = 0.15
"""The width of the frame, of the side: half of the image's area."""


def pose_sensitivity(embed: Change, images: Iterable[Tensor], sample: Sample) -> Estimate:
    """How far small rigid motions carry an image's features, by the distance between its class and the nearest other one.

    A proxy of rigidity: where classes are rigid bodies that differ by pose alone, a network that is worth its name keeps their features
    together. Motions are turns by 15 degrees, enlargement and reduction by 15 %, and shifts by an eighth of the side; what they bring in
    from beyond the border is the border's colour.

    Args:
        embed: Features (B, d) of images (B, C, H, W), as ``sample`` has them.
        images: Of the sample's examples in their order, standardised, in batches (B, C, H, W).
        sample: Their features and classes.

    Returns:
        The ratio, at least 0, and its error over examples.

    Raises:
        ValueError: If there are not as many images as examples.
    """
    return _displacement(embed, images, sample, [_motion(*motion) for motion in MOTIONS])


def frame_sensitivity(embed: Change, images: Iterable[Tensor], sample: Sample) -> Estimate:
    """How far blanking the frame of an image carries its features, by the same distance: a proxy of clutter.

    The frame is the outer half of the area, and takes the image's mean colour. Arguments and errors as for `pose_sensitivity`.
    """
    return _displacement(embed, images, sample, [_blank_frame])


@torch.inference_mode()
def _displacement(embed: Change, images: Iterable[Tensor], sample: Sample, changes: list[Change]) -> Estimate:
    parts, start = [], 0
    for batch in images:
        before = sample.features[start : start + len(batch)].double()
        if len(before) == len(batch):
            parts.append(torch.stack([(embed(change(batch)).double().cpu() - before).norm(dim=1) for change in changes]).mean(dim=0))
        start += len(batch)
    if start != len(sample):
        raise ValueError(f"images must be those of the sample's {len(sample)} examples, got {start}")
    moved = torch.cat(parts)
    apart = torch.cdist(sample.centres, sample.centres).fill_diagonal_(math.inf).amin(dim=1)[sample.labels].mean()
    return Estimate(float(moved.mean() / apart), float(moved.std() / math.sqrt(len(moved)) / apart))


def _motion(degrees: float, enlargement: float, across: float, down: float) -> Change:
    turn = math.radians(degrees)
    # Where a point of the result is looked up: the inverse motion, in coordinates from -1 to 1.
    cosine, sine = math.cos(turn) / enlargement, math.sin(turn) / enlargement
    matrix = torch.tensor([[cosine, -sine, -2.0 * across], [sine, cosine, -2.0 * down]])

    def moved(images: Tensor) -> Tensor:
        each = matrix.to(images).expand(len(images), 2, 3)
        grid = F.affine_grid(each, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    return moved


def _blank_frame(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    down, across = round(FRAME * height), round(FRAME * width)
    blank = images.mean(dim=(-2, -1), keepdim=True).expand_as(images).clone()
    inside = (..., slice(down, height - down), slice(across, width - across))
    blank[inside] = images[inside]
    return blank
