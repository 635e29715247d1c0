"""The networks of the trials of an array, their gradients and their optimisers' states, one after another along a first axis.

As long as trials stand side by side their own tensors are parts of these, so that whatever reads or saves a trial finds it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor
from torch.optim import Optimizer

from margin_core.models import Output
from margin_core.training.array_objective import ArrayObjective
from margin_core.training.forward import autocast, settings
from margin_core.training.recipe import Recipe
from margin_core.training.recorded import RecordedSteps, recorder
from margin_core.training.stacked import Features, Given, StackedBackbone
from margin_core.training.trial import Trial

BIAS = "head.bias"


class SideBySide:
    """Trials whose tensors are put together, for as long as they are the same trials.

    Args:
        trials: In the order of `array_objective.place`.
        backbone: Theirs.
    """

    def __init__(self, trials: Sequence[Trial], backbone: StackedBackbone) -> None:
        self.trials = trials
        self._backbone = backbone
        self._objective = ArrayObjective(trials)
        self._recipe, self._device = trials[0].cell.recipe, trials[0].device
        model, linear = trials[0].model, self._objective.linear
        owners = {name: trials for name, _ in model.named_parameters() if name != BIAS} | ({BIAS: trials[:linear]} if linear else {})
        own = {name: [trial.model.get_parameter(name) for trial in some] for name, some in owners.items()}
        self._parameters = {name: _put_together(parameters).requires_grad_() for name, parameters in own.items()}
        buffers = {name: [trial.model.get_buffer(name) for trial in trials] for name, _ in model.named_buffers()}
        tensors = self._parameters | {name: _put_together(some) for name, some in buffers.items()}
        self._of_backbone = {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
        for name, parameters in own.items():
            pairs = [(trial.optimizer, parameter) for trial, parameter in zip(owners[name], parameters, strict=True)]
            states = [_state(self._recipe, optimizer, parameter) for optimizer, parameter in pairs]
            for key in _keys(self._recipe):
                _put_together([state[key] for state in states])
        self._updates = [Update(trial, [name for name, some in owners.items() if trial in some]) for trial in trials]
        limits = [trial.cell.recipe.clip_norm for trial in trials]
        clips = any(limit is not None for limit in limits)
        allowed = [math.inf if limit is None else limit for limit in limits]
        self._allowed = torch.tensor(allowed, dtype=torch.float64, device=self._device) if clips else None
        record = recorder(self._device)
        self._recorded = RecordedSteps(record) if record is not None and self._objective.by_tensors else None
        self._rates = torch.zeros(len(trials), device=self._device)

    def step(self, given: Given, target: Tensor, steps: Sequence[int]) -> Tensor:
        """Make one step of each trial; its objectives (T,) before it, float64.

        Args:
            given: What the networks see.
            target: The labels, (T, N).
            steps: The number of each trial's step, from 0.
        """
        rates = [update.begin(step) for update, step in zip(self._updates, steps, strict=True)]
        self._objective.follow_schedules()
        if self._recorded is None:
            return self._make(given, target, rates)
        self._rates.copy_(torch.tensor(rates), non_blocking=True)
        return self._recorded(lambda given, target: self._make(given, target, self._rates.unbind()), given, target)

    def _make(self, given: Given, target: Tensor, rates: Sequence[float | Tensor]) -> Tensor:
        for parameter in (*self._parameters.values(), *(own for update in self._updates for own in update.of_loss)):
            parameter.grad = None
        with settings(self._recipe, self._device):
            totals = self._objective(self._features(given, training=True), self._parameters, target)
            # Of their sum, so that each trial has the gradient that it would have alone; of a mean it would be divided by their number.
            torch.autograd.backward(totals.sum())
        gradients = [_gradient(parameter) for parameter in self._parameters.values()]
        self._clip(gradients)
        each = zip_longest(*(gradient.unbind() for gradient in gradients))  # the first ones alone have a bias, the last of the parameters
        for update, own, rate in zip(self._updates, each, rates, strict=True):
            update(own, rate)
        return totals.detach().double()

    def _features(self, given: Given, *, training: bool) -> Given | Features:
        with autocast(self._recipe, self._device):
            features = self._backbone(given, self._of_backbone, training=training)
        return features.map(lambda values: values.to(self._parameters["head.weight"].dtype))  # as a head alone takes them

    @torch.no_grad()
    def _clip(self, gradients: Sequence[Tensor]) -> None:
        """Scale the gradients of each trial whose norm is above what its recipe allows, as torch's ``clip_grad_norm_`` does."""
        if self._allowed is None:
            return
        squares = torch.zeros_like(self._allowed)
        for gradient in gradients:
            squares[: len(gradient)].add_(torch.linalg.vector_norm(gradient.flatten(1), dim=1).square())
        for place, update in enumerate(self._updates):
            for own in update.loss_gradients():
                squares[place].add_(own.square().sum())
        factors = (self._allowed / (squares.sqrt() + 1e-6)).clamp_max(1.0)
        if self._recorded is None and bool((factors == 1.0).all()):
            return
        for gradient in gradients:
            gradient.mul_(factors[: len(gradient)].to(gradient.dtype).view(-1, *(1 for _ in gradient.shape[1:])))
        for factor, update in zip(factors, self._updates, strict=True):
            for own in update.loss_gradients():
                own.mul_(factor)

    @torch.inference_mode()
    def outputs(self, given: Given) -> list[Output]:
        """What each trial's network gives in evaluation: scores (N, K) and features (N, d)."""
        with settings(self._recipe, self._device):
            features = self._features(given, training=False)
            scores = [score for part in self._objective.scores(features, self._parameters) for score in part]
        if isinstance(features, Features):
            return [Output(score, own.t()) for score, own in zip(scores, features.values, strict=True)]
        seen = [batch for count, batch in features.parts for _ in range(count)]
        return [Output(score, batch) for score, batch in zip(scores, seen, strict=True)]


