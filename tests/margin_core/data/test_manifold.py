"""Made-up manifolds: of the dimension that is stated, the same whenever they are drawn, and harder the more dimensions they have."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from margin_core.data import DatasetConfig, Manifold, ManifoldKind, prepare
from margin_core.data.manifold_points import CLASSES, bent, draw_manifold, turned_and_shifted
from margin_core.training import Cell, Recipe, Trial


def two_nn(points: Tensor) -> float:
    """Intrinsic dimension by TwoNN (Facco et al., Scientific Reports 2017), its likelihood form: the mean of log r2/r1, inverted."""
    points = points.flatten(1).double()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    first, second = distances.topk(2, largest=False).values.unbind(dim=1)
    return (len(points) - 1) / float((second / first).log().sum())


def dimension(manifold: Manifold) -> float:
    """The mean over the classes of their estimated dimensions: 400 examples each."""
    images, labels = draw_manifold(manifold)
    return sum(two_nn(images[labels == label]) for label in range(CLASSES)) / CLASSES


CASES: list[tuple[ManifoldKind, int]] = [("rigid", 1), ("rigid", 2), ("rigid", 3), *(("deformable", d) for d in (1, 2, 4, 8, 12))]


@pytest.mark.parametrize(("kind", "stated"), CASES)
def test_each_class_has_the_dimension_that_is_stated(kind: ManifoldKind, stated: int) -> None:
    # One class's estimate has a standard error of 5 % (1 / sqrt(400)); their mean, 2 %. Curvature and edges take up to 7 % away.
    assert dimension(Manifold(kind, stated)) == pytest.approx(stated, rel=0.1)


def test_pixel_noise_has_many_more_dimensions_than_the_pictures() -> None:
    levels = [dimension(Manifold("rigid", 2, pixel_noise=noise)) for noise in (0.0, 0.1, 0.5)]
    assert all(less < more for less, more in pairwise(levels))
    assert levels[-1] > 10.0


@pytest.mark.parametrize("manifold", [Manifold("rigid", 3), Manifold("deformable", 12), Manifold(pixel_noise=0.5)], ids=lambda m: m.key)
def test_pictures_are_standardised_and_drawn_alike_whatever_the_global_generator_says(manifold: Manifold) -> None:
    images, labels = draw_manifold(manifold)
    assert images.dtype == torch.float32 and images.shape == (4000, 1, 16, 16)
    assert abs(float(images.mean())) < 0.01
    assert abs(float(images.std()) - 1.0) < 0.01
    assert labels.bincount().tolist() == [400] * 10
    torch.rand(1)
    again, _ = draw_manifold(manifold)
    assert torch.equal(again, images)


def test_a_rigid_picture_keeps_its_distances_to_the_template_s_points_and_a_deformable_one_does_not() -> None:
    points = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ways = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    still = torch.cdist(points, points)
    rigid, soft = turned_and_shifted(points, ways), bent(points, ways)
    torch.testing.assert_close(torch.cdist(rigid, rigid), still.expand(5, -1, -1))
    assert bool(((torch.cdist(soft, soft) - still).abs().amax(dim=(1, 2)) > 0.05).all())


def test_noise_is_the_same_at_every_level_only_stronger() -> None:
    plain, weak, strong = (draw_manifold(Manifold("rigid", 2, pixel_noise=noise))[0].double() for noise in (0.0, 0.5, 1.0))
    torch.testing.assert_close(2.0 * (weak * 1.25**0.5 - plain), strong * 2.0**0.5 - plain, atol=1e-5, rtol=0.0)


def test_a_study_s_dials_go_with_it_and_more_dimensions_are_harder() -> None:
    errors = []
    for stated in (2, 12):
        config = DatasetConfig("manifold", 0.1, manifold=Manifold("deformable", stated), images_per_class=200)
        assert len(prepare(config, study_seed=0, replicate=0).train_y) == 2000
        trial = Trial(Cell(config, "mlp-50-20", "ce", {}, {}, Recipe(epochs=10, batch_size=64)), study_seed=0, replicate=0)
        while not trial.done:
            report = trial.run_epoch()
        errors.append(100.0 - report.metrics["val_accuracy"])
    assert errors[0] + 20.0 < errors[1]


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match="manifold: kind must be one of rigid, deformable, got 'soft'"):
        Manifold("soft")  # type: ignore[arg-type]
    for number in (0, 4, 2.0, True):
        with pytest.raises(ValueError, match=r"manifold: dimension must be a whole number in \[1, 3\] if rigid, got"):
            Manifold("rigid", number)  # type: ignore[arg-type]
    for noise in (-0.1, float("nan"), float("inf"), True, "much"):
        with pytest.raises(ValueError, match="manifold: pixel_noise must be a number >= 0, got"):
            Manifold(pixel_noise=noise)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="manifold: unknown key 'dim'; its keys are: kind, dimension, pixel_noise"):
        Manifold.from_dict({"dim": 2})
