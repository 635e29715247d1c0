"""How a network is trained, whatever the loss: epochs, batches, optimiser, learning rate, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor

OptimizerName = Literal["sgd", "adamw"]
LrSchedule = Literal["cosine", "constant"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
LR_SCHEDULES: tuple[LrSchedule, ...] = get_args(LrSchedule)


@dataclass(frozen=True)
class Recipe:
    """The part of a cell that is not the question: fixed by the study, or tuned as a nuisance.

    Args:
        epochs: Passes over the training examples, at least 1.
        batch_size: Examples per step, at least 1; the last batch of an epoch may be smaller.
        optimizer: ``sgd`` (with momentum) or ``adamw`` (betas 0.9 and 0.999).
        lr: Learning rate at the first step, > 0.
        weight_decay: L2 penalty of ``sgd``, decoupled decay of ``adamw``; >= 0. A loss's own parameters are never decayed.
        momentum: Of ``sgd``, in [0, 1); ``adamw`` does not read it.
        lr_schedule: ``cosine`` (to 0 at the end, per step) or ``constant``.
        clip_norm: Greatest gradient norm, > 0, or None for no clipping.

    Raises:
        ValueError: Naming the argument, the value and what is allowed.
    """

    epochs: int
    batch_size: int = 128
    optimizer: OptimizerName = "sgd"
    lr: float = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9
    lr_schedule: LrSchedule = "cosine"
    clip_norm: float | None = 5.0

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, _whole(self.epochs), "a whole number >= 1")
        _require("batch_size", self.batch_size, _whole(self.batch_size), "a whole number >= 1")
        _require("optimizer", self.optimizer, self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        _require("lr", self.lr, _number(self.lr) and self.lr > 0.0, "> 0")
        _require("weight_decay", self.weight_decay, _number(self.weight_decay) and self.weight_decay >= 0.0, ">= 0")
        _require("momentum", self.momentum, _number(self.momentum) and 0.0 <= self.momentum < 1.0, "in [0, 1)")
        _require("lr_schedule", self.lr_schedule, self.lr_schedule in LR_SCHEDULES, f"one of {', '.join(LR_SCHEDULES)}")
        clips = self.clip_norm is None or (_number(self.clip_norm) and self.clip_norm > 0.0)
        _require("clip_norm", self.clip_norm, clips, "> 0, or None")

    def learning_rate(self, progress: float) -> float:
        """The learning rate after a share ``progress`` (0 to 1) of the training's steps.

        Example:
            >>> [Recipe(epochs=1, lr=0.2).learning_rate(progress) for progress in (0.0, 0.5, 1.0)]
            [0.2, 0.1, 0.0]
        """
        if self.lr_schedule == "constant":
            return self.lr
        return self.lr * (1.0 + math.cos(math.pi * progress)) / 2.0

    def to_dict(self) -> dict[str, int | float | str | None]:
        """The same as plain JSON data."""
        floats = ("lr", "weight_decay", "momentum", "clip_norm")
        return {name: float(value) if name in floats and value is not None else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Recipe:
        """The recipe that `to_dict` wrote; raises `ValueError` on an unknown or missing key."""
        known = [field.name for field in fields(cls)]
        for key in data:
            _require("recipe key", key, key in known, f"one of {', '.join(known)}")
        if "epochs" not in data:
            raise ValueError("recipe: epochs is missing")
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def build_optimizer(recipe: Recipe, network: Iterable[Tensor], loss: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The recipe's optimiser, over the network's parameters and, in a group without weight decay, the loss's own.

    Args:
        recipe: Optimiser, momentum, weight decay; the learning rate is set at each step from `Recipe.learning_rate`.
        network: The network's parameters.
        loss: The loss's own parameters (the scales R1 and R2 of ``two_scale``); there may be none.
    """
    groups: list[dict[str, object]] = [{"params": list(network)}, {"params": list(loss), "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    # The fused kernels are the fastest of torch's three ways also on CPU: 10 % (sgd) to 20 % (adamw) of a small network's step.
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
