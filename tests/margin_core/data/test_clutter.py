"""Clutter: exact in amount, nested over shares, and made of other training pictures only."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from margin_core.data import DatasetConfig, load_dataset, prepare
from margin_core.data.clutter import clutter_images
from margin_core.seeds import torch_generator

SHARES = [1 / 16, 0.25, 0.5, 15 / 16]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Pictures of two channels of which every pixel differs from all others."""
    pixels = torch.arange(count * height * width).reshape(count, 1, height, width)
    return torch.cat([pixels, -pixels], dim=1)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_exactly_the_share_asked_for_is_covered(share: float, size: tuple[int, int]) -> None:
    flat = torch.arange(40.0).reshape(40, 1, 1, 1).expand(40, 1, *size)
    covered = clutter_images(flat, share, torch.arange(20), seeded()) != flat
    assert covered.flatten(1).float().mean(dim=1).tolist() == [share] * 40


def test_what_covers_a_tile_at_a_small_share_covers_it_at_a_larger_one() -> None:
    images = numbered(40, 8, 8)
    levels = [clutter_images(images, share, torch.arange(0, 40, 2), seeded()) for share in SHARES]
    for low, high in pairwise(levels):
        covered = low != images
        assert torch.equal(high[covered], low[covered])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (28, 28)])
def test_a_patch_is_a_piece_of_another_donor_in_one_piece(height: int, width: int) -> None:
    images, donors = numbered(60, height, width), torch.arange(0, 60, 3)
    cluttered = clutter_images(images, 0.5, donors, seeded())
    assert torch.equal(cluttered[:, 1], -cluttered[:, 0])
    source = cluttered[:, 0] // (height * width)
    places = cluttered[:, 0] % (height * width)
    own = torch.arange(60).reshape(60, 1, 1)
    covered = cluttered[:, 0] != images[:, 0]
    assert bool(torch.isin(source[covered], donors).all())
    assert bool((source != own)[covered].all())
    row_tile, column_tile = torch.arange(height) * 4 // height, torch.arange(width) * 4 // width
    for number in range(60):
        for row in range(4):
            for column in range(4):
                tile = places[number][row_tile == row][:, column_tile == column]
                rows, columns = tile // width, tile % width
                assert torch.equal(rows - rows[0, 0], torch.arange(tile.shape[0]).unsqueeze(1).expand_as(tile))
                assert torch.equal(columns - columns[0, 0], torch.arange(tile.shape[1]).expand_as(tile))


def test_every_other_donor_gives_patches_about_equally_often() -> None:
    flat = torch.arange(4000).reshape(4000, 1, 1, 1).expand(4000, 1, 4, 4)
    cluttered = clutter_images(flat, 15 / 16, torch.arange(6), seeded())
    counts = torch.bincount(cluttered[6:].flatten(), minlength=6)[:6]
    # 59910 patches of 6 donors: 9985 each, with a standard deviation of 91.
    assert bool(((counts - 9985).abs() < 450).all())
    assert int((cluttered[0] == 0).sum()) == 1  # the tile of donor 0 that is not covered: its own patches never cover it


def test_pictures_of_all_splits_are_covered_by_training_pictures_and_nothing_else_changes() -> None:
    plain = prepare(DatasetConfig("digits", 0.2, "nearest"), study_seed=0, replicate=1)
    data = prepare(DatasetConfig("digits", 0.2, "nearest", clutter=0.25), study_seed=0, replicate=1)
    images = load_dataset("digits").images
    expected = clutter_images(images, 0.25, plain.train_indices, torch_generator(0, "clutter"))
    assert torch.equal(data.train_x, expected[plain.train_indices])
    assert torch.equal(data.val_x, expected[plain.val_indices])
    assert torch.equal(data.test()[0], expected[plain.test_indices])
    assert torch.equal(data.train_y, plain.train_y)
    assert torch.equal(data.test()[1], plain.test()[1])


def test_pictures_that_a_dial_takes_out_of_training_give_no_patches() -> None:
    data = prepare(DatasetConfig("digits", images_per_class=2, classes=3, clutter=0.5), study_seed=0, replicate=0)
    plain = prepare(DatasetConfig("digits", images_per_class=2, classes=3), study_seed=0, replicate=0)
    assert len(data.train_y) == 6
    expected = clutter_images(plain.dataset.images, 0.5, plain.train_indices, torch_generator(0, "clutter"))
    assert torch.equal(data.dataset.images, expected)
