"""Metrics over batches: sums that add up, in memory that does not grow with the number of examples.

What is summed, and what value is read from the sums, stands in the metric's own file beside its function: the function is the
streaming form after one batch, so the two cannot drift apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


class Streaming(ABC, Generic[Value]):
    """What every streaming metric has: sums, their merging, and a value.

    A subclass adds ``update``, which takes a batch with the arguments of the metric's function, and adds to the sums. ``update``
    never looks at the values of a tensor on a GPU, which would wait for the device: what is wrong with values there is counted
    and told by ``compute``. A batch without examples adds nothing.

    Sums are int64 or float64 tensors on the device of the first batch. Counts are the same in whatever order batches come, other
    sums to rounding. Those of several processes are merged by `merge`.

    Args:
        **settings: What two of a kind must share to be merged.
    """

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.sums: dict[str, Tensor] = {}

    @abstractmethod
    def compute(self) -> Value:
        """The metric of all examples so far; raises `ValueError` where there are none."""

    def add(self, **sums: Tensor) -> None:
        """Add a batch's sums to those of all before."""
        for name, value in sums.items():
            self.sums[name] = self.sums[name] + value.to(self.sums[name].device) if name in self.sums else value

    def merge(self, other: Self) -> None:
        """Add what another has summed, which is left as it is.

        Raises:
            ValueError: Where the other is of another kind, or has other settings.
        """
        if type(other) is not type(self) or other.settings != self.settings:
            raise ValueError(f"other must be {self!r} to be merged with it, got {other!r}")
        self.add(**other.sums)

    def reset(self) -> None:
        """Forget all examples."""
        self.sums = {}

    @property
    def examples(self) -> int:
        """How many examples there were."""
        return int(self.sums["examples"]) if self.sums else 0

    def require_examples(self) -> int:
        """How many examples there were, or `ValueError` where there were none."""
        if self.examples == 0:
            raise ValueError(f"{self!r} needs at least one example, got none")
        return self.examples

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.settings.items())})"


class Percentage(Streaming[float]):
    """The share of examples that are hits, in percent."""

    def count(self, hits: Tensor) -> None:
        """Add a batch of hits and misses, bool (N,)."""
        self.add(hits=hits.sum(), examples=length(hits))

    def compute(self) -> float:
        """Percent, 0 to 100; raises `ValueError` where there are no examples."""
        examples = self.require_examples()
        return 100.0 * int(self.sums["hits"]) / examples


class Mean(Streaming[float]):
    """The mean of a number of each example, in double precision."""

    def average(self, values: Tensor) -> None:
        """Add a batch of numbers, (N,)."""
        self.add(total=values.sum(dtype=torch.float64), examples=length(values))

    def compute(self) -> float:
        """The mean; raises `ValueError` where there are no examples."""
        examples = self.require_examples()
        return float(self.sums["total"]) / examples


def length(batch: Tensor) -> Tensor:
    """The number of rows, as a sum to add up."""
    return torch.full((), len(batch), dtype=torch.int64, device=batch.device)


def check_examples(name: str, values: Tensor, target: Tensor, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """``values`` detached and ``target`` as int64, or `ValueError` where they do not go together.

    Args:
        name: What the metric calls ``values``.
        values: (N, K), or (N, d) where the number of ``classes`` is given.
        target: Integer classes of any width, (N,). On the CPU a class out of range is refused; elsewhere that is left to the device's
            own check, as looking would wait for the device.
        classes: K where ``values`` has another width.
    """
    if values.ndim != 2 or (classes is None and values.shape[1] < 2):
        raise ValueError(f"{name} must be (N, {'K) with K >= 2' if classes is None else 'd)'}, got {tuple(values.shape)}")
    if target.shape != values.shape[:1]:
        raise ValueError(f"target must be ({values.shape[0]},) to go with {name}, got {tuple(target.shape)}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(f"target must hold integer classes, got {target.dtype}")
    classes = classes or values.shape[1]
    target = target.long()
    if target.is_cpu and not bool(((target >= 0) & (target < classes)).all()):
        raise ValueError(f"target must be in [0, {classes}), got values from {int(target.min())} to {int(target.max())}")
    return values.detach(), target
