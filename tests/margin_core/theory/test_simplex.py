"""What no prototypes and features exceed, and the simplex has: class margin, sample margin, and the losses that tend to it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given

from margin_core import metrics
from margin_core.losses.functional import lm_softmax
from margin_core.metrics import class_margin
from margin_core.regularizers.sample_margin import sample_margin
from margin_core.regularizers.zero_centroid import zero_centroid
from tests.margin_core.losses.samples import close, scale
from tests.margin_core.theory.configurations import Configuration, configurations, simplex

CLASSES = [2, 3, 10, 100]


def largest_class_margin(classes: int) -> float:
    """arccos(-1 / (K - 1)), in degrees."""
    return math.degrees(math.acos(-1.0 / (classes - 1)))


def largest_sample_margin(classes: int) -> float:
    """K / (K - 1)."""
    return classes / (classes - 1)


@pytest.mark.parametrize("classes", CLASSES)
def test_at_the_simplex_class_margin_and_sample_margin_are_the_largest(classes: int) -> None:
    points, target = simplex(classes), torch.arange(classes)
    most = torch.full((classes,), largest_sample_margin(classes), dtype=torch.float64)
    assert class_margin(points) == pytest.approx(largest_class_margin(classes), abs=1e-11)
    close(metrics.sample_margin(points @ points.T, target), most)
    close(sample_margin(points @ points.T, target), -most)


@given(configurations())
def test_no_class_margin_exceeds_that_of_the_simplex(drawn: Configuration) -> None:
    prototypes, _, _ = drawn
    assert class_margin(prototypes) <= largest_class_margin(len(prototypes)) + 1e-9


@given(configurations())
def test_no_mean_sample_margin_of_balanced_classes_exceeds_that_of_the_simplex(drawn: Configuration) -> None:
    prototypes, features, target = drawn
    cosines, most = features @ prototypes.T, largest_sample_margin(len(prototypes))
    assert metrics.sample_margin(cosines, target).mean() <= most + 1e-12
    assert sample_margin(cosines, target).mean() >= -most - 1e-12


@given(configurations())
def test_the_regulariser_is_the_sample_margin_with_the_other_sign_and_pulls_as_hard_as_it_pushes(drawn: Configuration) -> None:
    prototypes, features, target = drawn
    cosines = (features @ prototypes.T).requires_grad_()
    term = sample_margin(cosines, target)
    assert torch.equal(term, -metrics.sample_margin(cosines, target))
    (pull,) = torch.autograd.grad(term.sum(), cosines)
    assert torch.equal(pull.sum(dim=-1), torch.zeros(len(target), dtype=torch.float64))


@given(configurations())
def test_the_centroid_tells_the_mean_cosine_and_so_bounds_the_class_margin(drawn: Configuration) -> None:
    prototypes, _, _ = drawn
    classes = len(prototypes)
    # |sum w|^2 = K + K (K - 1) (mean cosine): least where the centroid is zero, and there alone the margin can be the largest.
    mean_cosine = (classes * zero_centroid(prototypes).item() - 1.0) / (classes - 1)
    assert math.cos(math.radians(class_margin(prototypes))) >= mean_cosine - 1e-12


@given(configurations(), scale)
def test_no_mean_of_lm_softmax_is_below_that_of_the_simplex(drawn: Configuration, s: float) -> None:
    prototypes, features, target = drawn
    classes = len(prototypes)
    losses = lm_softmax(features @ prototypes.T, target, s=s)
    spread = math.log(classes - 1) / s
    assert losses.mean() >= -largest_sample_margin(classes) + spread - 1e-12
    assert losses.max() <= 2.0 + spread + 1e-12


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("s", [1.0, 20.0, 64.0])
def test_lm_softmax_of_the_simplex_is_its_least(classes: int, s: float) -> None:
    points = simplex(classes)
    close(lm_softmax(points @ points.T, torch.arange(classes), s=s).mean(), -largest_sample_margin(classes) + math.log(classes - 1) / s)
