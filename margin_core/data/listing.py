"""The datasets there are. A new one is its own file and one line here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from margin_core.data import digits, mnist
from margin_core.data.dataset import Dataset, DatasetSource, resolve_data_root

SOURCES: dict[str, DatasetSource] = {
    source.name: source
    for source in (
        digits.SOURCE,
        mnist.SOURCE,
    )
}


def list_datasets() -> list[str]:
    """The names of all datasets."""
    return list(SOURCES)


def dataset_info(name: str) -> DatasetSource:
    """The declaration of dataset ``name``; raises `ValueError` naming it and the datasets there are."""
    if name not in SOURCES:
        raise ValueError(f"dataset must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name]


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


def load_dataset(name: str, data_root: str | Path | None = None) -> Dataset:
    """Dataset ``name``, read once per process and data root; arguments and errors as of `check_dataset`."""
    source = dataset_info(name)
    root = resolve_data_root(data_root)
    source.check(root)
    return _read(source, root)


@lru_cache(maxsize=4)
def _read(source: DatasetSource, root: Path | None) -> Dataset:
    return source.read(root)
