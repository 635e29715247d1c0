"""Two datasets of another package, with a task each: classes 0 to 6 of the digits are trained on, 7 to 9 are looked for or compared.

`installed` lays their entry points out as an installer would, so that they are found as any other package's are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from margin_core.data import SOURCES, Dataset, DatasetSource, RetrievalTask, VerificationTask, load_dataset
from tests.packages import write_package

TRAINED = 7
CAMERAS = 4


def strangers() -> Tensor:
    """The places of the digits 7, 8 and 9."""
    return torch.nonzero(load_dataset("digits").labels >= TRAINED).squeeze(1)


def dataset(name: str, task: RetrievalTask | VerificationTask) -> Dataset:
    digits = load_dataset("digits")
    labels = torch.where(digits.labels < TRAINED, digits.labels, -1)
    return Dataset(name, digits.images, labels, digits.class_names[:TRAINED], test_indices=strangers(), task=task)


def read_found(data_root: Path | None) -> Dataset:
    """Every third stranger is looked for among the others; each image has one of four made-up cameras."""
    identities, places = load_dataset("digits").labels, strangers()
    is_query = torch.arange(len(places)) % 3 == 0
    cameras = torch.arange(len(identities)) // 5 % CAMERAS
    return dataset("digits-found", RetrievalTask(places[is_query], places[~is_query], identities, cameras))


def read_compared(data_root: Path | None) -> Dataset:
    """Each stranger is compared with the seven that come next."""
    identities, places = load_dataset("digits").labels, strangers()
    pairs = torch.stack([places.roll(-step) for step in range(8)], dim=1)
    pairs = torch.cat([pairs[:, [0, step]] for step in range(1, 8)])
    return dataset("digits-compared", VerificationTask(pairs, identities[pairs[:, 0]] == identities[pairs[:, 1]]))


FOUND = DatasetSource("digits-found", "Digits found again", TRAINED, (1, 8, 8), 1797, "made for tests", read_found, task="retrieval")
COMPARED = DatasetSource(
    "digits-compared", "Digits compared", TRAINED, (1, 8, 8), 1797, "made for tests", read_compared, task="verification"
)


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Both datasets, declared by a package in ``folder``, in the block."""
    declared = {source.name: f"{__name__}:{thing}" for thing, source in (("FOUND", FOUND), ("COMPARED", COMPARED))}
    write_package(folder, "digit-tasks", {}, {"margin_core.datasets": declared})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        vars(SOURCES).pop("_named", None)  # as a process that has just started sees them
        yield
    vars(SOURCES).pop("_named", None)
