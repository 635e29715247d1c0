"""A network as the trials see it: a backbone that gives features, and a head that gives scores."""

from __future__ import annotations

import warnings
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from margin_core.heads import CosineHead, LinearHead


class Output(NamedTuple):
    """What a classifier gives.

    Args:
        scores: Logits or cosines, as the head is, (N, K).
        features: The penultimate features, (N, d).
    """

    scores: Tensor
    features: Tensor


class Classifier(nn.Module):
    """Backbone and head.

    Args:
        backbone: Maps images (N, C, H, W) to features (N, d).
        head: Maps features to scores (N, K).
    """

    def __init__(self, backbone: nn.Module, head: LinearHead | CosineHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Output:
        """Scores and features of ``images`` (N, C, H, W).

        Under autocast only the backbone runs in half precision: eight bits are too few for logits, and cost nothing to avoid in a head.
        """
        features = self.backbone(images)
        if not torch.is_autocast_enabled(images.device.type):
            return Output(self.head(features), features)
        with torch.autocast(images.device.type, enabled=False):
            features = features.to(torch.float32)
            return Output(self.head(features), features)

    def cosines(self, output: Output) -> Tensor:
        """Cosines between the features of ``output`` and the prototypes, (N, K); not computed again where the scores are cosines."""
        return output.scores if isinstance(self.head, CosineHead) else self.head.cosines(output.features)

    def norms(self, output: Output) -> Tensor:
        """The norms of the features of ``output`` times those of the prototypes, (N, K): times the cosines, logits without a bias."""
        features, prototypes = (torch.linalg.vector_norm(x.to(output.scores.dtype), dim=-1) for x in (output.features, self.head.weight))
        norms: Tensor = features.unsqueeze(-1) * prototypes
        return norms


SOURCES = ("all_weights", "homogeneous", "last_layer")


class HomogeneityWarning(UserWarning):
    """The scale of a network is asked for whose scores do not grow in proportion to its weights."""


Layer: TypeAlias = dict[str, tuple[str, nn.Parameter]]
"""A layer's own parameters: by its name for each, the name in the whole network and the parameter."""


def log_scale(model: nn.Module, source: str = "all_weights") -> Tensor:
    """The log of the network's scale: the sum of the logs of the Frobenius norms of its layers' parameters.

    Two-scale loss (Berlyand, Creese and Jabin 2021), eq. (9), whose product is taken here as a sum of logs because it leaves the range
    of single precision in deep networks. The paper divides the scores by it, so that they depend on no layer's length. That is so where
    the scores are homogeneous in each layer's parameters; biases and normalisation undo it.

    Args:
        model: A network whose parts are registered in the order in which they are run, as those of this package are.
        source: ``all_weights``: the paper's formula as it stands, of every weight matrix and filter; biases, norm layers and embeddings of
            position are no linear maps and do not count. ``homogeneous``: the layers in which the scores are homogeneous, each with its
            bias: the last one and, going back from it, those after the last bias or norm layer. ``last_layer``: the last weight matrix.

    Returns:
        log R, one float64 number, attached to the graph, as the paper differentiates through it.

    Raises:
        ValueError: If ``source`` is none of these.

    Warns:
        HomogeneityWarning: Where a layer that counts has a bias, or a bias or norm layer follows it, except with ``homogeneous``.

    Example:
        >>> layer = nn.Linear(1, 2, bias=False)
        >>> nn.init.ones_(layer.weight).shape
        torch.Size([2, 1])
        >>> round(log_scale(layer).exp().item() ** 2, 4)
        2.0
    """
    layers = _layers(model)
    counted = _counted(layers, source)
    if source != "homogeneous" and any(map(_breaks_homogeneity, layers if source == "all_weights" else layers[-1:])):
        message = "the network has biases or norm layers: its scores are not homogeneous in the weights whose scale is asked for"
        warnings.warn(message, HomogeneityWarning, stacklevel=2)
    return _log_norms([parts[0][1] if len(parts) == 1 else torch.cat([parameter.flatten() for _, parameter in parts]) for parts in counted])


def counted_in_scale(model: nn.Module, source: str = "all_weights") -> list[list[str]]:
    """The names of the parameters of each layer whose norm counts in `log_scale`, whose arguments and errors these are."""
    return [[name for name, _ in parts] for parts in _counted(_layers(model), source)]


def _counted(layers: list[Layer], source: str) -> list[list[tuple[str, nn.Parameter]]]:
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
    if source == "homogeneous":
        first = next((i for i in reversed(range(len(layers))) if _breaks_homogeneity(layers[i])), 0)
        return [list(layer.values()) for layer in layers[first:]]
    weights = [[layer["weight"]] for layer in layers if "weight" in layer and layer["weight"][1].ndim >= 2]
    return weights if source == "all_weights" else weights[-1:]


def _layers(model: nn.Module) -> list[Layer]:
    """Of each layer that has parameters of its own these by name, each with its name in the whole network."""
    layers = [
        {name: (f"{path}.{name}" if path else name, parameter) for name, parameter in module.named_parameters(recurse=False)}
        for path, module in model.named_modules()
    ]
    return [layer for layer in layers if layer]


def _breaks_homogeneity(layer: Layer) -> bool:
    """Whether the layer adds a bias or normalises, so that nothing before it can scale the scores."""
    return set(layer) != {"weight"} or layer["weight"][1].ndim < 2


def _log_norms(parameters: list[Tensor]) -> Tensor:
    # Of a million weights a norm in single precision is wrong by up to 1e-4 of itself, and here such errors add up over the layers.
    return torch.stack([torch.linalg.vector_norm(parameter, dtype=torch.float64) for parameter in parameters]).log().sum()
