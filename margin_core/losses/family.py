"""What a loss family is (`Family`) and the thin module over its pure function (`Loss`).

A family's own file holds its formula and one `Family` record; this module holds what is the same for all of them: checking
knobs, changing them during training, and reducing per-sample losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn

from margin_core.knobs import Knob, Option
from margin_core.losses.energies import KnobValue
from margin_core.papers import Reported

Reads = Literal["logits", "cosines"]
Reduction = Literal["mean", "sum", "none"]
Need = Literal["class_counts"]
Input = Literal["norms", "log_scale"]
PerSampleLoss = Callable[..., Tensor]


@dataclass(frozen=True)
class Family:
    """A loss family, declared beside its formula.

    Args:
        name: The family's name; unique within ten characters only for its short form.
        title: Its name in prose.
        reads: Whether its scores are ``logits`` of a linear head or ``cosines`` of a cosine head.
        function: The pure function ``(scores, target, *, knobs...) -> per-sample loss``.
        knobs: Its numbers; the first is the one that a response curve is drawn over.
        options: Its named choices.
        reference: Paper and equations.
        formula: The loss of a sample in TeX, its equations one by one.
        when: When to use it, what it does to training and what to beware of, in a few sentences.
        reported: What papers report of it.
        needs: What it is built with besides its knobs, and its function is called with by that name: ``class_counts``, the number of
            training samples of each class.
        inputs: What each call has besides scores and target, by name: ``norms``, the norms of feature and prototype multiplied,
            (..., K); ``log_scale``, the log of the network's scale (`margin_core.models.log_scale`).
        constraint: Checks what knobs must hold together, given all of them; raises `ValueError`. What it allows must be convex, so that a
            space of values is good where its corners are.
        per_sample: Whether a sample's loss is its own affair. False where samples are chosen out of their batch, the last axis of the
            target.
        inverse_temperature: The factor that turns its scores into logits for prediction, given the knobs and, by name, the inputs.
        module: The module class where the family needs more than `Loss` (parameters of its own, say).
    """

    name: str
    title: str
    reads: Reads
    function: PerSampleLoss
    reference: str
    formula: tuple[str, ...] = ()
    when: str = ""
    reported: tuple[Reported, ...] = ()
    knobs: tuple[Knob, ...] = ()
    options: tuple[Option, ...] = ()
    needs: tuple[Need, ...] = ()
    inputs: tuple[Input, ...] = ()
    constraint: Callable[[Mapping[str, float]], None] = lambda knobs: None
    per_sample: bool = True
    inverse_temperature: Callable[..., KnobValue] = lambda knobs: 1.0
    module: type[Loss] | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A family that is listed is pickled by its name, as functions are, which its formulas may be none of.
        from margin_core.losses import FAMILIES, get_family

        return (get_family, (self.name,)) if FAMILIES.find(self.name) is self else super().__reduce_ex__(protocol)

    def knob(self, name: str) -> Knob:
        """The knob called ``name``; raises `ValueError` naming the family and its knobs."""
        for knob in self.knobs:
            if knob.name == name:
                return knob
        known = ", ".join([k.name for k in self.knobs] + [o.name for o in self.options]) or "none"
        raise ValueError(f"{self.name}: unknown knob {name!r}; its knobs are: {known}")

    def check(self, values: Mapping[str, object]) -> tuple[dict[str, float], dict[str, str]]:
        """Split ``values`` into knobs and options, each checked and then all together, defaults filled in; raises `ValueError`."""
        names = {option.name for option in self.options}
        knobs = {knob.name: knob.default for knob in self.knobs}
        options = {option.name: option.default for option in self.options}
        for name, value in values.items():
            if name in names:
                options[name] = next(o for o in self.options if o.name == name).check(value, self.name)
            else:
                knobs[name] = self.knob(name).check(value, self.name)
        self.constraint(knobs)
        return knobs, options

    def build(self, *, num_classes: int, reduction: Reduction = "mean", **settings: object) -> Loss:
        """The family with its knobs set, as a module; arguments and errors as of `margin_core.losses.build_loss`."""
        return (self.module or Loss)(self, num_classes=num_classes, reduction=reduction, values=settings)


class Loss(nn.Module):
    """A family with its knobs set, as a module: ``loss(scores, target)``.

    Args:
        family: The family's declaration.
        num_classes: K, at least 2.
        reduction: ``mean``, ``sum`` or ``none``.
        values: Knobs and options by name, and what the family ``needs``, which is kept as a buffer of that name.
    """

    def __init__(self, family: Family, *, num_classes: int, reduction: Reduction, values: Mapping[str, object]) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{family.name}: num_classes must be >= 2, got {num_classes!r}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"{family.name}: reduction must be one of mean, sum, none, got {reduction!r}")
        self.family = family
        self.num_classes = num_classes
        self.reduction = reduction
        self.knobs, self.options = family.check({name: value for name, value in values.items() if name not in family.needs})
        for name in family.needs:
            self.register_buffer(name, _class_counts(values.get(name), num_classes, family.name))

    def set_knobs(self, **values: float) -> None:
        """Change knobs during training, as a schedule asks."""
        knobs = {**self.knobs, **{name: self.family.knob(name).check(value, self.family.name) for name, value in values.items()}}
        self.family.constraint(knobs)
        self.knobs = knobs

    def arguments(self) -> dict[str, object]:
        """What the pure function is called with besides scores, target and inputs."""
        return {**self.knobs, **self.options, **{name: self.get_buffer(name) for name in self.family.needs}}

    def forward(self, scores: Tensor, target: Tensor, **inputs: KnobValue) -> Tensor:
        """The loss of ``scores`` (..., K) for integer ``target`` (...), given by name what the family has for ``inputs``."""
        return self.reduce(self.family.function(scores, target, **self.arguments(), **inputs))

    def prediction_logits(self, scores: Tensor, **inputs: KnobValue) -> Tensor:
        """Logits whose softmax is the family's prediction: no margin, and the family's own scale."""
        return scores * self.family.inverse_temperature(self.knobs, **inputs)

    def reduce(self, per_sample: Tensor) -> Tensor:
        """``per_sample`` reduced as the module was told."""
        if self.reduction == "mean":
            return per_sample.mean()
        return per_sample.sum() if self.reduction == "sum" else per_sample

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        settings = ", ".join(f"{name}={value}" for name, value in {**self.knobs, **self.options}.items())
        return f"{self.family.name}({settings}), num_classes={self.num_classes}, reduction={self.reduction}"


def _class_counts(value: object, num_classes: int, owner: str) -> Tensor:
    """The number of training samples of each class, (K,), or `ValueError` naming what was given and what is allowed."""
    given = value.tolist() if isinstance(value, (Tensor, np.ndarray)) else value
    whole = isinstance(given, Sequence) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in given)
    if not whole or len(given) != num_classes:  # type: ignore[arg-type]
        raise ValueError(f"{owner}: class_counts must be {num_classes} whole numbers >= 1, one for each class, got {value!r}")
    return torch.tensor(given)
