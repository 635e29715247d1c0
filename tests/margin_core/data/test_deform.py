"""Elastic deformation: smooth, in its unit, the same directions at every strength and the same pictures in every replicate."""

from __future__ import annotations

import pytest
import torch

from margin_core.data import DatasetConfig, load_dataset, prepare
from margin_core.data.deform import POINTS, deform_images


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def moves(strength: float, side: int = 31) -> torch.Tensor:
    """How far the middle of each of 4000 pictures moves, as a share of the side: read from pictures that hold their own coordinate."""
    ramp = torch.linspace(0.0, 1.0, side).expand(4000, 1, side, side)
    return deform_images(ramp, strength, seeded())[:, 0, side // 2, side // 2] - 0.5


def test_without_strength_pictures_stay_as_they_are() -> None:
    images = load_dataset("digits").images[:50]
    torch.testing.assert_close(deform_images(images, 0.0, seeded()), images, atol=1e-5, rtol=0.0)


def test_a_picture_of_one_pixel_has_nowhere_to_move() -> None:
    images = torch.randn(10, 2, 1, 1, generator=seeded())
    assert torch.equal(deform_images(images, 0.5, seeded()), images)


def test_at_the_points_where_they_are_drawn_moves_have_the_asked_for_spread() -> None:
    side = 3 * 10 + 1  # one of the points is the pixel (10, 10)
    ramp = torch.linspace(0.0, 1.0, side).expand(4000, 1, side, side)
    moved = deform_images(ramp, 0.1, seeded())[:, 0, 10, 10] - 10 / 30
    # The standard error of a standard deviation is about 1.1 % with 4000 draws.
    assert float(moved.std()) == pytest.approx(0.1 / (POINTS - 1), rel=0.05)
    assert abs(float(moved.mean())) < 0.003


def test_a_stronger_deformation_moves_in_the_same_direction_only_farther() -> None:
    torch.testing.assert_close(moves(0.2), 2.0 * moves(0.1), atol=1e-4, rtol=1e-3)


def test_neighbours_move_together_and_pictures_on_their_own() -> None:
    ramp = torch.linspace(0.0, 1.0, 64).expand(500, 1, 64, 64)
    moved = deform_images(ramp, 0.2, seeded()) - ramp
    assert float((moved[..., 1:, :] - moved[..., :-1, :]).abs().max()) < 0.05
    middles = moved[:, 0, 32, 32]
    assert len(middles.unique()) > 450


def test_no_value_leaves_the_range_of_its_picture() -> None:
    images = load_dataset("digits").images
    deformed = deform_images(images, 1.0, seeded())
    assert bool((deformed.amax(dim=(1, 2, 3)) <= images.amax(dim=(1, 2, 3)) + 1e-5).all())
    assert bool((deformed.amin(dim=(1, 2, 3)) >= images.amin(dim=(1, 2, 3)) - 1e-5).all())


def test_pictures_of_bytes_are_deformed_as_those_of_floats_and_rounded() -> None:
    images = torch.randint(0, 256, (30, 3, 9, 14), dtype=torch.uint8, generator=seeded())
    deformed = deform_images(images, 0.3, seeded())
    assert deformed.dtype == torch.uint8
    assert torch.equal(deformed.float(), deform_images(images.float(), 0.3, seeded()).round())


def test_pictures_of_all_splits_are_deformed_alike_in_every_replicate_and_nothing_else_changes() -> None:
    plain = prepare(DatasetConfig("digits", 0.2, "nearest"), study_seed=0, replicate=0)
    one, other = (prepare(DatasetConfig("digits", 0.2, "nearest", deform=0.3), study_seed=0, replicate=replicate) for replicate in (0, 1))
    assert torch.equal(one.dataset.images, other.dataset.images)
    assert torch.equal(one.test()[0], other.test()[0])
    assert torch.equal(one.train_indices, plain.train_indices)
    assert torch.equal(one.train_y, plain.train_y)
    for images, before in ((one.train_x, plain.train_x), (one.val_x, plain.val_x), (one.test()[0], plain.test()[0])):
        assert bool((images != before).flatten(1).any(dim=1).all())
    elsewhere = prepare(DatasetConfig("digits", deform=0.3), study_seed=1, replicate=0)
    assert not torch.equal(elsewhere.dataset.images, one.dataset.images)


def test_the_dataset_that_is_kept_in_memory_stays_as_it_was_read() -> None:
    before = load_dataset("digits").images.clone()
    prepare(DatasetConfig("digits", deform=0.5, clutter=0.5), study_seed=0, replicate=0)
    assert torch.equal(load_dataset("digits").images, before)
