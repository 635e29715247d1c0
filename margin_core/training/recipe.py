"""How a network is trained, whatever the loss, as a value that is checked and written down.

What its names stand for is built elsewhere: the optimiser in `optimizer`, perturbed weights in `sharpness`, pictures in `augmentation`,
number formats in `forward`, several processes' sums in `processes`; `step` puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, get_args

from margin_core.knobs import Schedule

OptimizerName = Literal["sgd", "adamw"]
LrSchedule = Literal["cosine", "constant", "step"]
Sharpness = Literal["none", "sam", "asam"]
Augment = Literal["none", "crop_flip", "crop_flip_rotate"]
Precision = Literal["float32", "tf32", "bfloat16", "float16"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
LR_SCHEDULES: tuple[LrSchedule, ...] = get_args(LrSchedule)
SHARPNESS: tuple[Sharpness, ...] = get_args(Sharpness)
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Mixup asks a loss for the value at a label of which each class has a share, and gives it the mean of the values at two labels instead.
# The two are the same only where the loss is linear in the label, as cross-entropy is.
LINEAR_IN_THE_LABEL = ("ce", "norm_face")
# The first recipes had no other keys, and the ids of their cells are to stay.
_ALWAYS_WRITTEN = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "momentum", "lr_schedule", "clip_norm")
_FLOATS = ("lr", "weight_decay", "momentum", "clip_norm", "lr_factor", "warm_up", "rho", "eta", "ema", "mixup")

Plain = int | float | str | list[float] | dict[str, Any] | None


@dataclass(frozen=True)
class Recipe:
    """The part of a cell that is not the question: fixed by the study, or tuned as a nuisance.

    A *place* in training is a whole number of epochs, below ``epochs``, or a share of the training's steps, above 0 and below 1.

    Args:
        epochs: Passes over the training examples, at least 1.
        batch_size: Examples per step, at least 1; the last batch of an epoch may be smaller.
        optimizer: ``sgd`` (with momentum) or ``adamw`` (betas 0.9 and 0.999).
        lr: Greatest learning rate, > 0: that of the first step, or of the first after ``warm_up``. Or a path of it: a `Schedule` of that
            kind, which says for each share of the steps what ``lr_schedule`` and ``warm_up`` take their part of.
        weight_decay: L2 penalty of ``sgd``, decoupled decay of ``adamw``; >= 0. A loss's own parameters are never decayed.
        momentum: Of ``sgd``, in [0, 1); ``adamw`` does not read it.
        lr_schedule: ``cosine`` (to 0 at the end, per step), ``constant`` or ``step``.
        clip_norm: Greatest gradient norm, > 0, or None for no clipping.
        lr_steps: Rising places at which ``step`` multiplies the learning rate by ``lr_factor``.
        lr_factor: In (0, 1); the other schedules do not read it.
        warm_up: Place up to which the learning rate rises in proportion to the steps made, from 0; or 0. A cosine begins there.
        sharpness: ``sam`` or ``asam`` take the gradient at the worst weights near the present ones, which costs a second pass; or ``none``.
        rho: How near, > 0: the papers take 0.05 on CIFAR-10 with ``sam``, and 0.5 with ``asam``. None without them.
        eta: What ``asam`` adds to the size of each weight, >= 0; the others do not read it.
        ema: Decay per step, in (0, 1), of the moving average of the weights that is evaluated and kept in their place; or None.
        mixup: Both parameters of the beta distribution that pairs of images and labels are mixed by, > 0; or None.
        augment: ``none``, ``crop_flip`` (random crop with 4 pixels of padding, horizontal flip) or ``crop_flip_rotate`` (and by up to
            20 degrees).
        precision: ``float32``; ``tf32`` for a GPU's matrix products, without one the same; or ``bfloat16`` or ``float16``, in which the
            backbone then runs (autocast) while weights, head and loss stay in float32. In ``float32`` torch lets a GPU's convolutions
            use TF32 too.
        accumulate: Parts, at most half of ``batch_size``, in which the examples of a step go through the network, one part after another.
        channels_last: Whether images and filters lie in memory with the channels last.
        compile: Whether the backbone is compiled by ``torch.compile``.
        processes: Processes that share the examples of each step, as many as leave each of their parts two examples.

    Raises:
        ValueError: Naming the argument, the value and what is allowed.
    """

    epochs: int
    batch_size: int = 128
    optimizer: OptimizerName = "sgd"
    lr: float | Schedule = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9
    lr_schedule: LrSchedule = "cosine"
    clip_norm: float | None = 5.0
    lr_steps: Sequence[float] = ()
    lr_factor: float = 0.1
    warm_up: float = 0.0
    sharpness: Sharpness = "none"
    rho: float | None = None
    eta: float = 0.01
    ema: float | None = None
    mixup: float | None = None
    augment: Augment = "none"
    precision: Precision = "float32"
    accumulate: int = 1
    channels_last: bool = False
    compile: bool = False
    processes: int = 1

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, _whole(self.epochs), "a whole number >= 1")
        _require("batch_size", self.batch_size, _whole(self.batch_size), "a whole number >= 1")
        _require("optimizer", self.optimizer, self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        rates = self.lr.values if isinstance(self.lr, Schedule) and self.lr.kind == "path" else (self.lr,)
        _require("lr", self.lr, all(_positive(rate) for rate in rates), "> 0")
        _require("weight_decay", self.weight_decay, _number(self.weight_decay) and self.weight_decay >= 0.0, ">= 0")
        _require("momentum", self.momentum, _number(self.momentum) and 0.0 <= self.momentum < 1.0, "in [0, 1)")
        _require("lr_schedule", self.lr_schedule, self.lr_schedule in LR_SCHEDULES, f"one of {', '.join(LR_SCHEDULES)}")
        _require("clip_norm", self.clip_norm, _positive_or_none(self.clip_norm), "> 0, or None")
        self._check_places()
        self._check_sharpness()
        averages = self.ema is None or (_number(self.ema) and 0.0 < self.ema < 1.0)
        _require("ema", self.ema, averages, "in (0, 1), or None")
        _require("mixup", self.mixup, _positive_or_none(self.mixup), "> 0, or None")
        _require("augment", self.augment, self.augment in AUGMENTS, f"one of {', '.join(AUGMENTS)}")
        _require("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        # A part of one example has no variance for batch norm to divide by.
        parts = _whole(self.accumulate) and (self.accumulate == 1 or 2 * self.accumulate <= self.batch_size)
        _require("accumulate", self.accumulate, parts, f"1, or a whole number up to half of batch_size ({self.batch_size})")
        most = self.batch_size // (2 * self.accumulate)
        shared = _whole(self.processes) and (self.processes == 1 or self.processes <= most)
        parts_of = f"({self.batch_size})" if self.accumulate == 1 else f"({self.batch_size}) over accumulate ({self.accumulate})"
        _require("processes", self.processes, shared, f"1, or a whole number up to half of batch_size {parts_of}")
        for name, value in (("channels_last", self.channels_last), ("compile", self.compile)):
            _require(name, value, isinstance(value, bool), "true or false")

    def _check_places(self) -> None:
        allowed = "a whole number of epochs below epochs, or a share of the steps above 0 and below 1"
        _require("warm_up", self.warm_up, (_number(self.warm_up) and self.warm_up == 0.0) or self._is_place(self.warm_up), f"0, {allowed}")
        steps = self.lr_steps
        _require("lr_steps", steps, isinstance(steps, (list, tuple)), "a list of places in training")
        object.__setattr__(self, "lr_steps", tuple(steps))
        for place in steps:
            _require("lr_steps: each", place, self._is_place(place), allowed)
        shares = [self.share(place) for place in steps]
        rising = all(earlier < later for earlier, later in pairwise(shares))
        _require("lr_steps", list(steps), rising, "places that rise")
        wanted = self.lr_schedule == "step"
        _require("lr_steps", list(steps), bool(steps) == wanted, f"{'given' if wanted else 'empty'} with lr_schedule {self.lr_schedule}")
        _require("lr_factor", self.lr_factor, _number(self.lr_factor) and 0.0 < self.lr_factor < 1.0, "in (0, 1)")

    def _check_sharpness(self) -> None:
        _require("sharpness", self.sharpness, self.sharpness in SHARPNESS, f"one of {', '.join(SHARPNESS)}")
        if self.sharpness == "none":
            _require("rho", self.rho, self.rho is None, "left out with sharpness none")
        else:
            _require("rho", self.rho, self.rho is not None and _positive_or_none(self.rho), f"> 0 with sharpness {self.sharpness}")
        _require("eta", self.eta, _number(self.eta) and self.eta >= 0.0, ">= 0")

    def _is_place(self, value: float) -> bool:
        return _number(value) and (0.0 < value < 1.0 or (1.0 <= value < self.epochs and value == int(value)))

    def share(self, place: float) -> float:
        """The share (0 to 1) of the training's steps at which a place stands."""
        return place if place < 1.0 else place / self.epochs

    def learning_rate(self, progress: float) -> float:
        """The learning rate after a share ``progress`` (0 to 1) of the training's steps.

        Example:
            >>> [Recipe(epochs=1, lr=0.2).learning_rate(progress) for progress in (0.0, 0.5, 1.0)]
            [0.2, 0.1, 0.0]
            >>> drops = Recipe(epochs=200, lr=1.0, lr_schedule="step", lr_steps=[160, 180], lr_factor=0.01, warm_up=5)
            >>> [round(drops.learning_rate(epoch / 200), 6) for epoch in (0, 1, 5, 159, 160, 180)]
            [0.0, 0.2, 1.0, 1.0, 0.01, 0.0001]
        """
        start, lr = self.share(self.warm_up), self.lr.value(progress) if isinstance(self.lr, Schedule) else self.lr
        if progress < start:
            return lr * progress / start
        if self.lr_schedule == "constant":
            return lr
        if self.lr_schedule == "step":
            return lr * self.lr_factor ** sum(progress >= self.share(place) for place in self.lr_steps)
        return lr * (1.0 + math.cos(math.pi * (progress - start) / (1.0 - start))) / 2.0

    def check_for(self, family: str, regularizers: Sequence[str]) -> None:
        """Check that a cell of this recipe may have the family and the regularisers.

        Raises:
            ValueError: With mixup, where a loss is not linear in the label: the value for a mixed image would be that of no label.
        """
        if self.mixup is None:
            return
        if family not in LINEAR_IN_THE_LABEL:
            raise ValueError(f"with mixup the family must be one of {', '.join(LINEAR_IN_THE_LABEL)}, linear in the label, got {family!r}")
        if "sample_margin" in regularizers:
            raise ValueError("with mixup there can be no sample_margin, for a mixed image has no one label to keep a margin to")

    def to_dict(self) -> dict[str, Plain]:
        """The same as plain JSON data; of the keys that came later, those that have their default are left out."""
        plain: dict[str, Plain] = {}
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _ALWAYS_WRITTEN or value != field.default:
                if isinstance(value, tuple):
                    value = [float(place) for place in value]
                elif isinstance(value, Schedule):
                    value = value.to_dict()
                elif name in _FLOATS and value is not None:
                    value = float(value)
                plain[name] = value
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Recipe:
        """The recipe that `to_dict` wrote; raises `ValueError` on an unknown or missing key."""
        known = [field.name for field in fields(cls)]
        for key in data:
            _require("recipe key", key, key in known, f"one of {', '.join(known)}")
        if "epochs" not in data:
            raise ValueError("recipe: epochs is missing")
        lr = data.get("lr")
        if isinstance(lr, Mapping):
            data = {**data, "lr": Schedule.from_dict(lr)}
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: object) -> bool:
    return _number(value) and value > 0.0  # type: ignore[operator]


def _positive_or_none(value: object) -> bool:
    return value is None or _positive(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
