"""One step of the optimiser, and all that such steps carry from one to the next.

What is minimised is left to `objective`, which examples a step sees to `trial`, how several processes share them to `processes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_

from margin_core.training.augmentation import Mixup
from margin_core.training.average import WeightAverage
from margin_core.training.forward import Forward
from margin_core.training.objective import Objective
from margin_core.training.optimizer import build_optimizer
from margin_core.training.processes import Processes
from margin_core.training.recipe import Recipe
from margin_core.training.sharpness import perturbed


class Step:
    """Makes the steps of one trial.

    Args:
        recipe: How to train.
        forward: The network, as the recipe computes it.
        objective: What is minimised; the parameters of its loss, on the same device, are trained along with the network's.
    """

    def __init__(self, recipe: Recipe, forward: Forward, objective: Objective) -> None:
        self.recipe = recipe
        self.forward = forward
        self.objective = objective
        model, loss = forward.model, objective.loss
        self.optimizer = build_optimizer(recipe, model.parameters(), loss.parameters())
        self.parameters = [*model.parameters(), *loss.parameters()]
        self._scaler = torch.amp.GradScaler(forward.device.type, enabled=recipe.precision == "float16")
        self._average = None if recipe.ema is None else WeightAverage([model, loss], recipe.ema)
        self._norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._mixup: Mixup | None = None
        self._processes = Processes()

    @contextmanager
    def epoch(self, generator: np.random.Generator, processes: Processes) -> Iterator[None]:
        """What the steps of an epoch are made in, by ``processes`` together; mixtures of examples are drawn from ``generator``."""
        self._processes = processes
        self._mixup = None if self.recipe.mixup is None else Mixup(self.recipe.mixup, generator)
        with self.forward.settings(), nullcontext() if self._average is None else self._average.trained_weights():
            yield

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Inside `epoch`, the network with the weights that are evaluated, for the block."""
        with nullcontext() if self._average is None else self._average.averaged_weights():
            yield

    def __call__(self, images: Tensor, labels: Tensor, progress: float, examples: int) -> Tensor:
        """Make one step on a batch, after a share ``progress`` (0 to 1) of the training's steps; inside `epoch` only.

        Args:
            images: Standardised, (N, C, H, W): this process's part of the batch or, with mixup, which pairs any two, the whole batch.
            labels: Their labels, (N,).
            progress: Sets the learning rate and the knobs that follow a schedule.
            examples: How many the whole batch has.

        Returns:
            The objective of the whole batch before the step. It stays on the device, since looking at it would wait for the device.
        """
        recipe = self.recipe
        self.objective.set_progress(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(progress)
        own, share = self._processes.part(examples)
        targets = [(labels, share)]
        if self._mixup is not None:
            images, others, kept = self._mixup(images)
            images, targets = images[own], [(labels[own], kept * share), (labels[others][own], (1.0 - kept) * share)]
        value = self._gradients(images, targets)
        if recipe.rho is not None:
            with perturbed(self.forward.model, rho=recipe.rho, eta=recipe.eta if recipe.sharpness == "asam" else None):
                self._gradients(images, targets)
        if recipe.clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.parameters, recipe.clip_norm, foreach=True)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.update()
        return value

    def _gradients(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> Tensor:
        """Set the gradients to those of the objective over the whole batch, summed over the processes; its value.

        Args:
            images: What the network is given.
            targets: Labels of the images, and the share of the batch that they are the labels of.
        """
        self.optimizer.zero_grad()
        value = self._part_by_part(images, targets)
        if self._processes.number > 1:
            share = sum(weight for _, weight in targets)
            self._processes.add_up([value, *self._gradients_there(), *self._shares_of_statistics(share)])
        return value

    def _gradients_there(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def _shares_of_statistics(self, share: float) -> list[Tensor]:
        """The running statistics that this pass has moved, times ``share``: their sums are those of the whole batch, in all processes."""
        norms = [norm for norm in self._norms if norm.track_running_stats]
        moved = [moments for norm in norms for moments in (norm.running_mean, norm.running_var) if moments is not None]
        return [moments.mul_(share) for moments in moved]

    def _part_by_part(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> Tensor:
        """Add the gradients of the objective, with the examples going through the network in the recipe's number of parts."""
        # No part of a single example, as of the batches themselves.
        count = max(1, min(self.recipe.accumulate, len(images) // 2))
        if count == 1:
            return self._add_gradients(images, targets)
        bounds = [len(images) * i // count for i in range(count + 1)]
        values = []
        for start, end in pairwise(bounds):
            share = (end - start) / len(images)
            part = [(labels[start:end], weight * share) for labels, weight in targets]
            values.append(self._add_gradients(images[start:end], part))
        return torch.stack(values).sum()

    def _add_gradients(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> Tensor:
        """Add the gradients of the objective at each of the targets, times their weights, and return the sum of these terms."""
        output = self.forward(images)
        terms = [self.objective(output, labels) if weight == 1.0 else weight * self.objective(output, labels) for labels, weight in targets]
        value = terms[0] if len(terms) == 1 else torch.stack(terms).sum()
        torch.autograd.backward(self._scaler.scale(value))
        return value.detach()

    def state_dict(self) -> dict[str, Any]:
        """What steps carry on, besides the parameters themselves."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
