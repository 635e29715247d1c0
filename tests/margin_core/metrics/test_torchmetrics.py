"""Metrics that torchmetrics has too, or can be made to give: the same number from an independent hand, where that is the right one.

What it gives wrongly, or not at all, is held to a count by hand instead; `docs/metrics.md` has the list. Its results are in single
precision, which the tolerances follow.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError
from torchmetrics.functional.classification import (
    binary_eer,
    binary_sensitivity_at_specificity,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_hinge_loss,
)
from torchmetrics.functional.pairwise import pairwise_cosine_similarity
from torchmetrics.functional.text import perplexity
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP

from margin_core.metrics import (
    ExpectedCalibrationError,
    TopKAccuracy,
    class_margin,
    expected_calibration_error,
    negative_log_likelihood,
    retrieval,
    sample_margin,
    superclass_accuracy,
    tar_at_far,
    top_k_accuracy,
    verification,
)

SEEDS = [0, 1, 2]
EXAMPLES, CLASSES, WIDTH = 300, 7, 5


def drawn(seed: int) -> tuple[torch.Generator, Tensor, Tensor]:
    """Logits without ties and targets, the last class never among them."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(EXAMPLES, CLASSES, generator=generator, dtype=torch.float64)
    return generator, logits, torch.randint(CLASSES - 1, (EXAMPLES,), generator=generator)


