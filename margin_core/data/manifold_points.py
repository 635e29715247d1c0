"""Pictures whose intrinsic dimension is known: each class is a template that is moved, in as many ways as the dimension says.

What they are drawn by (`Manifold`) and the drawing. The dataset of them is declared in `manifold`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from margin_core.seeds import torch_generator

ManifoldKind = Literal["rigid", "deformable"]
KINDS: tuple[ManifoldKind, ...] = get_args(ManifoldKind)
# A picture moves without bending in three ways, and here bends in at most as many as this.
MOST = {"rigid": 3, "deformable": 12}
SIDE, CLASSES, PER_CLASS = 16, 10, 400
WAVES = 12
# The share of a template's variance that is its class's own; the rest all classes have in common.
OWN = 0.04
CHUNK = 500


@dataclass(frozen=True)
class Manifold:
    """What the pictures are drawn by.

    Args:
        kind: ``rigid`` (its class's template shifted across, then down, then turned) or ``deformable`` (bent by smooth waves).
        dimension: In how many of these ways it is moved: the intrinsic dimension of each class. From 1 to 3 if rigid, to 12 if deformable.
        pixel_noise: Standard deviation of the noise on each pixel, in units of that of the pictures, >= 0. It has as many dimensions as
            there are pixels.

    Raises:
        ValueError: Naming the argument, the value and what is allowed.

    Example:
        >>> Manifold("rigid", dimension=2).key
        'rigid2'
    """

    kind: ManifoldKind = "deformable"
    dimension: int = 3
    pixel_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"manifold: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        most = MOST[self.kind]
        if type(self.dimension) is not int or not 1 <= self.dimension <= most:
            raise ValueError(f"manifold: dimension must be a whole number in [1, {most}] if {self.kind}, got {self.dimension!r}")
        number = isinstance(self.pixel_noise, (int, float)) and not isinstance(self.pixel_noise, bool)
        if not number or not 0.0 <= self.pixel_noise < math.inf:
            raise ValueError(f"manifold: pixel_noise must be a number >= 0, got {self.pixel_noise!r}")

    @property
    def key(self) -> str:
        """What a dataset's name says of it: ``rigid2``, ``deformable8-pixelnoise0.1``."""
        return f"{self.kind}{self.dimension}" + (f"-pixelnoise{self.pixel_noise:g}" if self.pixel_noise > 0.0 else "")

    def to_dict(self) -> dict[str, str | int | float]:
        """The same as plain JSON data."""
        return {**asdict(self), "pixel_noise": float(self.pixel_noise)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Manifold:
        """The manifold that `to_dict` wrote; raises `ValueError` on an unknown key."""
        names = [field.name for field in fields(cls)]
        for key in data:
            if key not in names:
                raise ValueError(f"manifold: unknown key {key!r}; its keys are: {', '.join(names)}")
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def draw_manifold(manifold: Manifold) -> tuple[Tensor, Tensor]:
    """Standardised pictures (4000, 1, 16, 16) in float32 and their classes (4000,), the same whenever they are drawn.

    A picture is a smooth function on the square from -1 to 1, its class's template, looked at from points that have been moved. Templates,
    ways and coordinates are drawn for the greatest dimension, so that the levels differ in nothing but the level.
    """
    labels = torch.arange(CLASSES * PER_CLASS) % CLASSES
    generator = torch_generator("manifold", "coordinates", manifold.kind)
    ways = 2.0 * torch.rand(len(labels), MOST[manifold.kind], dtype=torch.float64, generator=generator) - 1.0
    line = torch.linspace(-1.0, 1.0, SIDE, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)
    move = turned_and_shifted if manifold.kind == "rigid" else bent
    chunks = torch.split(torch.arange(len(labels)), CHUNK)
    images = torch.cat([_shades(move(points, ways[chunk, : manifold.dimension]), labels[chunk]) for chunk in chunks])
    grain = torch.randn(images.shape, dtype=torch.float64, generator=torch_generator("manifold", "pixel noise"))
    noisy = (images - images.mean()) / images.std() + manifold.pixel_noise * grain
    return (noisy / math.sqrt(1.0 + manifold.pixel_noise**2)).to(torch.float32).reshape(-1, 1, SIDE, SIDE), labels


def turned_and_shifted(points: Tensor, ways: Tensor) -> Tensor:
    """The points (P, 2), for each example (n, d) shifted by up to a fifth of the side, then turned by up to 30 degrees: (n, P, 2)."""
    across, down, turn = F.pad(ways, (0, 3 - ways.shape[1])).unbind(dim=1)
    angle = turn * (math.pi / 6.0)
    matrix = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).reshape(-1, 2, 2)
    return points @ matrix.transpose(1, 2) + 0.4 * torch.stack([across, down], dim=1).unsqueeze(1)


def bent(points: Tensor, ways: Tensor) -> Tensor:
    """The points (P, 2), for each example (n, d) moved to and fro by d waves, each along a direction of its own: (n, P, 2)."""
    generator = torch_generator("manifold", "bends")
    crests = 0.7 * math.pi * torch.randn(MOST["deformable"], 2, dtype=torch.float64, generator=generator)
    phases = 2.0 * math.pi * torch.rand(MOST["deformable"], dtype=torch.float64, generator=generator)
    directions = F.normalize(torch.randn(MOST["deformable"], 2, dtype=torch.float64, generator=generator))
    moves = (points @ crests.T + phases).cos().unsqueeze(-1) * directions  # (P, ways, 2)
    number = ways.shape[1]
    return points + torch.einsum("nd,pdc->npc", ways / math.sqrt(number), moves[:, :number])


def _shades(points: Tensor, labels: Tensor) -> Tensor:
    """How bright the templates of classes (n,) are at points (n, P, 2): sums of common waves, each of its own heights, (n, P)."""
    generator = torch_generator("manifold", "templates")
    crests = 1.2 * math.pi * torch.randn(WAVES, 2, dtype=torch.float64, generator=generator)
    phases = 2.0 * math.pi * torch.rand(WAVES, dtype=torch.float64, generator=generator)
    common = torch.randn(1, WAVES, dtype=torch.float64, generator=generator)
    own = torch.randn(CLASSES, WAVES, dtype=torch.float64, generator=generator)
    heights = math.sqrt(1.0 - OWN) * common + math.sqrt(OWN) * own
    return ((points @ crests.T + phases).cos() * heights[labels].unsqueeze(1)).sum(dim=-1)
