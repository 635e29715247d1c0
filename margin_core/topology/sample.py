"""The examples that descriptors are taken of: features, classes, and what several descriptors read of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from margin_core.seeds import torch_generator
from margin_core.topology.neighbours import Neighbours, nearest_neighbours


@dataclass(frozen=True, eq=False)
class Sample:
    """N examples of K classes.

    Args:
        features: (N, d).
        labels: The classes 0 to K - 1 (N,), of each at least two examples.
        neighbours: Their graph.
    """

    features: Tensor
    labels: Tensor
    neighbours: Neighbours

    @classmethod
    def of(cls, features: Tensor, labels: Tensor) -> Sample:
        """The sample of all these examples, on the CPU; classes are numbered anew in their order.

        Args:
            features: (N, d), finite.
            labels: Integers (N,), at least two of each that occurs and at least two different ones.

        Raises:
            ValueError: On shapes that do not fit, features that are not finite, or a class with one example.
        """
        if labels.ndim != 1 or len(labels) != len(features):
            raise ValueError(f"labels must be ({len(features)},) to go with features, got {tuple(labels.shape)}")
        features = features.detach().cpu().float()
        classes, numbered, counts = torch.unique(labels.detach().cpu(), return_inverse=True, return_counts=True)
        if len(classes) < 2 or int(counts.min()) < 2:
            raise ValueError(f"labels must have two classes or more with two examples or more each, got counts {counts.tolist()}")
        return cls(features, numbered, nearest_neighbours(features))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def counts(self) -> Tensor:
        """Examples of each class, float64 (K,)."""
        return self.labels.bincount().double()

    @cached_property
    def centres(self) -> Tensor:
        """Class means, float64 (K, d)."""
        sums = torch.zeros(len(self.counts), self.features.shape[1], dtype=torch.float64)
        return sums.index_add_(0, self.labels, self.features.double()) / self.counts.unsqueeze(1)

    @cached_property
    def residuals(self) -> Tensor:
        """What examples differ from their class mean by, float64 (N, d)."""
        return self.features.double() - self.centres[self.labels]

    @cached_property
    def variances(self) -> Tensor:
        """The unbiased variance of each class, summed over dimensions, float64 (K,)."""
        squares = torch.zeros_like(self.counts).index_add_(0, self.labels, self.residuals.square().sum(dim=1))
        return squares / (self.counts - 1.0)

    def half(self, *seed_parts: int | str) -> Sample:
        """A random half of each class, at least two of it, with its neighbours among the half; the seed parts say which."""
        generator = torch_generator(*seed_parts)
        order = torch.rand(len(self), generator=generator).argsort()
        by_class = order[self.labels[order].argsort(stable=True)]
        sizes = [int(n) for n in self.counts]
        kept = torch.cat([members[: max(2, len(members) // 2)] for members in torch.split(by_class, sizes)]).sort().values
        return Sample(self.features[kept], self.labels[kept], self.neighbours.among(kept))
