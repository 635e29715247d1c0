"""Neural collapse: what is known exactly, and what rounding could spoil."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from margin_core.metrics import ClassMoments, NearestCentreAgreement, collapse_of_moments, neural_collapse


def rotation(width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    orthogonal, _ = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    return orthogonal


def simplex(classes: int, width: int) -> Tensor:
    """The simplex of equal angles, turned at random in ``width`` dimensions."""
    corners = torch.eye(classes, dtype=torch.float64) - 1.0 / classes
    return torch.nn.functional.pad(corners, (0, width - classes)) @ rotation(width, seed=0)


def noisy(classes: int = 4, width: int = 10, examples: int = 400, noise: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    target = torch.arange(examples) % classes
    prototypes = simplex(classes, width)
    features = prototypes[target] + noise * torch.randn(examples, width, generator=generator, dtype=torch.float64)
    return features, target, prototypes


@pytest.mark.parametrize(("classes", "width"), [(2, 2), (3, 8), (10, 12)])
@pytest.mark.parametrize("origin", [0.0, 5.0])
def test_a_simplex_without_variation_is_collapse(classes: int, width: int, origin: float) -> None:
    target = torch.arange(6 * classes) % classes
    prototypes = simplex(classes, width)
    # The bias takes the origin out of the scores again.
    measured = neural_collapse(3.0 * prototypes[target] + origin, target, prototypes, bias=-origin * prototypes.sum(dim=1))
    assert measured == pytest.approx((0.0, 0.0, 0.0, 0.0, 100.0), abs=1e-12)


def test_the_variation_is_measured_in_units_of_the_class_means() -> None:
    # Two classes at +-1 on the first axis, each +-r about it there: S_W = r^2 and S_B = 1, so NC1 = r^2 / 2.
    features = torch.tensor([[1.25, 0.0], [0.75, 0.0], [-1.25, 0.0], [-0.75, 0.0]])
    target = torch.tensor([0, 0, 1, 1])
    measured = neural_collapse(features, target, prototypes=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert measured == pytest.approx((0.25**2 / 2, 0.0, 0.0, 0.0, 100.0), abs=1e-15)


def test_variation_across_the_class_means_is_not_counted() -> None:
    features = torch.tensor([[1.0, 9.0], [1.0, -9.0], [-1.0, 9.0], [-1.0, -9.0]])
    assert neural_collapse(features, torch.tensor([0, 0, 1, 1]), torch.eye(2)).nc1 == pytest.approx(0.0, abs=1e-15)


def test_every_class_weighs_the_same_in_the_means() -> None:
    features = torch.tensor([[1.0, 0.0]] * 97 + [[-1.0, 0.0]] * 3)
    target = torch.tensor([0] * 97 + [1] * 3)
    measured = neural_collapse(features, target, prototypes=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert measured == pytest.approx((0.0, 0.0, 0.0, 0.0, 100.0), abs=1e-12)


def test_turning_scaling_and_moving_the_features_changes_neither_variation_nor_angles() -> None:
    features, target, prototypes = noisy()
    before = neural_collapse(features, target, prototypes)
    turn = rotation(10, seed=3)
    after = neural_collapse(7.0 * features @ turn + 100.0, target, prototypes @ turn)
    assert (after.nc1, after.nc2_equinorm, after.nc2_equiangular, after.nc3) == pytest.approx(before[:4], rel=1e-9)


@pytest.mark.parametrize("origin", [2.0**13, 2.0**20])
def test_features_far_from_the_origin_keep_their_digits(origin: float) -> None:
    features, target, prototypes = noisy(noise=1e-3)
    # Rounded where they are moved to, so that what differs is only what the metric itself loses.
    moved = features + origin
    measured, expected = neural_collapse(moved, target, prototypes), neural_collapse(moved - origin, target, prototypes)
    # The variance is 1e-6: a difference of squares near 1e12 would not have a digit of it.
    assert measured.nc1 == pytest.approx(expected.nc1, rel=1e-6)
    assert measured[1:4] == pytest.approx(expected[1:4], abs=1e-8)


@pytest.mark.parametrize("width", [3, 4, 40])
@pytest.mark.parametrize("origin", [0.0, 1e3])
def test_the_rank_of_the_class_means_is_cut_where_only_rounding_is_left(width: int, origin: float) -> None:
    # Centred means of 5 classes have rank 4 at most; without the cut the fifth singular value, some 1e-16, is divided by.
    generator = np.random.default_rng(width)
    target = np.arange(200) % 5
    features = generator.normal(size=(5, width))[target] + 0.3 * generator.normal(size=(200, width)) + origin
    means = np.array([features[target == c].mean(axis=0) for c in range(5)])
    within = sum(np.outer(row, row) for row in features - means[target]) / 200
    centred = means - means.mean(axis=0)
    expected = np.trace(within @ np.linalg.pinv(centred.T @ centred / 5, rcond=1e-9)) / 5
    measured = neural_collapse(torch.from_numpy(features), torch.from_numpy(target), torch.zeros(5, width)).nc1
    assert measured == pytest.approx(expected, rel=1e-8)


def test_class_means_on_a_line_have_rank_1() -> None:
    places = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    features = torch.stack([places.repeat(2) + torch.tensor([0.5] * 4 + [-0.5] * 4), torch.zeros(8), torch.ones(8)], dim=1)
    measured = neural_collapse(features, torch.arange(4).repeat(2), torch.zeros(4, 3)).nc1
    assert measured == pytest.approx(0.25 / 1.25 / 4, rel=1e-12)


def test_equal_class_means_have_no_measure() -> None:
    measured = neural_collapse(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]), torch.eye(2, 3))
    assert all(math.isnan(value) for value in measured[:4])


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_network_that_diverged_has_no_measure(wrong: float) -> None:
    features, target, prototypes = noisy()
    features[5] = wrong
    measured = neural_collapse(features, target, prototypes)
    assert all(math.isnan(value) for value in measured[:4])
    prototypes[0] = wrong
    assert math.isnan(neural_collapse(noisy()[0], target, prototypes).nc3)


def test_opposite_prototypes_are_the_farthest_from_self_dual() -> None:
    features, target, prototypes = noisy(noise=0.0)
    assert neural_collapse(features, target, -prototypes).nc3 == pytest.approx(4.0)


def test_the_bias_is_part_of_what_the_last_layer_predicts() -> None:
    features, target, prototypes = noisy(noise=0.0)
    bias = torch.tensor([100.0, 0.0, 0.0, 0.0])
    assert neural_collapse(features, target, prototypes).nc4 == 100.0
    assert neural_collapse(features, target, prototypes, bias).nc4 == 25.0


def test_two_passes_over_batches_measure_what_the_function_does() -> None:
    features, target, prototypes = noisy()
    parts = [ClassMoments(4), ClassMoments(4)]
    for i, rows in enumerate(torch.arange(400).split(30)):
        parts[i % 2].update(features[rows], target[rows])
    parts[0].merge(parts[1])
    moments = parts[0].compute()
    agreement = NearestCentreAgreement(moments.centres, prototypes)
    for batch in features.split(30):
        agreement.update(batch)
    measured = collapse_of_moments(moments, prototypes, nc4=agreement.compute())
    assert measured == pytest.approx(neural_collapse(features, target, prototypes), rel=1e-11)
    assert math.isnan(collapse_of_moments(moments, prototypes).nc4)


def test_a_class_without_examples_is_named() -> None:
    features, target, prototypes = noisy()
    with pytest.raises(ValueError, match=r"target must hold every class of 4, got no example of \[1, 3\]"):
        neural_collapse(features, target - target % 2, prototypes)


def test_arguments_that_do_not_fit_are_named() -> None:
    features, target, prototypes = noisy()
    with pytest.raises(ValueError, match=r"prototypes must be \(4, 10\) to go with features and classes, got \(4, 9\)"):
        neural_collapse(features, target, prototypes[:, 1:])
    with pytest.raises(ValueError, match=r"bias must be \(4,\) to go with prototypes, got \(3,\)"):
        neural_collapse(features, target, prototypes, torch.zeros(3))
    with pytest.raises(ValueError, match=r"features must be \(N, d\), got \(400,\)"):
        neural_collapse(features[:, 0], target, prototypes)
    with pytest.raises(ValueError, match="num_classes must be >= 2, got 1"):
        ClassMoments(1)
    moments = ClassMoments(4)
    moments.update(features, target)
    with pytest.raises(ValueError, match=r"features must be \(N, 10\) as before, got width 9"):
        moments.update(features[:, 1:], target)
    with pytest.raises(ValueError, match=r"prototypes must be \(4, 10\) to go with moments, got \(3, 10\)"):
        collapse_of_moments(moments.compute(), prototypes[1:])
    with pytest.raises(ValueError, match=r"features must be \(N, 10\) to go with centres, got \(400, 9\)"):
        NearestCentreAgreement(prototypes, prototypes).update(features[:, 1:])
