"""How many training examples each class has: dials that make all classes small, or some of them rare.

Sizes are computed here and the training examples thinned to them; validation and test examples stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

ImbalanceKind = Literal["long_tailed", "step"]
IMBALANCES: tuple[ImbalanceKind, ...] = get_args(ImbalanceKind)


@dataclass(frozen=True)
class Imbalance:
    """Training classes of unequal size, as in Cao et al., LDAM (NeurIPS 2019).

    Args:
        kind: ``long_tailed`` (sizes fall geometrically from the first class to the last) or ``step`` (the first half of the classes is
            whole, the other small).
        ratio: The size of the largest class over that of the smallest, >= 1.

    Example:
        >>> Imbalance("long_tailed", 100).sizes(5000, 10)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        >>> Imbalance("step", 10).sizes(5000, 4)
        [5000, 5000, 500, 500]
    """

    kind: ImbalanceKind
    ratio: float

    def __post_init__(self) -> None:
        if self.kind not in IMBALANCES:
            raise ValueError(f"imbalance: kind must be one of {', '.join(IMBALANCES)}, got {self.kind!r}")
        number = isinstance(self.ratio, (int, float)) and not isinstance(self.ratio, bool)
        if not number or not 1.0 <= self.ratio < math.inf:
            raise ValueError(f"imbalance: ratio must be a number >= 1, got {self.ratio!r}")

    @property
    def key(self) -> str:
        """What a dataset's name says of it: ``lt100``, ``step10``."""
        return f"{'lt' if self.kind == 'long_tailed' else self.kind}{self.ratio:g}"

    def sizes(self, largest: int, num_classes: int) -> list[int]:
        """The size of each of K >= 2 classes, in the order of the classes, where the largest has ``largest`` examples."""
        if self.kind == "step":
            whole = num_classes // 2
            return [largest] * whole + [int(largest / self.ratio)] * (num_classes - whole)
        return [int(largest / self.ratio ** (label / (num_classes - 1))) for label in range(num_classes)]

    def to_dict(self) -> dict[str, str | float]:
        """The same as plain JSON data."""
        return {"kind": self.kind, "ratio": float(self.ratio)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Imbalance:
        """The imbalance that `to_dict` wrote; raises `ValueError` on an unknown or missing key."""
        names = [field.name for field in fields(cls)]
        if sorted(data) != sorted(names):
            raise ValueError(f"imbalance: its keys must be {', '.join(names)}, got {', '.join(map(str, data)) or 'none'}")
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def class_sizes(labels: Tensor, *, num_classes: int, images_per_class: int | None = None, imbalance: Imbalance | None = None) -> list[int]:
    """How many of the training examples each class keeps.

    The largest class keeps ``images_per_class``, or as many as the rarest class has. So the sizes are exactly the asked for ones whatever
    the dataset's own.

    Args:
        labels: int64 classes of the training examples, (N,).
        num_classes: K.
        images_per_class: The size of the largest class, or None.
        imbalance: How sizes fall, or None where all are equal.

    Raises:
        ValueError: Where a class has fewer examples than asked for, or would be left without one.
    """
    rarest = int(torch.bincount(labels, minlength=num_classes).min())
    largest = rarest if images_per_class is None else images_per_class
    if largest > rarest:
        raise ValueError(f"images_per_class must be at most {rarest}, the number of training examples of the rarest class, got {largest}")
    sizes = [largest] * num_classes if imbalance is None else imbalance.sizes(largest, num_classes)
    if imbalance is not None and 0 in sizes:
        of = "of the rarest class" if images_per_class is None else "per class"
        raise ValueError(f"imbalance.ratio must be at most {largest}, the number of training examples {of}, got {imbalance.ratio:g}")
    return sizes


def thin(labels: Tensor, sizes: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A random choice of ``sizes[c]`` examples of each class c.

    With equal generators what is chosen at smaller sizes is chosen at larger ones too, so the levels of a dial differ in nothing but the
    level.

    Args:
        labels: int64 classes, (N,).
        sizes: Examples to choose of each class; no more than there are.
        generator: Draws the examples.

    Returns:
        A boolean mask, (N,).
    """
    order = torch.from_numpy(generator.permutation(len(labels)))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label, size in enumerate(sizes):
        chosen[order[labels[order] == label][:size]] = True
    return chosen
