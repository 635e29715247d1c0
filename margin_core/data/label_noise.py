"""Wrong training labels, on purpose: a dial that a study turns to see how an optimum moves.

Only training labels are ever given to these functions; validation and test labels stay as they are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from margin_core.data.centroids import class_distances
from margin_core.data.dataset import NOISES, Noise


def corrupt_labels(
    labels: Tensor, images: Tensor, *, num_classes: int, share: float, noise: Noise, generator: np.random.Generator
) -> Tensor:
    """Labels of which ``round(share * N)`` are wrong.

    With equal generators what is wrong at a smaller share is wrong in the same way at a larger one, so the levels of a dial differ
    in nothing but the level.

    Args:
        labels: Right int64 classes, (N,); not changed.
        images: The training images as the dataset stores them, (N, C, H, W); read by ``nearest`` only.
        num_classes: K.
        share: Share of wrong labels, in [0, 1).
        noise: ``symmetric`` (uniform over the other classes) or ``nearest`` (the class of the nearest centroid).
        generator: Draws which labels are wrong, and for ``symmetric`` how.
    """
    if noise not in NOISES:
        raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")
    # Drawn for every label whatever the share is, so that the levels of a dial are nested.
    order = torch.from_numpy(generator.permutation(len(labels)))
    offsets = torch.from_numpy(generator.integers(1, num_classes, size=len(labels)))
    wrong = order[: round(share * len(labels))]
    noisy = labels.clone()
    if noise == "symmetric":
        noisy[wrong] = (labels[wrong] + offsets[wrong]) % num_classes
    elif len(wrong) > 0:
        noisy[wrong] = nearest_classes(images, labels, num_classes)[labels[wrong]]
    return noisy


def nearest_classes(images: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """For each class, the other class whose mean image is nearest in Euclidean distance, (K,); every class needs an example."""
    return class_distances(images, labels, num_classes).fill_diagonal_(float("inf")).argmin(dim=1)
