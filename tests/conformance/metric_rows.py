"""The metrics that the conformance suite holds: for each its arguments, and a reference that shares no code with it.

A new metric is one row of `METRICS`. The references are written from the definitions, with NumPy, SciPy, pandas and scikit-learn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, roc_curve
from torch import Tensor

from margin_core import metrics
from margin_core.metrics import Streaming

EXAMPLES, CLASSES, WIDTH = 96, 5, 7
GROUPS = torch.tensor([0, 0, 1, 2, 1])
Arguments = dict[str, Tensor]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Args:
        name: For the test's id.
        function: What is tested, called with what ``draw`` gives.
        reference: The same of NumPy arrays, with its floating-point arguments in double precision.
        draw: Arguments, floating-point ones in float64.
        streaming: Its form over batches, where it has one; then all arguments go along the batch.
    """

    name: str
    function: Callable[..., object]
    reference: Callable[..., object]
    draw: Callable[[np.random.Generator], Arguments]
    streaming: Callable[[], Streaming[object]] | None = None


# --- Arguments


def labels(generator: np.random.Generator) -> Tensor:
    # Every class occurs in every half.
    return torch.from_numpy(generator.permutation(np.arange(EXAMPLES) % CLASSES))


def logits_and_target(generator: np.random.Generator, name: str = "logits") -> Arguments:
    return {name: torch.from_numpy(3.0 * generator.normal(size=(EXAMPLES, CLASSES))), "target": labels(generator)}


def probs_and_target(generator: np.random.Generator) -> Arguments:
    drawn = logits_and_target(generator)
    return {"probs": drawn["logits"].softmax(dim=1), "target": drawn["target"]}


def cosines_and_target(generator: np.random.Generator) -> Arguments:
    return {"cosines": torch.from_numpy(generator.uniform(-1.0, 1.0, size=(EXAMPLES, CLASSES))), "target": labels(generator)}


def prototypes(generator: np.random.Generator) -> Arguments:
    return {"prototypes": torch.from_numpy(generator.normal(size=(CLASSES, WIDTH)))}


def features_and_target(generator: np.random.Generator) -> Arguments:
    target = labels(generator)
    centres = generator.normal(size=(CLASSES, WIDTH))
    return {"features": torch.from_numpy(3.0 + centres[target.numpy()] + 0.5 * generator.normal(size=(EXAMPLES, WIDTH))), "target": target}


def last_layer(generator: np.random.Generator) -> Arguments:
    return {**features_and_target(generator), **prototypes(generator), "bias": torch.from_numpy(generator.normal(size=CLASSES))}


def embeddings_of_people(generator: np.random.Generator) -> Arguments:
    def several(prefix: str, count: int) -> Arguments:
        ids, cameras = generator.integers(0, 6, count), generator.integers(0, 3, count)
        names = (prefix, f"{prefix}_ids", f"{prefix}_cameras")
        return dict(zip(names, map(torch.from_numpy, (generator.normal(size=(count, WIDTH)), ids, cameras)), strict=True))

    return several("query", 20) | several("gallery", 60)


def pairs_of_faces(generator: np.random.Generator) -> Arguments:
    pairs = torch.from_numpy(generator.permutation(list(itertools.combinations(range(40), 2)))[:300])
    same = torch.from_numpy(generator.random(300) < 0.4)
    return {"embeddings": torch.from_numpy(generator.normal(size=(40, WIDTH))), "pairs": pairs, "same": same}


def probabilities_of_the_target(generator: np.random.Generator) -> Arguments:
    return {"p_y": torch.from_numpy(generator.uniform(0.05, 0.95, size=EXAMPLES))}


# --- References


def top_k(scores: np.ndarray, target: np.ndarray, k: int) -> float:
    ranked = [sorted(range(CLASSES), key=lambda j, row=row: (-row[j], j))[:k] for row in scores]
    return 100.0 * np.mean([label in best for best, label in zip(ranked, target, strict=True)])


def superclass(scores: np.ndarray, target: np.ndarray) -> float:
    return 100.0 * np.mean([GROUPS[int(row.argmax())] == GROUPS[int(label)] for row, label in zip(scores, target, strict=True)])


