"""Clutter: a dial that covers part of each picture by patches of other pictures, over the object and around it."""

from __future__ import annotations

import torch
from torch import Tensor

# A picture has this many tiles along each side; clutter covers whole tiles.
TILES = 4
CHUNK = 1024


def clutter_images(images: Tensor, share: float, donors: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture with ``round(16 * share)`` of its 16 tiles covered by patches, each from any place of any other donor.

    With equal generators what covers a tile at a small share covers it at a larger one too, so the levels of a dial differ in nothing
    but the level.

    Args:
        images: Pictures of any dtype, (N, C, H, W), with sides of at least 4 pixels; not changed.
        share: Share of the picture to cover, in [0, 1).
        donors: Places of the pictures that patches are taken from, at least two, (M,).
        generator: Draws which tiles are covered, and by what.

    Returns:
        Pictures of the same shape and dtype.
    """
    count, _, height, width = images.shape
    tiles = TILES * TILES
    # Drawn for every tile whatever the share is, so that the levels of a dial are nested.
    order, donor, top, left = torch.rand(4, count, tiles, dtype=torch.float64, generator=generator)
    covered = order.argsort(dim=1).argsort(dim=1) < round(share * tiles)
    sources = donors[_others(donor, donors)]

    row_tile, row_in_tile, tallest = _tiling(height)
    column_tile, column_in_tile, widest = _tiling(width)
    tile = row_tile.unsqueeze(1) * TILES + column_tile  # of each pixel, (H, W)
    tops, lefts = (top * (height - tallest + 1)).long(), (left * (width - widest + 1)).long()
    cluttered = images.clone()
    for start in range(0, count, CHUNK):
        picture, row, column = covered[start : start + CHUNK][:, tile].nonzero(as_tuple=True)
        patch = picture + start, tile[row, column]
        patches = images[sources[patch], :, tops[patch] + row_in_tile[row], lefts[patch] + column_in_tile[column]]
        cluttered[picture + start, :, row, column] = patches
    return cluttered


def _others(draws: Tensor, donors: Tensor) -> Tensor:
    """For each draw in [0, 1) a donor's place in ``donors``, never the picture's own, (N, tiles)."""
    own = torch.full((len(draws), 1), len(donors))
    own[donors, 0] = torch.arange(len(donors))
    others = torch.where(own < len(donors), len(donors) - 1, len(donors))
    chosen = (draws * others).long()
    return chosen + (chosen >= own)


def _tiling(side: int) -> tuple[Tensor, Tensor, int]:
    """The tile of each pixel along a side, the pixel's place in its tile, and the longest tile's length."""
    tile = torch.arange(side) * TILES // side
    lengths = torch.bincount(tile, minlength=TILES)
    return tile, torch.arange(side) - (lengths.cumsum(dim=0) - lengths)[tile], int(lengths.max())
