"""What datasets that are read from files share: where the files are looked for, and joining the two parts; images are left to `photos`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from margin_core.data.dataset import DATA_ROOT_VARIABLE, Dataset, Superclasses


@dataclass(frozen=True)
class Files:
    """What a dataset is read from.

    Args:
        dataset: The dataset's name.
        folder: Where the files lie below the data root; empty where they lie in it.
        names: Files or folders that must be there, relative to ``folder``.
        how: How they are had, and how large they are.
    """

    dataset: str
    folder: str
    names: tuple[str, ...]
    how: str

    def missing(self, data_root: Path) -> list[str]:
        """Those of the names that are not there."""
        return [name for name in self.names if not (data_root / self.folder / name).exists()]

    def find(self, data_root: Path | None) -> Path:
        """The data root, if all is there.

        Raises:
            FileNotFoundError: In one sentence, where there is no data root or something is missing.
        """
        if data_root is None:
            raise FileNotFoundError(f"{self.dataset}: no data root was given (--data-root or {DATA_ROOT_VARIABLE}); {self.how}")
        if missing := self.missing(data_root):
            raise FileNotFoundError(f"{self.dataset}: {', '.join(missing)} not found in {data_root / self.folder}; {self.how}")
        return data_root


def join_parts(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    class_names: Sequence[str],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    superclasses: Superclasses | None = None,
    groups: Superclasses | None = None,
) -> Dataset:
    """A dataset of an official training part and an official test part, each uint8 images (N, C, H, W) and labels (N,), in this order."""
    return Dataset(
        name=name,
        images=torch.cat([train[0], test[0]]),
        labels=torch.cat([train[1], test[1]]).to(torch.int64),
        class_names=tuple(class_names),
        test_indices=torch.arange(len(train[1]), len(train[1]) + len(test[1])),
        mean=mean,
        std=std,
        superclasses=superclasses,
        groups=groups,
    )
