from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from margin_core.topology import Sample, describe, intrinsic_dimension_curve, list_descriptors, matched_examples

MEASURES = {d.name: d.measure for d in list_descriptors()}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=_generator(seed))


def _classes(examples: int, classes: int = 10) -> Tensor:
    return torch.arange(examples) % classes


def _gaussian(per_class: int, centres: Tensor, spread: float = 1.0, seed: int = 1) -> tuple[Tensor, Tensor]:
    labels = _classes(per_class * len(centres), len(centres))
    return centres[labels] + spread * _normal(len(labels), centres.shape[1], seed=seed), labels


def _sphere(examples: int, dimension: int, width: int) -> Tensor:
    """Random points of the sphere of a dimension, in a space of another width: it has no border."""
    directions = torch.linalg.qr(_normal(width, width, seed=9)).Q[: dimension + 1]
    return torch.nn.functional.normalize(_normal(examples, dimension + 1), dim=1) @ directions


@pytest.mark.parametrize(("dimension", "tolerance"), [(2, 0.05), (5, 0.05), (10, 0.10), (20, 0.25)])
def test_twonn_recovers_the_dimension_of_a_sphere_in_a_larger_space(dimension: int, tolerance: float) -> None:
    sample = Sample.of(_sphere(3000, dimension, 96), _classes(3000))
    assert MEASURES["intrinsic_dimension"](sample) == pytest.approx(dimension, rel=tolerance)


def test_the_curve_begins_with_twonn_and_shows_noise_at_small_scales_only() -> None:
    line = torch.linspace(0.0, 100.0, 2000, dtype=torch.float64).unsqueeze(1) * torch.eye(1, 10, dtype=torch.float64)
    sample = Sample.of(line + 0.05 * _normal(2000, 10), _classes(2000))
    curve = intrinsic_dimension_curve(sample)
    assert curve[1] == pytest.approx(MEASURES["intrinsic_dimension"](sample), rel=1e-9)
    assert curve[1] > 1.8 and curve[32] == pytest.approx(1.0, abs=0.1)


def test_equal_examples_do_not_spoil_the_dimension() -> None:
    points = _sphere(1500, 3, 8)
    doubled = torch.cat([points, points[:300]])
    alone, both = (MEASURES["intrinsic_dimension"](Sample.of(x, _classes(len(x)))) for x in (points, doubled))
    assert both == pytest.approx(alone, rel=1e-9)


def test_label_noise_is_read_as_much_as_was_put_in() -> None:
    features, labels = _gaussian(300, 4.0 * torch.eye(10, dtype=torch.float64))
    read = []
    for share in (0.0, 0.1, 0.2, 0.3):
        flipped = torch.rand(len(labels), generator=_generator(2)) < share
        others = (labels + torch.randint(1, 10, labels.shape, generator=_generator(3))) % 10
        read.append(MEASURES["label_noise"](Sample.of(features, torch.where(flipped, others, labels))))
    assert read == sorted(read)
    assert read[0] < 0.02
    assert (read[3] - read[0]) / 0.3 == pytest.approx(1.0, abs=0.3)


def test_separation_is_that_of_the_distribution_however_few_examples_there_are() -> None:
    # Between any two centres the squared distance is 2 * 3^2, and each class varies by 50.
    centres = 3.0 * torch.eye(8, 50, dtype=torch.float64)
    for per_class in (10, 400):
        sample = Sample.of(*_gaussian(per_class, centres))
        assert MEASURES["cdnv"](sample) == pytest.approx(50.0 / 18.0, rel=0.15 if per_class == 10 else 0.03)
        assert MEASURES["fisher_ratio"](sample) == pytest.approx(9.0 / 50.0, rel=0.15 if per_class == 10 else 0.03)


def test_classes_that_cannot_be_told_apart_have_no_finite_separation() -> None:
    sample = Sample.of(_normal(400, 5), _classes(400, 4))
    assert MEASURES["cdnv"](sample) > 20.0
    assert MEASURES["fisher_ratio"](sample) == pytest.approx(0.0, abs=0.05)
    assert MEASURES["neighbour_impurity"](sample) == pytest.approx(1.0, abs=0.05)
    assert MEASURES["linear_probe_error"](sample) == pytest.approx(75.0, abs=8.0)


def test_granularity_orders_a_hierarchy_of_classes_from_fine_to_coarse() -> None:
    families = 20.0 * torch.eye(4, 12, dtype=torch.float64).repeat_interleave(4, dim=0)
    margins = [
        MEASURES["granularity"](
            Sample.of(*_gaussian(100, families + apart * torch.eye(4, 12, dtype=torch.float64).roll(5, 1).repeat(4, 1)))
        )
        for apart in (1.0, 2.0, 4.0, 8.0)
    ]
    assert margins == sorted(margins)
    assert margins[0] < 0.2 < 0.5 < margins[3]


def test_an_example_is_no_part_of_its_own_class_mean() -> None:
    # Of two examples each, the mean without the example is the other one: at distance 2, while the other class's mean is at 3 or 5.
    features = torch.tensor([[-1.0], [1.0], [3.0], [5.0]])
    sample = Sample.of(features, torch.tensor([0, 0, 1, 1]))
    margins = sorted([(5.0 - 2.0) / 5.0, (3.0 - 2.0) / 3.0, (3.0 - 2.0) / 3.0, (5.0 - 2.0) / 5.0])
    assert MEASURES["granularity"](sample) == pytest.approx((margins[1] + margins[2]) / 2.0)


