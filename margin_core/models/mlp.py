"""Fully connected networks of any hidden widths: ``mlp-50-20`` is the one of the gradient-decay paper's MNIST study."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from torch import nn

from margin_core.models.source import ModelSource, Shape


def check(name: str, in_shape: Shape | None) -> None:
    """Raise `ValueError` unless ``name`` ends in whole numbers of at least 1; images of any shape will do."""
    if not re.fullmatch(r"mlp(-[1-9][0-9]*)+", name):
        raise ValueError(f"model must be written {MODEL.written}, each width a whole number >= 1, got {name!r}")


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """A network of fully connected layers, each followed by a ReLU; its features are the last of them.

    Args:
        name: The hidden widths, as in ``mlp-50-20``.
        in_shape: The shape of one image, (C, H, W).
    """
    widths = [math.prod(in_shape), *(int(width) for width in name.split("-")[1:])]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


MODEL = ModelSource(
    name="mlp",
    title="Fully connected network",
    reference="mlp-50-20: Zhang, Xie and Chen, Probability-Dependent Gradient Decay in Large Margin Softmax",
    build=build,
    arguments="-<width>[-<width>...]",
    check=check,
)
