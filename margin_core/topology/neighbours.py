"""The nearest neighbours of every example, found once and shared by all descriptors that read distances.

Exact, by all distances in blocks: with ten thousand examples it takes seconds, and an approximate graph would be one more thing to doubt.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 100
"""How many are kept of each example: a half of the examples still has its thirty nearest among them."""
BLOCK = 128
"""Examples whose distances are held at a time."""


class Neighbours(NamedTuple):
    """The nearest others of each of N examples, the nearest first."""

    distances: Tensor
    """Euclidean, float64 (N, k)."""
    indices: Tensor
    """int64 (N, k)."""

    def among(self, kept: Tensor) -> Neighbours:
        """The neighbours of the examples ``kept``, int64 (M,) in ascending order, among themselves; numbered by their place in it.

        There are as many columns as every row has neighbours left.
        """
        place = torch.full((len(self.indices),), -1, dtype=torch.int64)
        place[kept] = torch.arange(len(kept))
        indices = place[self.indices[kept]]
        here = indices >= 0
        columns = int(here.sum(dim=1).min())
        # A stable sort brings those that are left to the front in the order they were in.
        order = (~here).to(torch.uint8).sort(dim=1, stable=True).indices[:, :columns]
        return Neighbours(self.distances[kept].gather(1, order), indices.gather(1, order))


def nearest_neighbours(features: Tensor, k: int = NEIGHBOURS) -> Neighbours:
    """The ``k`` nearest others of each example, or all others where there are fewer.

    Args:
        features: (N, d), N >= 2.
        k: At least 1.

    Raises:
        ValueError: On another shape, a feature that is not finite, or k < 1.

    Example:
        >>> import torch
        >>> nearest_neighbours(torch.tensor([[0.0], [1.0], [3.0]]), k=1).indices.flatten().tolist()
        [1, 0, 1]
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (N, d) with N >= 2, got {tuple(features.shape)}")
    if not bool(features.isfinite().all()):
        raise ValueError("features must be finite, got infinities or NaN")
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k!r}")
    k = min(k, len(features) - 1)
    found = [_of_block(features, start, k) for start in range(0, len(features), BLOCK)]
    return Neighbours(torch.cat([distances for distances, _ in found]), torch.cat([indices for _, indices in found]))


def _of_block(features: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    block = features[start : start + BLOCK]
    distances = torch.cdist(block, features)
    distances[torch.arange(len(block)), torch.arange(start, start + len(block))] = torch.inf
    indices = distances.topk(k, dim=1, largest=False, sorted=True).indices
    # Matrix products find who is near; how near, which may be a small difference of large numbers, is measured again.
    exact = (features[indices].double() - block.double().unsqueeze(1)).norm(dim=2)
    exact, order = exact.sort(dim=1, stable=True)
    return exact, indices.gather(1, order)
