"""Models by name: the networks of the source papers, any model of timm, and those of other packages.

A new model here is its own file and one line below; one of another package is found by its entry point in the group
``margin_core.models``.
Weights that are not drawn at random are `weights`'.
A backbone and a head are initialised under seeds of their own, so that all cells of a replicate start from the same backbone
whatever head their family reads.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from margin_core.entry_points import Declarations
from margin_core.heads import build_head
from margin_core.losses.family import Reads
from margin_core.models import lenet, linear, mlp, mobilenet_v1, resnet18, resnet32, resnet34, timm_models, vgg16, wrn
from margin_core.models.classifier import Classifier, HomogeneityWarning, Output, counted_in_scale, log_scale
from margin_core.models.source import ModelSource, Shape
from margin_core.models.weights import PRETRAINED, RANDOM, check_weights, find_weights, load_exactly, save_weights
from margin_core.seeds import seeded_initialisation

__all__ = [
    "MODELS",
    "Classifier",
    "HomogeneityWarning",
    "ModelSource",
    "Output",
    "Shape",
    "build_backbone",
    "build_model",
    "check_model",
    "counted_in_scale",
    "find_weights_of",
    "list_models",
    "log_scale",
    "save_weights",
]


MODELS = Declarations(
    "margin_core.models",
    "model",
    ModelSource,
    [
        mlp.MODEL,
        linear.MODEL,
        lenet.MODEL,
        resnet18.MODEL,
        resnet34.MODEL,
        resnet32.MODEL,
        vgg16.MODEL,
        mobilenet_v1.MODEL,
        wrn.MODEL,
        timm_models.MODEL,
    ],
)


def list_models() -> list[str]:
    """The names of all models that can be had, ours first; what stands in angle brackets is the user's to fill in."""
    return [source.written for source in MODELS.all()[0]]


def _source_of(name: str) -> ModelSource:
    source = MODELS.find(re.split("[-:]", name, maxsplit=1)[0])
    if source is None or (source.arguments == "") != (source.name == name):
        raise ValueError(f"model must be one of {', '.join(list_models())}, got {name!r}")
    return source


def check_model(name: str, in_shape: Shape | None = None, weights: str = RANDOM) -> None:
    """Check a model's name, and where ``in_shape`` is given whether it takes such images, without building it or looking for files.

    Args:
        name: As `list_models` writes it; a timm name is looked up in timm, which is imported only then.
        in_shape: The shape of one image, (C, H, W).
        weights: ``random``, ``pretrained`` where the model has published weights, or the name of a file of weights.

    Raises:
        ValueError: In one sentence.
    """
    source = _source_of(name)
    source.check(name, in_shape)
    check_weights(weights)
    if weights == PRETRAINED:
        source.check_pretrained(name)


def find_weights_of(name: str, weights: str, data_root: Path | None = None) -> None:
    """See that a model's weights are here, or offered for download; nothing is downloaded. Arguments as of `build_model`.

    Raises:
        ValueError: On an unknown name, or a file that is not what its name says.
        FileNotFoundError: Where weights are not to be had.
    """
    check_model(name, weights=weights)
    if weights == PRETRAINED:
        _source_of(name).find_pretrained(name)
    elif weights != RANDOM:
        find_weights(weights, data_root)


def build_model(
    name: str,
    *,
    in_shape: Shape,
    num_classes: int,
    reads: Reads,
    seed_parts: tuple[int | str, ...],
    weights: str = RANDOM,
    data_root: Path | None = None,
) -> Classifier:
    """A classifier, whose head always starts at random.

    Args:
        name: As `list_models` writes it.
        in_shape: The shape of one image, (C, H, W).
        num_classes: K, at least 2.
        reads: What the head gives: ``logits`` or ``cosines``.
        seed_parts: What the random weights are drawn for: the study's seed and the replicate.
        weights: Of the backbone: ``random``, ``pretrained``, or the name of a file.
        data_root: Folder of the datasets, in whose folder ``weights`` such a file lies.

    Raises:
        ValueError: On an unknown name, images that the model cannot take, or weights that are not the model's.
        FileNotFoundError: Where weights are not to be had.

    Example:
        >>> model = build_model("mlp-50-20", in_shape=(1, 8, 8), num_classes=10, reads="logits", seed_parts=(0, 0))
        >>> model(torch.zeros(3, 1, 8, 8)).features.shape
        torch.Size([3, 20])
    """
    check_model(name, in_shape, weights)
    try:
        with seeded_initialisation(*seed_parts, "backbone"):
            backbone = build_backbone(name, in_shape, weights, data_root)
        width = _feature_width(backbone, in_shape)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"model {name} cannot take images of {'x'.join(map(str, in_shape))}: {error}") from error
    with seeded_initialisation(*seed_parts, "head"):
        head = build_head(reads, width, num_classes)
    return Classifier(backbone, head)


def build_backbone(name: str, in_shape: Shape, weights: str = RANDOM, data_root: Path | None = None) -> nn.Module:
    """The backbone alone; random weights are drawn from torch's global generator. Arguments and errors as of `build_model`."""
    source = _source_of(name)
    if weights == RANDOM:
        return source.build(name, in_shape)
    file = None if weights == PRETRAINED else find_weights(weights, data_root)
    if source.build_pretrained is not None:
        return source.build_pretrained(name, in_shape, file)
    backbone = source.build(name, in_shape)
    if file is not None:
        load_exactly(backbone, file)
    return backbone


def _feature_width(backbone: nn.Module, in_shape: Shape) -> int:
    """The width of the features, asked of the backbone itself: timm's models declare it in more than one way."""
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, *in_shape))
    backbone.train()
    if features.ndim != 2:
        raise RuntimeError(f"its features are not one vector but of shape {tuple(features.shape[1:])}")
    return int(features.shape[1])
