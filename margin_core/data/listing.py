"""The datasets there are.

A new one here is its own file and one line below; one of another package is found by its entry point in the group
``margin_core.datasets``.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from margin_core.data import (
    cifar10,
    cifar10_animals,
    cifar10_vehicles,
    cifar100,
    cub,
    digits,
    dukemtmc,
    fashion_mnist,
    fgvc_aircraft,
    folder,
    grocery,
    grocery_packages,
    grocery_produce,
    hugging_face,
    lfw,
    manifold,
    market1501,
    mnist,
    oxford_flowers,
    oxford_pets,
    points,
    stanford_cars,
    stanford_dogs,
    svhn,
    webdataset,
)
from margin_core.data.dataset import OFFICIAL, Dataset, DatasetConfig, DatasetSource, Pretext, no_official_validation, resolve_data_root
from margin_core.data.pretext import TURNS
from margin_core.entry_points import Declarations

SOURCES = Declarations(
    "margin_core.datasets",
    "dataset",
    DatasetSource,
    [
        digits.SOURCE,
        mnist.SOURCE,
        fashion_mnist.SOURCE,
        cifar10.SOURCE,
        cifar10_animals.SOURCE,
        cifar10_vehicles.SOURCE,
        cifar100.SOURCE,
        svhn.SOURCE,
        grocery.SOURCE,
        grocery_packages.SOURCE,
        grocery_produce.SOURCE,
        cub.SOURCE,
        stanford_dogs.SOURCE,
        stanford_cars.SOURCE,
        fgvc_aircraft.SOURCE,
        oxford_flowers.SOURCE,
        oxford_pets.SOURCE,
        market1501.SOURCE,
        dukemtmc.SOURCE,
        lfw.SOURCE,
        manifold.SOURCE,
        points.SOURCE,
        folder.SOURCE,
        hugging_face.SOURCE,
        webdataset.SOURCE,
    ],
)


def list_datasets() -> list[str]:
    """The names of all datasets that can be had, ours first; what stands in angle brackets is the user's to fill in."""
    return [source.written for source in SOURCES.all()[0]]


def dataset_info(name: str, size: int | None = None) -> DatasetSource:
    """The declaration of dataset ``name``; for the same arguments always the same.

    Args:
        name: One of `list_datasets()`, what stands in angle brackets filled in.
        size: Pixels of the shorter side of photos, or None for the dataset's own default.

    Raises:
        ValueError: On an unknown dataset, a name that is not written as it should be, a size where there is none to choose, or a
            dataset of another package that cannot be had.
    """
    kind, _, argument = name.partition(":")
    source = SOURCES.find(kind)
    if source is None:
        raise ValueError(f"dataset must be one of {', '.join(list_datasets())}, got {name!r}")
    if (source.named is None) != (kind == name) or (source.named is not None and not argument):
        raise ValueError(f"dataset must be written {source.written}, got {name!r}")
    if argument.startswith(("/", "~")) or ".." in argument.split("/"):
        raise ValueError(f"dataset must be written {source.written}, and lie below the data root: no whole path and no .., got {name!r}")
    return _found(source, argument, size)


@cache
def _found(source: DatasetSource, argument: str, size: int | None) -> DatasetSource:
    if source.named is not None:
        source = source.named(argument)
    if size is None:
        return source
    if source.resize is None:
        raise ValueError(f"{source.name}: size must be left out, for its images have one size, got {size}")
    return source.resize(size)


def check_dataset(name: str, data_root: str | Path | None = None) -> None:
    """Check, without loading, that dataset ``name`` exists and its files are there.

    Args:
        name: One of `list_datasets()`, what stands in angle brackets filled in.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.

    Raises:
        ValueError: On an unknown dataset.
        FileNotFoundError: Where files are missing; the sentence says where they are looked for and how they are had.
    """
    dataset_info(name).check(resolve_data_root(data_root))


def check_dials(config: DatasetConfig, num_classes: int | None = None) -> None:
    """Check, without loading, that a dataset has the level it is merged into, the classes, the size, the pretext and the splits asked for.

    Args:
        config: Which dataset, and its dials.
        num_classes: How many classes its files have told of, for a dataset that declares no number.

    Raises:
        ValueError: In one sentence.
    """
    declared = _merged_classes(config)
    there = num_classes if declared is None else declared
    if there is not None and there < 2:
        raise ValueError(f"{config.name}: merge must be left out, for there are not two {config.merge} to merge its classes into")
    if config.classes is not None and there is not None and config.classes > there:
        of = f"its {config.merge}" if config.merge is not None else "its classes"
        raise ValueError(f"{config.name}: classes must be at most {there}, the number of {of}, got {config.classes}")
    source = dataset_info(config.name, config.size)
    if config.pretext is not None:
        _check_pretext(source, config.pretext)
    if config.validation == OFFICIAL and source.official_validation is False:
        raise no_official_validation(config.name)


def _check_pretext(source: DatasetSource, pretext: Pretext) -> None:
    _, height, width = source.in_shape
    if height != width:
        raise ValueError(f"{source.name}: pretext must be left out, for images of {height}x{width} pixels are not square, got {pretext!r}")
    if source.task != "classification":
        raise ValueError(f"{source.name}: pretext must be left out, for the dataset has a task of its own, {source.task}, got {pretext!r}")


def number_of_classes(config: DatasetConfig) -> int | None:
    """How many classes a dataset has with its dials turned, or None where only its files tell."""
    return TURNS if config.pretext is not None else config.classes or _merged_classes(config)


def _merged_classes(config: DatasetConfig) -> int | None:
    source = dataset_info(config.name, config.size)
    return {None: source.num_classes, "superclasses": source.superclasses, "groups": source.groups}[config.merge]


def load_dataset(name: str, data_root: str | Path | None = None, *, size: int | None = None) -> Dataset:
    """Dataset ``name``, read once per process, data root and size; arguments and errors as of `check_dataset` and `dataset_info`."""
    source = dataset_info(name, size)
    root = resolve_data_root(data_root)
    source.check(root)
    return _read(source, root)


@lru_cache(maxsize=4)
def _read(source: DatasetSource, root: Path | None) -> Dataset:
    return source.read(root)
