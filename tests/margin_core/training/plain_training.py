"""The training of a trial once more, as anyone would write it for a single network: modules of its own, autograd, `torch.optim` and a loop.

Tests hold trials and arrays of them to it. Of the trial it takes the first weights, and the pictures and labels of each step
(`Trial.training_batches`); nothing that computes. It is in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from margin_core.losses import get_family
from margin_core.training import Cell, Recipe, Trial
from tests.margin_core.training.plain_losses import PLAIN, sample_margin, scheduled, zero_centroid


def mlp(pictures: Tensor, *widths: int) -> nn.Module:
    inputs = pictures[0].numel()
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


def linear(pictures: Tensor, width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(pictures[0].numel(), width))


class LeNet(nn.Module):
    """LeNet-5 with max pooling, for pictures of one channel and a side below 32."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        side = ((pictures.shape[-1]) // 2 - 4) // 2
        self.fc1, self.fc2 = nn.Linear(16 * side * side, 120), nn.Linear(120, 84)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))


def conv3x3(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    """Convolution, norm, ReLU, convolution, norm; added to the picture, every second pixel of it where the stride is 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(before, after, stride), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = conv3x3(after, after), nn.BatchNorm2d(after)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = x[:, :, :: self.stride, :: self.stride]
        missing = torch.zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:], dtype=x.dtype)
        return F.relu(y + torch.cat([x, missing], dim=1))


class NormFirst(nn.Module):
    """Norm, ReLU, convolution, twice; added to the picture, or where the shape changes to a 1x1 convolution of it, normalised."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(before), conv3x3(before, after, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(after), conv3x3(after, after)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        normal = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(normal))))
        return y + (x if self.shortcut is None else self.shortcut(normal))


class Mean(nn.Module):
    """The mean over the picture of each channel, (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def resnet32(pictures: Tensor) -> nn.Module:
    blocks = [Block(16, 16, 1) for _ in range(5)]
    blocks += [Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(4))]
    blocks += [Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(4))]
    return nn.Sequential(conv3x3(pictures.shape[1], 16), nn.BatchNorm2d(16), nn.ReLU(), *blocks, Mean())


def wrn(pictures: Tensor, depth: int, width: int) -> nn.Module:
    channels, layers = 16, [conv3x3(pictures.shape[1], 16)]
    for stage in range(3):
        for block in range((depth - 4) // 6):
            after = 2**stage * 16 * width
            layers.append(NormFirst(channels, after, 2 if stage > 0 and block == 0 else 1))
            channels = after
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), Mean())


BACKBONES = {"mlp": mlp, "linear": linear, "lenet5": LeNet, "resnet32": resnet32, "wrn": wrn}


class Network(nn.Module):
    """Backbone and head; ``forward`` gives features."""

    def __init__(self, cell: Cell, pictures: Tensor, classes: int) -> None:
        super().__init__()
        name, *numbers = cell.model.split("-")
        frozen = cell.backbone == "frozen"
        self.backbone = nn.Flatten() if frozen else BACKBONES[name](pictures, *map(int, numbers))
        width = self.backbone(pictures.float()[:2]).shape[1]
        self.has_bias = get_family(cell.family).reads == "logits"
        self.head = nn.Linear(width, classes, bias=self.has_bias)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures)

    def cosines(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=1) @ F.normalize(self.head.weight, dim=1).T

    def scale(self) -> Tensor:
        """The product of the norms of all weights but biases and those of norm layers."""
        layers = [module for module in self.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        return torch.stack([layer.weight.norm() for layer in layers]).prod()


@dataclass
class Plain:
    """What a plain training has come to.

    Args:
        state: Weights and running statistics in the order of the network's layers, then the loss's own parameters.
        train_loss: Of each epoch, its mean over the examples.
        clipped: Of each step, whether the gradient was longer than ``clip_norm``.
    """

    state: list[Tensor]
    train_loss: list[float]
    clipped: list[bool]


def train_plainly(trial: Trial, epochs: int) -> Plain:
    """Train a network with the weights of ``trial``, which has just begun, for so many epochs. The trial gives nothing but batches."""
    cell, recipe = trial.cell, trial.cell.recipe
    counts = torch.bincount(trial.data.train_y, minlength=trial.data.num_classes).double()
    network = Network(cell, next(trial.training_batches())[0], len(counts))
    for value, first in zip(network.state_dict().values(), trial.model.state_dict().values(), strict=True):
        assert value.shape == first.shape
        value.copy_(first)
    network.double().train()
    scales = [scale.detach().requires_grad_(trained) for scale, trained in _first_scales(cell, network)]
    optimizer = _optimizer(recipe, network, scales)
    plain = Plain([], [], [])
    steps = trial.steps_per_epoch
    for epoch in range(epochs):
        trial.epoch = epoch
        total = 0.0
        for step, (pictures, labels) in enumerate(trial.training_batches(), start=epoch * steps):
            progress = step / (steps * recipe.epochs)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, progress)
            optimizer.zero_grad()
            loss = _objective(cell, network, scales, counts, pictures.double(), labels, progress)
            loss.backward()
            if recipe.clip_norm is not None:
                norm = nn.utils.clip_grad_norm_([*network.parameters(), *scales], recipe.clip_norm)
                plain.clipped.append(norm.item() > recipe.clip_norm)
            optimizer.step()
            total += loss.item() * len(labels)
        plain.train_loss.append(total / int(counts.sum()))
    plain.state = [*network.state_dict().values(), *(scale.detach() for scale in scales)]
    return plain


def learning_rate(recipe: Recipe, progress: float) -> float:
    """What a recipe's learning rate is after a share of the steps."""
    start = recipe.warm_up if recipe.warm_up < 1 else recipe.warm_up / recipe.epochs
    lr = scheduled(recipe.lr, progress)
    if progress < start:
        return lr * progress / start
    if recipe.lr_schedule == "constant":
        return lr
    if recipe.lr_schedule == "step":
        places = [place if place < 1 else place / recipe.epochs for place in recipe.lr_steps]
        return lr * recipe.lr_factor ** len([place for place in places if place <= progress])
    return lr * 0.5 * (1 + math.cos(math.pi * (progress - start) / (1 - start)))


def _optimizer(recipe: Recipe, network: Network, scales: list[Tensor]) -> torch.optim.Optimizer:
    groups = [{"params": list(network.parameters())}, *([{"params": scales, "weight_decay": 0.0}] if scales else [])]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay, foreach=False)
    return torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999), weight_decay=recipe.weight_decay, foreach=False)