def release(trial: Trial) -> None:
    """Give a trial tensors of its own."""
    for tensor in (*trial.model.parameters(), *trial.model.buffers()):
        tensor.data = tensor.data.clone()
    for state in trial.optimizer.state.values():
        state.update({key: value.clone() for key, value in state.items() if isinstance(value, Tensor)})


class Update:
    """A trial's optimiser, on tensors that lie side by side with those of others.

    Torch's optimisers look through their parameters and states before each step, which takes longer than the step of a small network.
    Here their kernels are called with what was looked up once.

    Args:
        trial: The trial, with its optimiser's states in place.
        names: Its network's parameters, in the order in which gradients come.

    Attributes:
        of_loss: Those of the loss's own parameters that are trained.
    """

    def __init__(self, trial: Trial, names: Sequence[str]) -> None:
        self.recipe = trial.cell.recipe
        self._trial = trial
        network = [trial.model.get_parameter(name) for name in names]
        self._network = _Kernel(self.recipe, trial.optimizer, network, self.recipe.weight_decay)
        self.of_loss = [parameter for parameter in trial.loss.parameters() if parameter.requires_grad]

    def begin(self, step: int) -> float:
        """Move to a step, counted from 0: what follows a schedule, and the learning rate, which is returned."""
        progress = self._trial.progress(step)
        self._trial.objective.set_progress(progress)
        rate = self.recipe.learning_rate(progress)
        for group in self._trial.optimizer.param_groups:  # which are saved with it
            group["lr"] = rate
        return rate

    def loss_gradients(self) -> list[Tensor]:
        """The gradients of the loss's own parameters."""
        return [parameter.grad for parameter in self.of_loss if parameter.grad is not None]

    def __call__(self, gradients: Sequence[Tensor], rate: float | Tensor) -> None:
        """Make the step, with a learning rate that is a number or a tensor () on the device."""
        self._network(gradients, rate)
        moved = [parameter for parameter in self.of_loss if parameter.grad is not None]
        if moved:
            _Kernel(self.recipe, self._trial.optimizer, moved, 0.0)(self.loss_gradients(), rate)


class _Kernel:
    """The step of torch's optimiser on some parameters of one kind."""

    def __init__(self, recipe: Recipe, optimizer: Optimizer, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self._recipe = recipe
        self._decay = weight_decay
        self._values = [parameter.data for parameter in parameters]
        states = [_state(recipe, optimizer, parameter) for parameter in parameters]
        self._states = [[state[key] for state in states] for key in _keys(recipe)]
        self._steps = [state["step"] for state in states] if recipe.optimizer == "adamw" else []

    def __call__(self, gradients: Sequence[Tensor], rate: float | Tensor) -> None:
        own = list(gradients[: len(self._values)])
        if self._recipe.optimizer == "sgd":
            torch._fused_sgd_(
                self._values,
                own,
                *(self._states or [[]]),
                weight_decay=self._decay,
                momentum=self._recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,
            )
            return
        torch._foreach_add_(self._steps, 1)
        torch._fused_adamw_(
            self._values,
            own,
            self._states[0],
            self._states[1],
            [],
            self._steps,
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self._decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def _keys(recipe: Recipe) -> tuple[str, ...]:
    """What the optimiser keeps of each parameter that is as large as it."""
    if recipe.optimizer == "adamw":
        return "exp_avg", "exp_avg_sq"
    return ("momentum_buffer",) if recipe.momentum else ()


def _state(recipe: Recipe, optimizer: Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What the optimiser keeps of a parameter; that of an optimiser that has made no step, where there is none."""
    keys = _keys(recipe)
    if keys and parameter not in optimizer.state:
        steps = {"step": torch.zeros((), dtype=torch.float32, device=parameter.device)} if recipe.optimizer == "adamw" else {}
        optimizer.state[parameter] = steps | {key: torch.zeros_like(parameter.data) for key in keys}
    state: dict[str, Tensor] = optimizer.state[parameter] if keys else {}
    return state


def _put_together(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors as one, (T, ...), of which they are parts from now on."""
    stacked = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, part in zip(tensors, stacked.unbind(), strict=True):
        tensor.data = part
    return stacked


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
