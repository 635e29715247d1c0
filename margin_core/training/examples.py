"""What a trained network makes of each test example: whether it is right, and its sample margin, as a small file.

Two trials that share a study's seed and dataset have the same test examples in the same order, so their files can be compared
example by example. When a file is written is left to `studies`.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from margin_core import metrics

if TYPE_CHECKING:
    from margin_core.training.trial import Trial


@dataclass(frozen=True)
class Examples:
    """The test examples of a trial, in the order of their places.

    Args:
        places: Their places in the dataset, int64 (N,), rising. Test images that are of no class are not among them.
        right: Whether the class with the best score is the own one, the first of tied ones, bool (N,).
        margins: `margin_core.metrics.sample_margin` of their cosines, rounded to float16 (three decimal digits), (N,).
    """

    places: np.ndarray
    right: np.ndarray
    margins: np.ndarray

    @classmethod
    def of(cls, trial: Trial) -> Examples:
        """Those of ``trial`` as it stands."""
        seen = trial.predict("test")
        places = trial.data.test_indices[seen.target.cpu() >= 0]
        seen = seen.of_a_class()
        right = seen.logits.argmax(dim=1) == seen.target
        margins = metrics.sample_margin(seen.cosines, seen.target) if len(places) else seen.cosines.new_zeros(0)
        return cls(places.numpy(), right.cpu().numpy(), margins.half().cpu().numpy())

    def write(self, path: Path) -> None:
        """Write them to ``path``, whole or not at all: 17 bits an example, and the gaps between the places, which compress to little.

        10000 examples of an official test split take 20 kB, 359 drawn from 1797 take 2 kB.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                gaps = np.diff(self.places, prepend=0).astype(np.uint32)
                np.savez_compressed(file, gaps=gaps, right=np.packbits(self.right), margins=self.margins.astype(np.float16))
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> Examples:
        """Those that `write` wrote.

        Raises:
            FileNotFoundError: Where there is no such file.
            ValueError: Where it is torn or another file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                gaps, right, margins = file["gaps"], file["right"], file["margins"]
        except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a whole file of test examples: {error}") from error
        return cls(np.cumsum(gaps, dtype=np.int64), np.unpackbits(right, count=len(gaps)).astype(bool), margins)
