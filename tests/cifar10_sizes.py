"""A dataset of another package that has as many examples of each class as CIFAR-10, each of one pixel.

`installed` lays its entry point out as an installer would, so that it is found as any other package's is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from margin_core.data import SOURCES, Dataset, DatasetSource
from margin_core.data.cifar10 import CLASSES
from tests.packages import write_package

TRAINED, TESTED = 50_000, 10_000


def read(data_root: Path | None) -> Dataset:
    """Classes take turns; the last examples are the official test split."""
    examples = torch.arange(TRAINED + TESTED)
    images = (examples / len(examples))[:, None, None, None]
    return Dataset("cifar10-sizes", images, examples % 10, CLASSES, test_indices=examples[TRAINED:])


SOURCE = DatasetSource("cifar10-sizes", "The sizes of CIFAR-10", 10, (1, 1, 1), TRAINED + TESTED, "made for tests", read)


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """The dataset, declared by a package in ``folder``, in the block."""
    write_package(folder, "cifar10-sizes", {}, {"margin_core.datasets": {"cifar10-sizes": f"{__name__}:SOURCE"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        vars(SOURCES).pop("_named", None)  # as a process that has just started sees it
        yield
    vars(SOURCES).pop("_named", None)
