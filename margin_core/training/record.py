"""What a trial measures beside its own metrics, as a study asks: on which splits, which metrics, and after which steps.

Nothing here changes what is trained. A record is no part of a cell, and no random number is drawn for it. How a trial comes to its
predictions is left to `trial`, the metrics themselves to `margin_core.metrics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from margin_core import metrics

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Record:
    """What is measured beside the metrics of the validation split after each epoch, which always are.

    Args:
        train: Measure the training split too, with the labels that are trained on.
        test: Measure the test split too. For repeating papers that print it at each epoch; nothing may be chosen by it.
        top_k: ``<split>_top_<k>_accuracy`` for each of these k, each at least 2.
        close_enough: ``<split>_close_enough_<at>`` for each of these distances in probability, each in [0, 1].
        first_steps: Measure after each of so many first steps too.
        every_steps: Measure after every so many steps too, or None.

    Raises:
        ValueError: Naming the argument, the value and what is allowed.

    Example:
        >>> record = Record(first_steps=3, every_steps=100)
        >>> [step for step in range(1, 301) if record.at_step(step)]
        [1, 2, 3, 100, 200, 300]
    """

    train: bool = False
    test: bool = False
    top_k: tuple[int, ...] = ()
    close_enough: tuple[float, ...] = ()
    first_steps: int = 0
    every_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "close_enough"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
        for name, values, allowed in (
            ("top_k", [k for k in self.top_k if type(k) is not int or k < 2], "whole numbers >= 2"),
            ("close_enough", [at for at in self.close_enough if not 0.0 <= at <= 1.0], "in [0, 1]"),
            ("first_steps", [self.first_steps] if self.first_steps < 0 else [], ">= 0"),
            ("every_steps", [self.every_steps] if self.every_steps is not None and self.every_steps < 1 else [], ">= 1, or None"),
        ):
            if values:
                raise ValueError(f"{name} must be {allowed}, got {values[0]!r}")

    def check(self, num_classes: int) -> None:
        """Raise `ValueError` where ``num_classes`` are too few for a k of ``top_k``."""
        for k in self.top_k:
            if k > num_classes:
                raise ValueError(f"top_k must be at most {num_classes}, the number of classes, got {k}")

    def at_step(self, step: int) -> bool:
        """Whether to measure after the training's step number ``step``, from 1."""
        return step <= self.first_steps or (self.every_steps is not None and step % self.every_steps == 0)

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that are measured beside the validation split."""
        return (*(("train",) if self.train else ()), *(("test",) if self.test else ()))

    def names(self, split: Split) -> list[str]:
        """The names of what `measure` gives for ``split``."""
        tops = [f"{split}_top_{k}_accuracy" for k in self.top_k]
        return [*tops, *(f"{split}_close_enough_{at:g}" for at in self.close_enough)]

    def measure(self, split: Split, logits: Tensor, target: Tensor) -> dict[str, float]:
        """The metrics that are asked for, of logits (N, K) and classes (N,); NaN where a logit is not finite."""
        names = self.names(split)
        if not names:
            return {}
        if not bool(logits.isfinite().all()):
            return dict.fromkeys(names, math.nan)
        probs = logits.softmax(dim=1)
        tops = [metrics.top_k_accuracy(logits, target, k) for k in self.top_k]
        return dict(zip(names, [*tops, *(metrics.close_enough_accuracy(probs, target, at) for at in self.close_enough)], strict=True))
