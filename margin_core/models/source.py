"""What a model is: its declaration (`ModelSource`). The head, the seeds and the checks that all share are left to `margin_core.models`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

Shape = tuple[int, int, int]
"""The shape of one image: (C, H, W)."""


def none_published(name: str) -> None:
    """Raise `ValueError`: the model has no published weights."""
    raise ValueError(f"model {name!r} has no pretrained weights; weights must be random or a file's name")


@dataclass(frozen=True)
class ModelSource:
    """A backbone, or a kind of backbones, declared beside the code that builds it.

    Args:
        name: What a study file calls it, up to the first ``-`` or ``:``, neither of which it holds.
        title: Its name in prose.
        reference: Where it comes from.
        build: Makes the backbone of a whole name, ``mlp-50-20`` say, for images of a shape. It maps images (N, C, H, W) to features (N, d);
            its layers draw their random weights as torch's do. Raises as ``check`` does, or as torch does where images do not fit.
        arguments: What stands in the whole name after ``name``, for people: ``-<width>[-<width>...]``. Empty where a study file writes the
            name alone.
        check: Given a whole name, and the shape or None, raises `ValueError` in one sentence where ``build`` has no such model or cannot
            take such images.
        check_pretrained: Given a whole name, raises `ValueError` in one sentence where the model has no published weights.
        build_pretrained: As ``build``, with the weights of a file, or None for the published ones. Without it only files are taken, which
            hold each tensor of the backbone under its own name.
        find_pretrained: Given a whole name, raises `FileNotFoundError` where the published weights are neither here nor to be downloaded.
            Downloads nothing.
    """

    name: str
    title: str
    reference: str
    build: Callable[[str, Shape], nn.Module]
    arguments: str = ""
    check: Callable[[str, Shape | None], None] = lambda name, in_shape: None
    check_pretrained: Callable[[str], None] = none_published
    build_pretrained: Callable[[str, Shape, Path | None], nn.Module] | None = None
    find_pretrained: Callable[[str], None] = lambda name: None

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & {"-", ":"}:
            raise ValueError(f"a model's name must hold neither - nor :, got {self.name!r}")

    @property
    def written(self) -> str:
        """How a study file writes it; what stands in angle brackets is the user's to fill in."""
        return self.name + self.arguments
