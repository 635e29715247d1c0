"""Elastic deformation: a dial that makes the pictures of a class differ more in shape (Simard et al., ICDAR 2003)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Displacements are drawn at this many points along each side and run smoothly between them.
POINTS = 4
CHUNK = 1024


def deform_images(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Each picture, its points moved by a smooth random field of its own.

    With equal generators a picture's points move in the same directions at any strength, only farther.

    Args:
        images: Pictures, (N, C, H, W), of a floating dtype or of whole numbers; not changed.
        strength: Standard deviation of the displacements, in units of the distance between neighbouring points where they are drawn (a
            third of the picture's side), >= 0. At 0.2 an eighth of the pictures has a fold, at 0.5 each.
        generator: Draws the fields.

    Returns:
        Pictures of the same shape and dtype.
    """
    height, width = images.shape[-2:]
    moves = torch.randn(len(images), 2, POINTS, POINTS, generator=generator)
    # On grid_sample's scale a picture's side has length 2.
    moves *= strength * 2.0 / (POINTS - 1)
    still = torch.stack(torch.meshgrid(torch.linspace(-1.0, 1.0, width), torch.linspace(-1.0, 1.0, height), indexing="xy"), dim=-1)
    deformed = torch.empty_like(images)
    for start in range(0, len(images), CHUNK):
        chunk = slice(start, start + CHUNK)
        field = F.interpolate(moves[chunk], size=(height, width), mode="bicubic", align_corners=True)
        values = F.grid_sample(images[chunk].float(), still + field.permute(0, 2, 3, 1), padding_mode="border", align_corners=True)
        deformed[chunk] = values if images.is_floating_point() else values.round()
    return deformed
