"""Models by name: the small networks of the source papers, and any model of timm.

A backbone and a head are initialised under seeds of their own, so that all cells of a replicate start from the same backbone
whatever head their family reads.
"""

from __future__ import annotations

import torch
from torch import nn

from margin_core.heads import build_head
from margin_core.losses.family import Reads
from margin_core.models import lenet, mlp, timm_models
from margin_core.models.classifier import Classifier, HomogeneityWarning, Output, log_scale
from margin_core.seeds import seeded_initialisation

__all__ = ["Classifier", "HomogeneityWarning", "Output", "build_model", "check_model", "list_models", "log_scale"]


def list_models() -> list[str]:
    """The names of all models; what stands in angle brackets is the user's to fill in."""
    return [mlp.PATTERN, lenet.NAME, timm_models.PATTERN]


def check_model(name: str, in_shape: tuple[int, int, int] | None = None) -> None:
    """Check a model's name, and where ``in_shape`` is given whether it takes such images, without building it.

    Args:
        name: As `list_models` writes it; a timm name is looked up in timm, which is imported only then.
        in_shape: The shape of one image, (C, H, W).

    Raises:
        ValueError: In one sentence.
    """
    if name == lenet.NAME and in_shape is not None:
        lenet.check_lenet5(in_shape)
    if name.startswith(timm_models.PREFIX):
        timm_models.check_timm_model(name)
    elif name != lenet.NAME and not mlp.is_mlp(name):
        raise ValueError(f"model must be one of {', '.join(list_models())}, got {name!r}")


def build_model(
    name: str, *, in_shape: tuple[int, int, int], num_classes: int, reads: Reads, seed_parts: tuple[int | str, ...]
) -> Classifier:
    """A classifier with random weights.

    Args:
        name: As `list_models` writes it.
        in_shape: The shape of one image, (C, H, W).
        num_classes: K, at least 2.
        reads: What the head gives: ``logits`` or ``cosines``.
        seed_parts: What the weights are drawn for: the study's seed and the replicate.

    Raises:
        ValueError: On an unknown name, or images that the model cannot take.

    Example:
        >>> model = build_model("mlp-50-20", in_shape=(1, 8, 8), num_classes=10, reads="logits", seed_parts=(0, 0))
        >>> model(torch.zeros(3, 1, 8, 8)).features.shape
        torch.Size([3, 20])
    """
    check_model(name, in_shape)
    try:
        with seeded_initialisation(*seed_parts, "backbone"):
            backbone = _build_backbone(name, in_shape)
        width = _feature_width(backbone, in_shape)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"model {name} cannot take images of {'x'.join(map(str, in_shape))}: {error}") from error
    with seeded_initialisation(*seed_parts, "head"):
        head = build_head(reads, width, num_classes)
    return Classifier(backbone, head)


def _build_backbone(name: str, in_shape: tuple[int, int, int]) -> nn.Module:
    if name.startswith(timm_models.PREFIX):
        return timm_models.build_timm_backbone(name, in_shape)
    return lenet.build_lenet5(in_shape) if name == lenet.NAME else mlp.build_mlp(name, in_shape)


def _feature_width(backbone: nn.Module, in_shape: tuple[int, int, int]) -> int:
    """The width of the features, asked of the backbone itself: timm's models declare it in more than one way."""
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, *in_shape))
    backbone.train()
    if features.ndim != 2:
        raise RuntimeError(f"its features are not one vector but of shape {tuple(features.shape[1:])}")
    return int(features.shape[1])