def close_enough(probs: np.ndarray, target: np.ndarray) -> float:
    return 100.0 * np.mean([row[label] >= row.max() - 0.1 for row, label in zip(probs, target, strict=True)])


def calibration_error(probs: np.ndarray, target: np.ndarray) -> float:
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == target
    edges = np.arange(16) / 15
    counts, _ = np.histogram(confidence, edges)
    sure, _ = np.histogram(confidence, edges, weights=confidence)
    hits, _ = np.histogram(confidence, edges, weights=right.astype(float))
    filled = counts > 0
    return float(np.sum(counts[filled] / counts.sum() * np.abs(sure[filled] / counts[filled] - hits[filled] / counts[filled])))


def confidence_counts(probs: np.ndarray, target: np.ndarray) -> np.ndarray:
    own = probs[np.arange(len(target)), target]
    return pd.cut(pd.Series(own), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], include_lowest=True).value_counts(sort=False).to_numpy()


def mean_negative_log_likelihood(logits: np.ndarray, target: np.ndarray) -> float:
    return -float(np.mean(log_softmax(logits, axis=1)[np.arange(len(target)), target]))


def least_angle(prototypes: np.ndarray) -> float:
    def angle(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.degrees(np.arccos(u @ v / np.sqrt(u @ u) / np.sqrt(v @ v))))

    return min(itertools.starmap(angle, itertools.combinations(prototypes, 2)))


