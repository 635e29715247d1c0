"""What a trial minimises: its family's loss plus its weighted regularisers, with the knobs that follow a schedule moved along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from margin_core.knobs import Schedule
from margin_core.losses import build_loss, get_family
from margin_core.losses.two_scale import TwoScaleLoss
from margin_core.models import Classifier, Output, log_scale
from margin_core.regularizers import get_regularizer
from margin_core.training.cell import Cell


class Objective:
    """Loss and regularisers of one trial.

    Args:
        cell: A checked cell.
        model: The network at its start.
        class_counts: The number of training samples of each of the K classes.
    """

    def __init__(self, cell: Cell, model: Classifier, class_counts: Sequence[int]) -> None:
        self.model = model
        self.knob_schedules = {name: value for name, value in cell.knobs.items() if isinstance(value, Schedule)}
        self.weights = dict(cell.regularizers)
        self.progress = 0.0
        start: dict[str, Any] = {name: value.value(0.0) if isinstance(value, Schedule) else value for name, value in cell.knobs.items()}
        if "class_counts" in get_family(cell.family).needs:
            start["class_counts"] = class_counts
        self.loss = build_loss(cell.family, num_classes=len(class_counts), **start)
        if isinstance(self.loss, TwoScaleLoss):
            self.loss.initialise_scales(self._log_scale().detach())

    def set_progress(self, progress: float) -> None:
        """Move the scheduled knobs to a share ``progress`` (0 to 1) of the training's steps."""
        self.progress = progress
        if self.knob_schedules:
            self.loss.set_knobs(**{name: schedule.value(progress) for name, schedule in self.knob_schedules.items()})

    def scheduled_values(self) -> dict[str, float]:
        """The present value of each knob that follows a schedule; a regulariser's is called ``<name>.weight``."""
        values = {name: self.loss.knobs[name] for name in self.knob_schedules}
        weights = {f"{name}.weight": self.weight(name) for name, weight in self.weights.items() if isinstance(weight, Schedule)}
        return {**values, **weights}

    def scales(self) -> dict[str, float]:
        """``log_R``, the log of the network's scale, and of the two-scale loss ``log_R1`` and ``log_R2``, its own two scales."""
        own = zip(("log_R1", "log_R2"), self.loss.scales(), strict=True) if isinstance(self.loss, TwoScaleLoss) else ()
        return {"log_R": float(self._log_scale().detach()), **{name: math.log(scale) for name, scale in own}}

    def weight(self, regularizer: str) -> float:
        """The present weight of a regulariser of the cell."""
        weight = self.weights[regularizer]
        return weight.value(self.progress) if isinstance(weight, Schedule) else weight

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """The mean loss of a batch plus the weighted regularisers; a weight of 0 costs nothing."""
        total: Tensor = self.loss(output.scores, target, **self._inputs(output))
        for name in self.weights:
            weight = self.weight(name)
            if weight != 0.0:
                total = total + weight * self._regularizer_value(name, output, target)
        return total

    def prediction_logits(self, output: Output) -> Tensor:
        """Logits whose softmax is the family's prediction, (N, K)."""
        return self.loss.prediction_logits(output.scores, **self._inputs(output))

    def _inputs(self, output: Output) -> dict[str, Tensor]:
        """What the family's loss is given at each call besides scores and target."""
        compute = {"norms": lambda: self.model.norms(output), "log_scale": self._log_scale}
        return {name: compute[name]() for name in self.loss.family.inputs}

    def _log_scale(self) -> Tensor:
        return log_scale(self.model, source=self.loss.options.get("network_scale", "all_weights"))

    def _regularizer_value(self, name: str, output: Output, target: Tensor) -> Tensor:
        regularizer = get_regularizer(name)
        if regularizer.reads == "prototypes":
            return regularizer.function(normalize(self.model.head.weight, dim=-1))
        return regularizer.function(self.model.cosines(output), target).mean()
