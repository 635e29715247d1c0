"""The datasets there are.

A new one here is its own file and one line below; one of another package is found by its entry point in the group
``margin_core.datasets``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from margin_core.data import (
    cifar10,
    cifar10_animals,
    cifar10_vehicles,
    cifar100,
    digits,
    fashion_mnist,
    grocery,
    grocery_packages,
    grocery_produce,
    manifold,
    mnist,
    points,
    svhn,
)
from margin_core.data.dataset import Dataset, DatasetConfig, DatasetSource, resolve_data_root
from margin_core.entry_points import Declarations

SOURCES = Declarations(
    "margin_core.datasets",
    "dataset",
    DatasetSource,
    [
        digits.SOURCE,
        points.SOURCE,
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
        manifold.SOURCE,
    ],
)


def list_datasets() -> list[str]:
    """The names of all datasets, ours first."""
    return SOURCES.names()


def dataset_info(name: str) -> DatasetSource:
    """The declaration of dataset ``name``; raises `ValueError` naming it and the datasets there are, or why another package's is not."""
    source = SOURCES.find(name)
    if source is None:
        raise ValueError(f"dataset must be one of {', '.join(list_datasets())}, got {name!r}")
    return source


def check_dataset(name: str, data_root: str | Path | None = None) -> None:
    """Check, without loading, that dataset ``name`` exists and its files are there.

    Args:
        name: One of `list_datasets()`.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.

    Raises:
        ValueError: On an unknown dataset.
        FileNotFoundError: Where files are missing; the sentence says where they are looked for and how they are had.
    """
    dataset_info(name).check(resolve_data_root(data_root))


def check_dials(config: DatasetConfig) -> None:
    """Check, without loading, that the dataset of ``config`` has the level it is merged into, and the classes asked for.

    Raises:
        ValueError: In one sentence.
    """
    there = _merged_classes(config)
    if there < 2:
        raise ValueError(f"{config.name}: merge must be left out, for there are not two {config.merge} to merge its classes into")
    if config.classes is not None and config.classes > there:
        of = f"its {config.merge}" if config.merge is not None else "its classes"
        raise ValueError(f"{config.name}: classes must be at most {there}, the number of {of}, got {config.classes}")


def number_of_classes(config: DatasetConfig) -> int:
    """How many classes a dataset has with its dials turned."""
    return config.classes or _merged_classes(config)


def _merged_classes(config: DatasetConfig) -> int:
    source = dataset_info(config.name)
    return {None: source.num_classes, "superclasses": source.superclasses, "groups": source.groups}[config.merge]


def load_dataset(name: str, data_root: str | Path | None = None) -> Dataset:
    """Dataset ``name``, read once per process and data root; arguments and errors as of `check_dataset`."""
    source = dataset_info(name)
    root = resolve_data_root(data_root)
    source.check(root)
    return _read(source, root)


@lru_cache(maxsize=4)
def _read(source: DatasetSource, root: Path | None) -> Dataset:
    return source.read(root)