def margins(cosines: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.array([row[label] - np.delete(row, label).max() for row, label in zip(cosines, target, strict=True)])


def class_moments(features: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    means = np.array([features[target == c].mean(axis=0) for c in range(CLASSES)])
    within = sum(np.outer(row - means[c], row - means[c]) for row, c in zip(features, target, strict=True)) / len(target)
    return np.bincount(target), means, within


def agreement(features: np.ndarray, centres: np.ndarray, prototypes: np.ndarray, bias: np.ndarray) -> float:
    nearest = cdist(features, centres).argmin(axis=1)
    return 100.0 * np.mean(nearest == (features @ prototypes.T + bias).argmax(axis=1))


def collapse(features: np.ndarray, target: np.ndarray, prototypes: np.ndarray, bias: np.ndarray) -> tuple[float, ...]:
    _, means, within = class_moments(features, target)
    centred = means - means.mean(axis=0)
    between = sum(np.outer(row, row) for row in centred) / CLASSES
    lengths = np.linalg.norm(centred, axis=1)
    angles = [abs(u @ v / np.linalg.norm(u) / np.linalg.norm(v) + 1 / (CLASSES - 1)) for u, v in itertools.combinations(centred, 2)]
    return (
        np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / CLASSES,
        lengths.std() / lengths.mean(),
        np.mean(angles),
        np.linalg.norm(prototypes / np.linalg.norm(prototypes) - centred / np.linalg.norm(centred)) ** 2,
        agreement(features, means, prototypes, bias),
    )


def mean_average_precision(query: np.ndarray, gallery: np.ndarray, metric: str, **people: np.ndarray) -> tuple[float, ...]:
    distances = cdist(query, gallery, metric)
    precisions, firsts = [], []
    for row, identity, camera in zip(distances, people["query_ids"], people["query_cameras"], strict=True):
        matches = people["gallery_ids"] == identity
        left = ~(matches & (people["gallery_cameras"] == camera))
        if matches[left].any():
            precisions.append(average_precision_score(matches[left], -row[left]))
            firsts.append(int(matches[left][np.argsort(row[left])].argmax()))
    ranks = [100.0 * np.mean(np.array(firsts) < k) for k in (1, 5, 10)]
    return (100.0 * np.mean(precisions), *ranks, len(precisions), len(query) - len(precisions))


def accepted_pairs(embeddings: np.ndarray, pairs: np.ndarray, same: np.ndarray) -> tuple[float, ...]:
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = (units[pairs[:, 0]] * units[pairs[:, 1]]).sum(axis=1)
    false_accepts, true_accepts, _ = roc_curve(same, scores, drop_intermediate=False)
    points = []
    for far in (0.01, 0.1):
        best = np.flatnonzero(false_accepts <= far)[-1]
        # The greatest score that is not accepted as an impostor.
        points += [far, false_accepts[best], 100.0 * true_accepts[best], np.sort(scores[~same])[::-1][int(far * np.sum(~same))]]
    equal = min(np.maximum(false_accepts, 1.0 - true_accepts))
    return (*points, equal, int(same.sum()), int((~same).sum()))


def pull_of_gds(p_y: np.ndarray) -> np.ndarray:
    q = 1.0 - p_y + (1.0 - p_y) / 3
    alpha = q**1.5 / (1.0 + q**1.5)
    return np.abs(p_y * (1.0 - alpha * 1.5) - 1.0)


# --- The list


def moments(features: Tensor, target: Tensor) -> metrics.Moments:
    metric = metrics.ClassMoments(CLASSES)
    metric.update(features, target)
    return metric.compute()


CENTRES, LAST_LAYER, BIAS = (np.random.default_rng(seed).normal(size=shape) for seed, shape in enumerate([(5, 7), (5, 7), 5]))


def nearest_centre() -> metrics.NearestCentreAgreement:
    return metrics.NearestCentreAgreement(*map(torch.from_numpy, (CENTRES, LAST_LAYER, BIAS)))


def nearest_centre_of(features: Tensor) -> float:
    metric = nearest_centre()
    metric.update(features)
    return metric.compute()


METRICS = [
    Metric("top-1", metrics.top_k_accuracy, partial(top_k, k=1), partial(logits_and_target, name="scores"), metrics.TopKAccuracy),
    Metric(
        "top-3",
        partial(metrics.top_k_accuracy, k=3),
        partial(top_k, k=3),
        partial(logits_and_target, name="scores"),
        partial(metrics.TopKAccuracy, k=3),
    ),
    Metric(
        "close-enough",
        partial(metrics.close_enough_accuracy, at=0.1),
        close_enough,
        probs_and_target,
        partial(metrics.CloseEnoughAccuracy, at=0.1),
    ),
    Metric(
        "superclass",
        partial(metrics.superclass_accuracy, groups=GROUPS),
        superclass,
        partial(logits_and_target, name="scores"),
        partial(metrics.SuperclassAccuracy, groups=GROUPS),
    ),
    Metric("nll", metrics.negative_log_likelihood, mean_negative_log_likelihood, logits_and_target, metrics.NegativeLogLikelihood),
    Metric("ece", metrics.expected_calibration_error, calibration_error, probs_and_target, metrics.ExpectedCalibrationError),
    Metric("confidence", metrics.confidence_histogram, confidence_counts, probs_and_target, metrics.ConfidenceHistogram),
    Metric("class-margin", metrics.class_margin, least_angle, prototypes),
    Metric("sample-margin", metrics.sample_margin, margins, cosines_and_target),
    Metric(
        "mean-sample-margin",
        lambda cosines, target: metrics.sample_margin(cosines, target).double().mean(),
        lambda cosines, target: margins(cosines, target).mean(),
        cosines_and_target,
        metrics.MeanSampleMargin,
    ),
    Metric("neural-collapse", metrics.neural_collapse, collapse, last_layer),
    Metric("class-moments", moments, class_moments, features_and_target, partial(metrics.ClassMoments, CLASSES)),
    Metric(
        "nearest-centre",
        nearest_centre_of,
        partial(agreement, centres=CENTRES, prototypes=LAST_LAYER, bias=BIAS),
        lambda generator: {"features": features_and_target(generator)["features"]},
        nearest_centre,
    ),
    Metric("retrieval-cosine", metrics.retrieval, partial(mean_average_precision, metric="cosine"), embeddings_of_people),
    Metric(
        "retrieval-euclidean",
        partial(metrics.retrieval, distance="euclidean"),
        partial(mean_average_precision, metric="euclidean"),
        embeddings_of_people,
    ),
    Metric("verification", partial(metrics.verification, far=(0.01, 0.1)), accepted_pairs, pairs_of_faces),
    Metric("target-gradient", partial(metrics.target_gradient, "gds", competitors=3, lam=1.5), pull_of_gds, probabilities_of_the_target),
]
