"""What the trials of an array minimise: for those of one family its pure function, once, with knobs that are tensors over the trials.

The trials' own objectives hold the knobs, schedules and parameters; here they are only put side by side. Values are kept apart: nothing
is ever averaged over trials, so the gradient of their sum is each one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from margin_core.knobs import Schedule
from margin_core.losses import Loss, get_family
from margin_core.models import counted_in_scale
from margin_core.regularizers import get_regularizer
from margin_core.training.stacked import Features, Given, Tensors, cosines, features, logits
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

    Attributes:
        by_tensors: Whether all that changes from step to step lies in tensors that stay where they are.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        groups = [list(group) for _, group in groupby(trials, key=lambda trial: place(trial)[:5])]
        starts = accumulate(map(len, groups), initial=0)
        self._groups = [_Group(group, start) for group, start in zip(groups, starts, strict=False)]
        by_head = [list(some) for _, some in groupby(self._groups, key=lambda group: group.reads)]
        self._counts = [[group.count for group in some] for some in by_head]
        self.linear = sum(group.count for group in self._groups if group.reads == "logits")
        self.by_tensors = all(group.by_tensors for group in self._groups)

    def follow_schedules(self) -> None:
        """Take up the knobs and weights that the trials have now; before each step."""
        for group in self._groups:
            group.follow_schedules()

    def scores(self, value: Given | Features, tensors: Tensors) -> list[Tensor]:
        """Logits (L, N, K) of the first trials, whose heads are linear, and cosines (T - L, N, K) of the others, where there are any."""
        weight, count = tensors["head.weight"], self.linear
        if count == len(weight):
            return [logits(value, weight, tensors["head.bias"])]
        if count == 0:
            return [cosines(value, weight)]
        first, last = torch.tensor_split(weight, [count])
        return [logits(value.part(0, count), first, tensors["head.bias"]), cosines(value.part(count, len(weight)), last)]

    def __call__(self, value: Given | Features, tensors: Tensors, target: Tensor) -> Tensor:
        """The objective of each trial's batch, (T,).

        Args:
            value: What the backbones give.
            tensors: The parameters by name, (T, ...).
            target: The labels (T, N).
        """
        parts = zip(self.scores(value, tensors), self._counts, strict=True)
        scores = [part for of_heads, counts in parts for part in torch.split(of_heads, counts)]
        totals = [group(own, value, tensors, target) for group, own in zip(self._groups, scores, strict=True)]
        return totals[0] if len(totals) == 1 else torch.cat(totals)


class _Group:
    """The objectives of trials that one call of a family's function can serve.

    Args:
        trials: They stand one after another.
        start: The place of the first one.
    """

    def __init__(self, trials: Sequence[Trial], start: int) -> None:
        self.count = len(trials)
        self._start, self._end = start, start + len(trials)
        self._trials = trials
        self._family = get_family(trials[0].cell.family)
        self.reads = self._family.reads
        self._losses = [trial.objective.loss for trial in trials]
        self._device = trials[0].device
        each = self._arguments_of_each()
        changing = any(trial.objective.knob_schedules for trial in trials)
        self._trained = [name for name, value in each.items() if isinstance(value[0], Tensor) and name not in self._family.needs]
        self._numbers = {name: _column(values).to(self._device) for name, values in each.items() if changing and _are_numbers(values)}
        self._fixed = {name: _together(each[name], self._device) for name in each.keys() - self._trained - self._numbers.keys()}
        self._weights = {
            name: torch.zeros(len(trials), dtype=torch.float64, device=self._device)
            for name in sorted(trials[0].cell.regularizers)
            if any(isinstance(weight, Schedule) or weight for weight in (trial.objective.weights[name] for trial in trials))
        }
        self.by_tensors = not changing or type(self._losses[0]) is Loss

    def follow_schedules(self) -> None:
        """Take up the knobs and weights that the trials have now."""
        each = self._arguments_of_each() if self._numbers else {}
        for name, numbers in self._numbers.items():
            numbers.copy_(_column(each[name]), non_blocking=True)
        for name, weights in self._weights.items():
            own = torch.tensor([trial.objective.weight(name) for trial in self._trials], dtype=torch.float64)
            weights.copy_(own, non_blocking=True)

    def __call__(self, scores: Tensor, value: Given | Features, tensors: Tensors, target: Tensor) -> Tensor:
        """The objective of each of the group's trials, (G,).

        Args:
            scores: Theirs, (G, N, K).
            value: What the backbones of all trials give.
            tensors: The parameters of all, (T, ...).
            target: The labels of all, (T, N).
        """
        target = self._own(target)
        each = self._arguments_of_each() if self._trained else {}
        trained = {name: torch.stack(each[name]).unsqueeze(1) for name in self._trained}
        inputs = {name: self._input(name, value, tensors) for name in self._family.inputs}
        total = self._mean(self._family.function(scores, target, **self._fixed, **self._numbers, **trained, **inputs))
        for name in self._weights:
            total = self._with_regularizer(total, name, scores, value, tensors, target)
        return total

    def _mean(self, per_sample: Tensor) -> Tensor:
        """Of each trial's batch, or what its loss takes for the mean."""
        if type(self._losses[0]).reduce is Loss.reduce:
            return per_sample.mean(-1)
        return torch.stack([loss.reduce(own) for loss, own in zip(self._losses, per_sample, strict=True)])

    def _arguments_of_each(self) -> dict[str, list[Any]]:
        """What the losses' function is called with, by name: of each trial."""
        each = [loss.arguments() for loss in self._losses]
        return {name: [arguments[name] for arguments in each] for name in each[0]}

    def _own(self, tensor: Tensor) -> Tensor:
        return tensor[self._start : self._end]

    def _input(self, name: str, value: Given | Features, tensors: Tensors) -> Tensor:
        if name == "norms":
            lengths = torch.linalg.vector_norm(_features(value.part(self._start, self._end)), dim=1)
            norms: Tensor = lengths.unsqueeze(2) * torch.linalg.vector_norm(self._own(tensors["head.weight"]), dim=2).unsqueeze(1)
            return norms
        source = self._losses[0].options.get("network_scale", "all_weights")
        each = []
        for layer in counted_in_scale(self._trials[0].model, source):
            whole = torch.cat([self._own(tensors[parameter]).flatten(1) for parameter in layer], dim=1)
            each.append(torch.linalg.vector_norm(whole, dim=1, dtype=torch.float64))
        return torch.stack(each).log().sum(dim=0).unsqueeze(1)

    def _with_regularizer(
        self, total: Tensor, name: str, scores: Tensor, value: Given | Features, tensors: Tensors, target: Tensor
    ) -> Tensor:
        prototypes = self._own(tensors["head.weight"])
        regularizer = get_regularizer(name)
        if regularizer.reads == "prototypes":
            term = regularizer.function(normalize(prototypes, dim=-1))
        else:
            angles = scores if self.reads == "cosines" else cosines(value.part(self._start, self._end), prototypes)
            term = regularizer.function(angles, target).mean(-1)
        # A weight of 0 keeps the term's value out, whatever it is: 0 times infinity is no 0.
        weights = self._weights[name].to(term.dtype)
        return total + torch.where(weights != 0.0, weights * term, 0.0)


def _together(values: Sequence[Any], device: torch.device) -> Any:
    """An argument of several losses that stays as it is, as one: what all of them have, or numbers (G, 1)."""
    first = values[0]
    if isinstance(first, Tensor) or all(value == first for value in values):  # what a family needs is the same for all of a group
        return first
    return _column(values).to(device)


def _are_numbers(values: Sequence[Any]) -> bool:
    return not isinstance(values[0], (Tensor, str))


def _column(values: Sequence[float]) -> Tensor:
    """Numbers of several losses, (G, 1)."""
    # As wide as Python's own: 0.9 of 45 examples, rounded, are 41, but 40 in single precision.
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def _features(value: Given | Features) -> Tensor:
    return value.values if isinstance(value, Features) else features(value).values
