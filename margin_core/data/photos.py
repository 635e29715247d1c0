"""Datasets of image files: what such a dataset lists before anything is read, and how it becomes a `Dataset`.

Where the files lie is left to the dataset's own file, decoding and keeping to `decoded`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from margin_core.data.dataset import Dataset, Superclasses
from margin_core.data.decoded import Fit, ImageFile, Picture, PictureError, decode

if TYPE_CHECKING:
    from PIL import Image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


@dataclass(frozen=True)
class Photos:
    """The pictures of a dataset and their classes, none of them read yet.

    Args:
        train: Each picture outside the official test split and its class, in [0, K).
        test: The official test split; empty where there is none.
        class_names: One name per class.
        superclasses: The superclass of each class, or None.
        groups: The group of each class, or None.
    """

    train: Sequence[tuple[Picture, int]]
    test: Sequence[tuple[Picture, int]]
    class_names: Sequence[str]
    superclasses: Superclasses | None = None
    groups: Superclasses | None = None


def middle(image: Image.Image, height: int, width: int) -> Image.Image:
    """The shorter side resized to the wanted shorter side, then the middle."""
    from torchvision.transforms.functional import center_crop, resize

    cropped: Image.Image = center_crop(resize(image, min(height, width)), [height, width])
    return cropped


def read_photos(
    dataset: str,
    photos: Photos,
    *,
    height: int,
    width: int,
    fit: Fit = middle,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> Dataset:
    """A dataset of photos; its images are mapped from the cache.

    Args:
        dataset: The dataset's name.
        photos: What it consists of, in this order.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        fit: How photos of any size come to this one.
        mean: Of each channel on the scale [0, 1]; by default what is measured on ``photos.train``.
        std: Standard deviation of each channel, likewise.

    Raises:
        PictureError: In one sentence, where a class has no picture to train on, or pictures cannot be read.
    """
    samples = [*photos.train, *photos.test]
    there = {label for _, label in photos.train}
    if without := [name for label, name in enumerate(photos.class_names) if label not in there]:
        more = f" and {len(without) - 1} more of its {len(photos.class_names)} classes" if len(without) > 1 else ""
        raise PictureError(f"{dataset}: no image to train on was found of class {without[0]!r}{more}")
    kept = decode(dataset, [picture for picture, _ in samples], height=height, width=width, fit=fit)
    measured_mean, measured_std = kept.mean_and_std(torch.arange(len(photos.train)))
    return Dataset(
        name=dataset,
        images=kept.images,
        labels=torch.tensor([label for _, label in samples], dtype=torch.int64),
        class_names=tuple(photos.class_names),
        test_indices=torch.arange(len(photos.train), len(samples)) if photos.test else None,
        mean=mean or measured_mean,
        std=std or measured_std,
        superclasses=photos.superclasses,
        groups=photos.groups,
    )


def by_class(samples: Iterable[tuple[str, int]]) -> list[tuple[Picture, int]]:
    """Files of images and their classes, class by class and each in the order of the files' names."""
    ordered = sorted(samples, key=lambda sample: (sample[1], os.path.basename(sample[0])))
    return [(ImageFile(path), label) for path, label in ordered]


def folder_of_classes(folder: Path, class_names: Sequence[str]) -> list[tuple[Picture, int]]:
    """As `by_class`, of what lies in ``<folder>/<class>`` and below, and ends like a file of an image; a class may have none."""
    return by_class(
        (os.path.join(place, name), label)
        for label, class_name in enumerate(class_names)
        for place, _, names in sorted(os.walk(folder / class_name))
        for name in sorted(names)
        if name.lower().endswith(IMAGE_ENDINGS)
    )


def superclasses(of_class: Sequence[str]) -> Superclasses:
    """The superclasses of the classes, numbered in the order in which they come."""
    names = tuple(dict.fromkeys(of_class))
    return Superclasses(torch.tensor([names.index(name) for name in of_class]), names)