def _settings(cell: Cell, progress: float) -> dict[str, float | str]:
    family = get_family(cell.family)
    defaults = {declared.name: declared.default for declared in (*family.knobs, *family.options)}
    return {name: scheduled(cell.knobs.get(name, default), progress) for name, default in defaults.items()}


def _first_scales(cell: Cell, network: Network) -> list[tuple[Tensor, bool]]:
    """Of the two-scale loss R1, and R2 or in the mode ``separation`` R2 / R1, and whether each is trained."""
    if cell.family != "two_scale":
        return []
    settings, scale = _settings(cell, 0.0), network.scale()
    second = torch.full_like(scale, settings["ratio"]) if settings["mode"] == "separation" else settings["ratio"] * scale
    first_stays = settings["mode"] == "separation" and settings["first_scale"] == "fixed"
    return [(scale, settings["mode"] != "fixed" and not first_stays), (second, settings["mode"] != "fixed")]


def _objective(
    cell: Cell, network: Network, scales: list[Tensor], counts: Tensor, pictures: Tensor, labels: Tensor, progress: float
) -> Tensor:
    features = network(pictures)
    cosines = network.cosines(features)
    settings: dict[str, object] = dict(_settings(cell, progress))
    settings.pop("gradient", None)
    if cell.family == "ldam":
        settings["class_counts"] = counts
    if cell.family == "l_softmax":
        settings["norms"] = features.norm(dim=1)[:, None] * network.head.weight.norm(dim=1)
    if cell.family == "two_scale":
        first, second = scales
        second = first * second if settings["mode"] == "separation" else second
        settings = {"eta": settings["eta"], "first": first, "second": second, "network": network.scale()}
    scores = network.head(features) if network.has_bias else cosines
    loss = PLAIN[cell.family](scores, labels, **settings)
    weights: Mapping[str, float] = {name: scheduled(weight, progress) for name, weight in cell.regularizers.items()}
    if "sample_margin" in weights:
        loss = loss + weights["sample_margin"] * sample_margin(cosines, labels)
    if "zero_centroid" in weights:
        loss = loss + weights["zero_centroid"] * zero_centroid(network.head.weight)
    return loss
