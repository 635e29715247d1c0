"""The fingerprint of a dataset of the package, as a network with fixed weights sees its training split.

Validation and test examples stay out of it. The features are those that trials on a frozen backbone use, computed once and kept in the
cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from margin_core.data import DatasetConfig, Prepared, prepare, resolve_data_root
from margin_core.models import build_model
from margin_core.topology.fingerprint import HALVES, Fingerprint, describe_sample, matched_examples, scaled
from margin_core.topology.sample import Sample
from margin_core.topology.sensitivity import frame_sensitivity, pose_sensitivity
from margin_core.training.frozen import BATCH, frozen_features

MOST = 10_000
"""Examples that are looked at, where it is not said how many: all their distances are taken."""


def class_sizes(data: Prepared) -> list[int]:
    """How many training examples each class has, the most first; classes with fewer than two are left out."""
    return sorted((int(n) for n in data.train_y.bincount() if n >= 2), reverse=True)


def comparable(sizes: list[list[int]], most: int = MOST) -> tuple[int, int]:
    """How many classes, and examples of each, the samples of several datasets may have so that they are equally large.

    As many classes as the dataset with the fewest has, and of each as many examples as the smallest of these classes in any dataset, but no
    more than ``most`` in all. Where the smallest class of a dataset has half as many or more, as many as that: then every class will do,
    and datasets with the same classes, such as the levels of a dial, are looked at by the same ones.

    Args:
        sizes: `class_sizes` of each dataset.
        most: Examples in all.

    Raises:
        ValueError: If a dataset has fewer than two classes with two training examples each.

    Example:
        >>> comparable([[500, 400, 300], [90, 80, 70, 60]])
        (3, 60)
        >>> comparable([[500, 400, 300], [90, 80, 70, 6]])
        (3, 70)
    """
    classes = min(len(of) for of in sizes)
    if classes < 2:
        raise ValueError(f"a dataset must have two classes with two training examples each to be described, got {classes} such classes")
    enough = [of[-1] if 2 * of[-1] >= of[classes - 1] else of[classes - 1] for of in sizes]
    return classes, min(*enough, max(2, most // max(1, classes)))


def describe_dataset(
    config: DatasetConfig,
    *,
    model: str,
    weights: str = "pretrained",
    classes: int | None = None,
    per_class: int | None = None,
    halves: int = HALVES,
    seed: int = 0,
    data_root: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Fingerprint:
    """The fingerprint of a dataset's training split, with the two sensitivities that need its images.

    Args:
        config: The dataset, with its dials; wrong labels are those that a trial would train on.
        model: The network whose features are read, as `margin_core.models.list_models` writes it.
        weights: ``pretrained``, or the name of a file of weights; ``random`` says nothing of a dataset and serves tests.
        classes: How many classes are looked at, and ``per_class`` how many examples of each; by default all classes, and as many examples
            as the smallest has, up to 10000 in all. Datasets compare where both are the same.
        per_class: See ``classes``.
        halves: See `margin_core.topology.describe`.
        seed: Draws the split, the examples and the halves.
        data_root: Folder of the datasets.
        device: Where features are computed.

    Raises:
        ValueError: On an unknown dataset or model, weights that are not the model's, or more classes or examples than there are.
        FileNotFoundError: Where files of the dataset or weights are not there.
    """
    if config.pretext is not None:
        raise ValueError(f"pretext must be left out where a dataset is described, got {config.pretext!r}")
    data = prepare(config, data_root=data_root, study_seed=seed, replicate=0)
    return describe_prepared(
        data,
        model=model,
        weights=weights,
        classes=classes,
        per_class=per_class,
        halves=halves,
        seed=seed,
        data_root=data_root,
        device=device,
    )


def describe_prepared(
    data: Prepared,
    *,
    model: str,
    weights: str = "pretrained",
    classes: int | None = None,
    per_class: int | None = None,
    halves: int = HALVES,
    seed: int = 0,
    data_root: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Fingerprint:
    """The same of a dataset that is prepared already, for several networks to look at; arguments and errors as for `describe_dataset`."""
    all_classes, enough = comparable([class_sizes(data)])
    places = matched_examples(data.train_y, classes or all_classes, per_class or enough, seed)
    device = torch.device(device)
    backbone = build_model(
        model,
        in_shape=data.in_shape,
        num_classes=data.num_classes,
        reads="logits",
        seed_parts=(seed, 0),
        weights=weights,
        data_root=resolve_data_root(data_root),
    ).backbone
    examples, labels = data.train_indices[places], data.train_y[places]
    features = frozen_features(backbone, data.dataset, model, device)[examples]
    sample, standardise = Sample.of(scaled(features), labels), data.dataset.standardiser(device)

    def images() -> Iterator[Tensor]:
        yield from (standardise(data.dataset.images[part].to(device)) for part in torch.split(examples, BATCH))

    def embed(batch: Tensor) -> Tensor:
        return scaled(backbone(batch))

    sensitivities = {
        "pose_sensitivity": pose_sensitivity(embed, images(), sample),
        "frame_sensitivity": frame_sensitivity(embed, images(), sample),
    }
    fingerprint = describe_sample(sample, halves=halves, seed=seed)
    return replace(fingerprint, estimates={**fingerprint.estimates, **sensitivities})
