"""The datasets there are.

A new one here is its own file and one line below; one of another package is found by its entry point in the group
``margin_core.datasets``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from margin_core.data import cifar10, cifar100, digits, fashion_mnist, grocery, mnist, points, svhn
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
        cifar100.SOURCE,
        svhn.SOURCE,
        grocery.SOURCE,
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
    """Check, without loading, that the dataset of ``config`` has as many classes as asked for; raises `ValueError`."""
    there = dataset_info(config.name).num_classes
    if config.classes is not None and config.classes > there:
        raise ValueError(f"{config.name}: classes must be at most {there}, the number of its classes, got {config.classes}")


def load_dataset(name: str, data_root: str | Path | None = None) -> Dataset:
    """Dataset ``name``, read once per process and data root; arguments and errors as of `check_dataset`."""
    source = dataset_info(name)
    root = resolve_data_root(data_root)
    source.check(root)
    return _read(source, root)


@lru_cache(maxsize=4)
def _read(source: DatasetSource, root: Path | None) -> Dataset:
    return source.read(root)