def test_the_participation_ratio_counts_directions() -> None:
    flat = torch.zeros(2000, 30, dtype=torch.float64)
    flat[:, :7] = _normal(2000, 7)
    assert MEASURES["participation_ratio"](Sample.of(flat, _classes(2000))) == pytest.approx(7.0, rel=0.02)
    spread, labels = _gaussian(200, 100.0 * torch.eye(5, 30, dtype=torch.float64))
    assert MEASURES["within_class_participation_ratio"](Sample.of(spread, labels)) == pytest.approx(30.0, rel=0.05)


def test_the_tree_through_uniform_points_grows_with_their_dimension() -> None:
    dimensions = [
        MEASURES["h0_dimension"](Sample.of(torch.rand(1000, d, generator=_generator()).double(), _classes(1000))) for d in (1, 2, 4)
    ]
    assert dimensions == pytest.approx([1.0, 2.0, 4.0], rel=0.15)


def test_hubs_appear_as_dimensions_grow() -> None:
    low, high = (MEASURES["hubness"](Sample.of(_normal(800, d), _classes(800))) for d in (3, 100))
    assert low < 1.0 < high


def test_what_features_are_measured_in_and_how_they_are_turned_changes_nothing() -> None:
    features, labels = _gaussian(60, 2.0 * _normal(6, 12, seed=5))
    turned = 7.0 * features @ torch.linalg.qr(_normal(12, 12, seed=6)).Q
    first, second = Sample.of(features, labels), Sample.of(turned, labels)
    for name, measure in MEASURES.items():
        assert measure(second) == pytest.approx(measure(first), rel=1e-5, abs=1e-9), name


def test_two_sizes_of_one_distribution_agree_within_their_errors_where_size_should_not_matter() -> None:
    centres = 3.0 * _normal(10, 20, seed=7)
    names = ["cdnv", "fisher_ratio", "granularity", "participation_ratio"]
    small, large = (describe(*_gaussian(n, centres, seed=n), names=names, halves=30).estimates for n in (50, 400))
    for name in names:
        difference = abs(small[name].value - large[name].value)
        assert difference < 2.5 * math.hypot(small[name].error, large[name].error), name


def test_the_error_is_how_much_a_descriptor_differs_from_sample_to_sample() -> None:
    centres, names = 0.7 * _normal(6, 10, seed=7), ["label_noise", "granularity", "fisher_ratio", "neighbour_impurity"]
    told = [describe(*_gaussian(80, centres, seed=seed), names=names, halves=25).estimates for seed in range(25)]
    for name in names:
        spread = torch.tensor([each[name].value for each in told]).std().item()
        typical = torch.tensor([each[name].error for each in told]).median().item()
        assert 0.5 < typical / spread < 2.0, name


def test_a_fingerprint_says_what_it_was_taken_of_and_is_the_same_again() -> None:
    features, labels = _gaussian(20, _normal(5, 8))
    fingerprint = describe(features, labels, halves=4)
    assert (fingerprint.examples, fingerprint.classes, fingerprint.features) == (100, 5, 8)
    assert list(fingerprint.estimates) == [d.name for d in list_descriptors()]
    assert fingerprint == describe(features, labels, halves=4)
    assert all(math.isnan(e.error) for e in describe(features, labels, halves=0).estimates.values())


def test_four_descriptors_are_primary() -> None:
    assert [d.name for d in list_descriptors() if d.role == "primary"] == ["intrinsic_dimension", "label_noise", "cdnv", "granularity"]


def test_matched_examples_are_as_many_of_as_many_classes() -> None:
    labels = torch.tensor([0] * 30 + [1] * 5 + [2] * 20 + [7] * 20)
    places = matched_examples(labels, classes=3, per_class=20)
    assert labels[places].bincount().tolist() == [20, 0, 20, 0, 0, 0, 0, 20]
    assert not torch.equal(places, matched_examples(labels, classes=3, per_class=20, seed=1))
    with pytest.raises(ValueError, match="classes must be at most 3, those with 20 examples or more, got 4"):
        matched_examples(labels, classes=4, per_class=20)


@pytest.mark.parametrize(
    ("features", "labels", "names", "words"),
    [
        (torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), ["nc1"], "unknown descriptor 'nc1'"),
        (torch.ones(4, 2), torch.tensor([0, 0, 0, 1]), None, r"two examples or more each, got counts \[3, 1\]"),
        (torch.ones(4, 2), torch.tensor([0, 0, 0]), None, r"labels must be \(4,\)"),
        (torch.ones(4), torch.tensor([0, 0, 1, 1]), None, r"features must be \(N, d\)"),
        (torch.full((4, 2), torch.inf), torch.tensor([0, 0, 1, 1]), None, "finite"),
    ],
)
def test_what_cannot_be_described_is_refused(features: Tensor, labels: Tensor, names: list[str] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        describe(features, labels, names=names)
