"""How far a dataset's classes lie from each other, told by their mean images."""

from __future__ import annotations

import torch
from torch import Tensor

# Products of pixels from which on distances are taken by a matrix product: less exact, to about 1e-7 of the mean images' norm, but seconds
# instead of minutes for hundreds of classes of photos.
MATRIX_PRODUCT_FROM = 10**8


def class_distances(images: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Euclidean distance between the mean images of any two classes.

    Args:
        images: Images, (N, ...).
        labels: int64 classes, (N,); an example with label -1 is not looked at. Every class needs an example.
        num_classes: K.

    Returns:
        Distances in float64, (K, K).
    """
    centroids = torch.stack([images[labels == label].flatten(1).mean(dim=0, dtype=torch.float64) for label in range(num_classes)])
    many = num_classes**2 * centroids.shape[1] > MATRIX_PRODUCT_FROM
    return torch.cdist(centroids, centroids, compute_mode="use_mm_for_euclid_dist" if many else "donot_use_mm_for_euclid_dist")