# --- The same


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, CLASSES])
def test_top_k_accuracy_is_its_micro_average_also_with_a_class_that_never_occurs(k: int, seed: int) -> None:
    _, logits, target = drawn(seed)
    theirs = multiclass_accuracy(logits, target, CLASSES, average="micro", top_k=k)
    assert top_k_accuracy(logits, target, k) == pytest.approx(100.0 * theirs.item(), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_over_batches_accuracy_and_calibration_are_the_same(seed: int) -> None:
    _, logits, target = drawn(seed)
    pairs = [(TopKAccuracy(2), MulticlassAccuracy(CLASSES, average="micro", top_k=2), 100.0)]
    pairs += [(ExpectedCalibrationError(15), MulticlassCalibrationError(CLASSES, n_bins=15), 1.0)]
    for ours, theirs, unit in pairs:
        for probs, labels in zip(logits.softmax(dim=1).split(64), target.split(64), strict=True):
            ours.update(probs, labels)
            theirs.update(probs, labels)
        assert ours.compute() == pytest.approx(unit * theirs.compute().item(), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_superclass_accuracy_is_its_accuracy_of_the_groups(seed: int) -> None:
    _, logits, target = drawn(seed)
    groups = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    theirs = multiclass_accuracy(groups[logits.argmax(dim=1)], groups[target], 3, average="micro")
    assert superclass_accuracy(logits, target, groups) == pytest.approx(100.0 * theirs.item(), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_is_the_same_below_a_confidence_of_1(bins: int, seed: int) -> None:
    _, logits, target = drawn(seed)
    probs = logits.softmax(dim=1)
    theirs = multiclass_calibration_error(probs, target, CLASSES, n_bins=bins)
    assert expected_calibration_error(probs, target, bins) == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_negative_log_likelihood_is_the_log_of_its_perplexity(seed: int) -> None:
    _, logits, target = drawn(seed)
    theirs = perplexity(logits.unsqueeze(0), target.unsqueeze(0)).log()
    assert negative_log_likelihood(logits, target) == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mean_sample_margin_of_probabilities_is_1_less_its_hinge_loss(seed: int) -> None:
    _, logits, target = drawn(seed)
    probs = logits.softmax(dim=1)
    assert sample_margin(probs, target).mean().item() == pytest.approx(1.0 - multiclass_hinge_loss(probs, target, CLASSES).item(), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_class_margin_is_the_angle_of_its_greatest_cosine(seed: int) -> None:
    prototypes = torch.randn(CLASSES, WIDTH, generator=drawn(seed)[0], dtype=torch.float64)
    cosines = pairwise_cosine_similarity(prototypes).fill_diagonal_(-1.0)
    assert class_margin(prototypes) == pytest.approx(math.degrees(cosines.max().acos().item()), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_retrieval_is_its_mean_average_precision_and_hit_rate_of_the_pairs_that_are_left(seed: int) -> None:
    generator = drawn(seed)[0]
    query, gallery = (torch.randn(n, WIDTH, generator=generator, dtype=torch.float64) for n in (20, 60))
    query_ids, gallery_ids = (torch.randint(6, (n,), generator=generator) for n in (20, 60))
    query_cameras, gallery_cameras = (torch.randint(3, (n,), generator=generator) for n in (20, 60))
    ours = retrieval(
        query,
        gallery,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        ranks=(1, 5),
    )
    matches = query_ids.unsqueeze(1) == gallery_ids
    left = ~(matches & (query_cameras.unsqueeze(1) == gallery_cameras))
    # Shifted above 0: a match with a score of 0 or less is none to torchmetrics.
    scores = 2.0 + pairwise_cosine_similarity(query, gallery)
    places = torch.arange(20).unsqueeze(1).expand_as(left)
    theirs = []
    for metric in (RetrievalMAP("skip"), RetrievalHitRate("skip", top_k=1), RetrievalHitRate("skip", top_k=5)):
        metric.update(scores[left], matches[left], indexes=places[left])
        theirs.append(100.0 * metric.compute().item())
    assert [ours.mean_average_precision, ours.rank[1], ours.rank[5]] == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("impostors", [1, 3, 30, 150])
def test_tar_at_far_is_its_sensitivity_at_the_specificity_that_is_left(impostors: int, seed: int) -> None:
    generator = drawn(seed)[0]
    genuine, impostor = (torch.rand(n, generator=generator, dtype=torch.float64) for n in (200, 300))
    scores, same = torch.cat([genuine**0.5, impostor]), torch.arange(500) < 200
    # Half an impostor's room, as 1 - FAR is rounded.
    sensitivity, _ = binary_sensitivity_at_specificity(scores, same.long(), min_specificity=1.0 - (impostors + 0.5) / 300)
    assert tar_at_far(genuine**0.5, impostor, impostors / 300).tar == pytest.approx(100.0 * sensitivity.item(), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_equal_error_rate_is_the_same_to_within_one_pair(seed: int) -> None:
    generator = drawn(seed)[0]
    embeddings = torch.randn(40, WIDTH, generator=generator, dtype=torch.float64)
    pairs = torch.combinations(torch.arange(40))
    cosines = pairwise_cosine_similarity(embeddings)[pairs[:, 0], pairs[:, 1]]
    same = torch.rand(len(pairs), generator=generator) < (0.5 + 0.4 * cosines)
    ours = verification(embeddings, pairs, same, far=0.1)
    # Theirs is the mean of the two errors where they are nearest to each other, ours the greater of them where that is least.
    one_pair = 1.0 / min(ours.genuine, ours.impostors)
    assert ours.equal_error_rate == pytest.approx(binary_eer((cosines + 1.0) / 2.0, same.long()).item(), abs=one_pair)


# --- By hand, where torchmetrics has another number


def test_a_confidence_of_1_shares_its_bin_with_those_just_below() -> None:
    # Confidences 1 (wrong) and 0.95 (right) in the bin from 0.9 on: |(1 + 0.95) / 2 - 1 / 2|. In a bin each they would not make up
    # for one another: (1 + 0.05) / 2.
    probs = torch.tensor([[1.0, 0.0], [0.95, 0.05]], dtype=torch.float64)
    assert expected_calibration_error(probs, torch.tensor([1, 0]), bins=10) == pytest.approx(0.475)


def test_of_fifty_classes_that_tie_for_the_best_the_first_five_are_the_best_five() -> None:
    # torch.topk, which torchmetrics takes, promises no order among equals and keeps none.
    even = (torch.arange(100) % 2 == 0).float().expand(100, 100)
    assert top_k_accuracy(even, torch.arange(100), k=5) == 5.0
    assert [top_k_accuracy(even[:1], torch.tensor([j]), k=5) for j in (0, 2, 8, 10, 1)] == [100.0, 100.0, 100.0, 0.0, 0.0]


def test_sample_margins_of_cosines_are_taken_as_they_are_and_beyond_1() -> None:
    cosines = torch.tensor([[0.9, -0.6], [0.2, 0.7]], dtype=torch.float64)
    torch.testing.assert_close(sample_margin(cosines, torch.tensor([0, 0])), torch.tensor([1.5, -0.5], dtype=torch.float64))


def test_a_match_at_more_than_90_degrees_is_a_match() -> None:
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[-0.1, 1.0], [-0.5, -1.0]])
    found = retrieval(query, gallery, query_ids=torch.tensor([7]), gallery_ids=torch.tensor([7, 3]), ranks=(1,))
    assert (found.mean_average_precision, found.rank[1]) == (100.0, 100.0)


def test_scores_that_a_sigmoid_would_round_to_1_are_told_apart() -> None:
    genuine, impostor = torch.tensor([17.4, 17.6, 18.0]), torch.tensor([17.5, 17.2, 3.0])
    point = tar_at_far(genuine, impostor, far=1 / 3)
    assert (point.tar, point.far) == (100.0, 1 / 3)
    assert point.threshold == pytest.approx(17.2)
