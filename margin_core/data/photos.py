"""Datasets of photos: what such a dataset lists before anything is read, how it is declared, and how it becomes a `Dataset`.

Where the files lie and which they are is left to the dataset's own file, decoding and keeping to `decoded`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from margin_core.data.dataset import DATA_ROOT_VARIABLE, Dataset, DatasetSource, Superclasses
from margin_core.data.decoded import Fit, ImageFile, Picture, PictureError, decode
from margin_core.data.tasks import Task, TaskName

if TYPE_CHECKING:
    from PIL import Image

# Of the photos of a dataset, in pixels, where nothing else is said: what most networks for photos are made for.
SIZE = 224
# What a part that is the official validation split may be called.
VALIDATION_PARTS = ("val", "valid", "validation")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


@dataclass(frozen=True)
class Photos:
    """The pictures of a dataset and their classes, none of them read yet.

    Args:
        train: Each picture outside the official test split and its class, in [0, K).
        test: The official test split; empty where there is none. Where there is a task, -1 is a class too: none.
        class_names: One name per class.
        superclasses: The superclass of each class, or None.
        groups: The group of each class, or None.
        task: What test pictures are measured by beside classification, or None; its places count ``train`` first.
        val: Places in ``train`` of the official validation split; empty where there is none.
    """

    train: Sequence[tuple[Picture, int]]
    test: Sequence[tuple[Picture, int]]
    class_names: Sequence[str]
    superclasses: Superclasses | None = None
    groups: Superclasses | None = None
    task: Task | None = None
    val: Sequence[int] = ()


def middle(image: Image.Image, height: int, width: int) -> Image.Image:
    """The shorter side resized to the wanted shorter side, then the middle."""
    from torchvision.transforms.functional import center_crop, resize

    cropped: Image.Image = center_crop(resize(image, min(height, width)), [height, width])
    return cropped


def whole(image: Image.Image, height: int, width: int) -> Image.Image:
    """The whole picture, whatever becomes of its proportions."""
    from torchvision.transforms.functional import resize

    resized: Image.Image = resize(image, [height, width])
    return resized


def declare(
    *,
    name: str,
    title: str,
    num_classes: int | None,
    examples: int | None,
    reference: str,
    find: Callable[[Path | None], Path],
    listed: Callable[[Path], Photos],
    size: int = SIZE,
    tall: int = 1,
    fit: Fit = middle,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    superclasses: int = 0,
    groups: int = 0,
    download: Callable[[Path], object] | None = None,
    task: TaskName = "classification",
    official_validation: bool | None = False,
) -> DatasetSource:
    """A dataset of photos, which can be had at any size.

    Args:
        name: What a study file calls it.
        title: Its name in prose.
        num_classes: K, or None where only its files tell.
        examples: How many there are, the official test split included, or None where only its files tell.
        reference: Where it comes from.
        find: The folder that ``listed`` reads from, given a data root; raises `FileNotFoundError` in one sentence.
        listed: The photos below that folder.
        size: Width in pixels where none is asked for.
        tall: How often the width goes into the height.
        fit: How photos of any size come to this one.
        mean: As of `read_photos`.
        std: As of `read_photos`.
        superclasses: As of `DatasetSource`.
        groups: As of `DatasetSource`.
        download: As of `DatasetSource`.
        task: As of `DatasetSource`.
        official_validation: As of `DatasetSource`.
    """

    def at(asked: int | None) -> DatasetSource:
        side = asked or size

        def read(data_root: Path | None) -> Dataset:
            photos = listed(find(data_root))
            return read_photos(name, photos, height=tall * side, width=side, fit=fit, mean=mean, std=std)

        return DatasetSource(
            name=name,
            title=title,
            num_classes=num_classes,
            in_shape=(3, tall * side, side),
            examples=examples,
            reference=reference,
            read=read,
            check=find,
            superclasses=superclasses,
            groups=groups,
            decodes=True,
            size=asked,
            resize=at,
            download=download,
            task=task,
            official_validation=official_validation,
        )

    return at(None)


def declare_kind(
    *, name: str, title: str, reference: str, arguments: str, how: str, named: Callable[[str], DatasetSource]
) -> DatasetSource:
    """A kind of datasets of photos, which a study file names with what stands after a ``:``.

    Args:
        name: What stands before it.
        title: What such a dataset is, in prose.
        reference: Where it comes from.
        arguments: What stands from there on, for people: ``:<path>``.
        how: What is to be filled in, and what is read.
        named: Makes the dataset of what is filled in.
    """

    def check(data_root: Path | None) -> NoReturn:
        raise FileNotFoundError(f"{name}: to be written {name}{arguments}; {how}")

    return DatasetSource(
        name=name,
        title=title,
        num_classes=None,
        in_shape=(3, SIZE, SIZE),
        examples=None,
        reference=reference,
        read=check,
        check=check,
        arguments=arguments,
        named=named,
    )


def below(name: str, path: str, data_root: Path | None) -> Path:
    """Where a path leads, below the data root; raises `FileNotFoundError` where there is none. That it does not lead out is checked."""
    if data_root is None:
        raise FileNotFoundError(f"{name}: no data root was given (--data-root or {DATA_ROOT_VARIABLE}), below which {path} is looked for")
    return data_root / path


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
        val_indices=torch.tensor(photos.val) if photos.val else None,
        mean=mean or measured_mean,
        std=std or measured_std,
        superclasses=photos.superclasses,
        groups=photos.groups,
        task=photos.task,
    )


def by_class(samples: Iterable[tuple[str, int]]) -> list[tuple[Picture, int]]:
    """Files of images and their classes, class by class and each in the order of the files' names."""
    return in_files(sorted(samples, key=lambda sample: (sample[1], os.path.basename(sample[0]))))


def in_order(folder: Path, samples: Iterable[tuple[str, int]]) -> list[tuple[Picture, int]]:
    """Files of images below a folder and their classes, in this order."""
    return in_files((os.path.join(folder, path), label) for path, label in samples)


def in_files(samples: Iterable[tuple[str, int]]) -> list[tuple[Picture, int]]:
    """Files of images and their classes, in this order."""
    return [(ImageFile(path), label) for path, label in samples]


def samples_of(listed: Any) -> list[tuple[str, int]]:
    """Paths and classes of one of torchvision's datasets whose loader hands on the path."""
    return [(str(path), int(label)) for path, label in (listed[place] for place in range(len(listed)))]


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
