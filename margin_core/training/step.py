"""One step of the optimiser, and all that such steps carry from one to the next.

What is minimised is left to `objective`, which examples a step sees to `trial`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from margin_core.models import Classifier
from margin_core.training.objective import Objective
from margin_core.training.recipe import Recipe, build_optimizer


class Step:
    """Makes the steps of one trial.

    Args:
        recipe: How to train.
        model: The network, on its device.
        objective: What is minimised; the parameters of its loss, on the same device, are trained along with the network's.
    """

    def __init__(self, recipe: Recipe, model: Classifier, objective: Objective) -> None:
        self.recipe = recipe
        self.model = model
        self.objective = objective
        self.optimizer = build_optimizer(recipe, model.parameters(), objective.loss.parameters())
        self.parameters = [*model.parameters(), *objective.loss.parameters()]

    def __call__(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Make one step on a batch, after a share ``progress`` (0 to 1) of the training's steps.

        Returns:
            The objective before the step. It stays on the device, since looking at it would wait for the device.
        """
        self.objective.set_progress(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(progress)
        self.optimizer.zero_grad()
        value = self.objective(self.model(images), labels)
        torch.autograd.backward(value)
        if self.recipe.clip_norm is not None:
            clip_grad_norm_(self.parameters, self.recipe.clip_norm, foreach=True)
        self.optimizer.step()
        return value.detach()

    def state_dict(self) -> dict[str, Any]:
        """What steps carry on, besides the parameters themselves."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
