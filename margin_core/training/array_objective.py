"""What the trials of an array minimise: for those of one family its pure function, once, with knobs that are tensors over the trials.

The trials' own objectives hold the knobs, schedules and parameters; here they are only put side by side. Values are kept apart: nothing
is ever averaged over trials, so the gradient of their sum is each one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from margin_core.losses import Loss, get_family
from margin_core.models import counted_in_scale
from margin_core.regularizers import get_regularizer
from margin_core.training.stacked import Features, Given, Tensors, cosines, features, linear
from margin_core.training.trial import Trial


def place(trial: Trial) -> tuple[Any, ...]:
    """By what an array puts trials in order: together those that one call can serve, and among them those that share batches."""
    cell, loss = trial.cell, trial.objective.loss
    options = tuple(sorted(loss.options.items()))
    needs = tuple(tuple(loss.get_buffer(name).tolist()) for name in loss.family.needs)
    reads = loss.family.reads != "logits"
    return reads, cell.family, options, needs, tuple(sorted(cell.regularizers)), *stream(trial)


def stream(trial: Trial) -> tuple[int, int, int]:
    """What a trial's batches depend on, in an array: the study's seed, the replicate, and the epoch of its stream."""
    return trial.study_seed, trial.replicate, trial.phase + trial.epoch


class ArrayObjective:
    """Losses and regularisers of the trials of an array.

    Args:
        trials: In the order of `place`.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.linear = sum(get_family(trial.cell.family).reads == "logits" for trial in trials)
        groups = [list(group) for _, group in groupby(trials, key=lambda trial: place(trial)[:5])]
        self._groups = [_Group(group) for group in groups]
        ends = [0]
        for group in groups:
            ends.append(ends[-1] + len(group))
        self._bounds = list(pairwise(ends))

    def scores(self, value: Given | Features, tensors: Tensors) -> tuple[Tensor, Tensor]:
        """Logits (L, K, N) of the first trials, whose heads are linear, and cosines (T - L, K, N) of the others."""
        weight = tensors["head.weight"]
        count, none = self.linear, weight.new_zeros(0)
        return (
            linear(value.part(0, count), weight[:count], tensors["head.bias"]).values if count else none,
            cosines(value.part(count, len(weight)), weight[count:]).values if count < len(weight) else none,
        )

    def __call__(self, value: Given | Features, tensors: Tensors, target: Tensor) -> list[Tensor]:
        """The objective of each trial's batch, (T,) in parts.

        Args:
            value: What the backbones give.
            tensors: The parameters by name, (T, ...).
            target: The labels (T, N).
        """
        logits, angles = self.scores(value, tensors)
        totals = []
        for group, (start, end) in zip(self._groups, self._bounds, strict=True):
            scores = logits[start:end] if end <= self.linear else angles[start - self.linear : end - self.linear]
            own = {name: tensor[start:end] for name, tensor in tensors.items() if name != "head.bias"}
            if end <= self.linear and "head.bias" in tensors:
                own["head.bias"] = tensors["head.bias"][start:end]
            totals.append(group(scores.transpose(1, 2), value.part(start, end), own, target[start:end]))
        return totals


class _Group:
    """The objectives of trials that one call of a family's function can serve."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = trials
        self._family = get_family(trials[0].cell.family)
        self._regularizers = sorted(trials[0].cell.regularizers)
        changing = any(trial.objective.knob_schedules or list(trial.objective.loss.parameters()) for trial in trials)
        self._arguments = None if changing else self._put_together()

    def __call__(self, scores: Tensor, value: Given | Features, own: Tensors, target: Tensor) -> Tensor:
        """The objective of each of the group's trials, (G,), given scores (G, N, K)."""
        arguments = self._arguments or self._put_together()
        inputs = {name: self._input(name, scores, value, own) for name in self._family.inputs}
        total = self._mean(self._family.function(scores, target, **arguments, **inputs))
        for name in self._regularizers:
            total = self._with_regularizer(total, name, scores, value, own, target)
        return total

    def _mean(self, per_sample: Tensor) -> Tensor:
        """Of each trial's batch, or what its loss takes for the mean."""
        losses = [trial.objective.loss for trial in self._trials]
        if type(losses[0]).reduce is Loss.reduce:
            return per_sample.mean(-1)
        return torch.stack([loss.reduce(own) for loss, own in zip(losses, per_sample, strict=True)])

    def _put_together(self) -> dict[str, Any]:
        each = [trial.objective.loss.arguments() for trial in self._trials]
        device = self._trials[0].device
        return {name: _together([arguments[name] for arguments in each], device) for name in each[0]}

    def _input(self, name: str, scores: Tensor, value: Given | Features, own: Tensors) -> Tensor:
        if name == "norms":
            lengths = torch.linalg.vector_norm(_features(value), dim=1)
            norms: Tensor = lengths.unsqueeze(2) * torch.linalg.vector_norm(own["head.weight"], dim=2).unsqueeze(1)
            return norms
        source = self._trials[0].objective.loss.options.get("network_scale", "all_weights")
        each = []
        for layer in counted_in_scale(self._trials[0].model, source):
            whole = torch.cat([own[parameter].flatten(1) for parameter in layer], dim=1)
            each.append(torch.linalg.vector_norm(whole, dim=1, dtype=torch.float64))
        return torch.stack(each).log().sum(dim=0).unsqueeze(1)

    def _with_regularizer(self, total: Tensor, name: str, scores: Tensor, value: Given | Features, own: Tensors, target: Tensor) -> Tensor:
        weights = [trial.objective.weight(name) for trial in self._trials]
        if not any(weights):
            return total
        regularizer = get_regularizer(name)
        if regularizer.reads == "prototypes":
            term = regularizer.function(normalize(own["head.weight"], dim=-1))
        else:
            angles = scores if self._family.reads == "cosines" else cosines(value, own["head.weight"]).values.transpose(1, 2)
            term = regularizer.function(angles, target).mean(-1)
        # A weight of 0 keeps the term out, whatever it is: 0 times infinity is no 0.
        weighed = torch.tensor(weights, dtype=term.dtype, device=term.device)
        return total + torch.where(weighed != 0.0, weighed * term, 0.0)


def _together(values: Sequence[Any], device: torch.device) -> Any:
    """An argument of several losses as one: a number or a name that all have, or numbers (G, 1) in float64."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.stack(list(values)).unsqueeze(1) if first.ndim == 0 else first
    if all(value == first for value in values):
        return first
    # As wide as Python's own: 0.9 of 45 examples, rounded, are 41, but 40 in single precision.
    return torch.tensor(values, dtype=torch.float64, device=device).unsqueeze(1)


def _features(value: Given | Features) -> Tensor:
    return value.values if isinstance(value, Features) else features(value).values
