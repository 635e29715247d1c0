"""Fully connected networks of any hidden widths: ``mlp-50-20`` is the one of the gradient-decay paper's MNIST study."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from torch import nn

PATTERN = "mlp-<width>[-<width>...]"


def is_mlp(name: str) -> bool:
    """Whether ``name`` is written as `PATTERN`, every width at least 1."""
    return re.fullmatch(r"mlp(-[1-9][0-9]*)+", name) is not None


def build_mlp(name: str, in_shape: tuple[int, int, int]) -> nn.Sequential:
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
