"""Distances between the classes of a dataset."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from margin_core.data import centroids, load_dataset
from margin_core.data.centroids import class_distances


def test_they_are_the_distances_of_the_mean_images() -> None:
    digits = load_dataset("digits")
    pixels, labels = digits.images.flatten(1).double().numpy(), digits.labels.numpy()
    means = np.stack([pixels[labels == label].mean(axis=0) for label in range(10)])
    expected = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.testing.assert_allclose(class_distances(digits.images, digits.labels, 10).numpy(), expected, atol=1e-10)


def test_for_many_classes_of_photos_a_matrix_product_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits")
    exact = class_distances(digits.images, digits.labels, 10)
    monkeypatch.setattr(centroids, "MATRIX_PRODUCT_FROM", 0)
    torch.testing.assert_close(class_distances(digits.images, digits.labels, 10), exact, atol=1e-5, rtol=1e-10)


def test_examples_without_a_label_are_not_looked_at() -> None:
    images = torch.tensor([[0.0, 0.0], [3.0, 4.0], [torch.inf, torch.nan]])
    assert class_distances(images, torch.tensor([0, 1, -1]), 2).tolist() == [[0.0, 5.0], [5.0, 0.0]]
