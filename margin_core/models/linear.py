"""One linear layer: a classifier of few dimensions, and for the dataset ``points`` a free feature for each point."""

from __future__ import annotations

import math
import re

from torch import nn

from margin_core.models.source import ModelSource, Shape


def check(name: str, in_shape: Shape | None) -> None:
    """Raise `ValueError` unless ``name`` ends in a whole number of at least 1; images of any shape will do."""
    if not re.fullmatch(r"linear-[1-9][0-9]*", name):
        raise ValueError(f"model must be written {MODEL.written}, the width a whole number >= 1, got {name!r}")


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """A linear layer with a bias, without which features of standardised points would be bound to a mean of zero.

    Args:
        name: The width of the features, as in ``linear-3``.
        in_shape: The shape of one image, (C, H, W).
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), int(name.removeprefix("linear-"))))


MODEL = ModelSource(
    name="linear",
    title="One linear layer",
    reference="With `points`, the unconstrained features of Mixon, Parshall and Pi, Neural collapse with unconstrained features, 2020",
    build=build,
    arguments="-<width>",
    check=check,
)
