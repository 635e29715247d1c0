"""The 1797 handwritten digits of 8x8 pixels that scikit-learn ships: a whole study on them takes minutes on one core."""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.dataset import Dataset, DatasetSource

# Mean and standard deviation of all pixels on the scale [0, 1]: fixed, so that no split leaks into another.
MEAN, STD = 0.3053, 0.3760


def read(data_root: Path | None) -> Dataset:
    """The digits, from scikit-learn's own copy; ``data_root`` is not used."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).to(torch.float32) / 16.0
    return Dataset(
        name="digits",
        images=((pixels - MEAN) / STD).unsqueeze(1),
        labels=torch.from_numpy(bunch.target).to(torch.int64),
        class_names=tuple(str(name) for name in bunch.target_names),
    )


SOURCE = DatasetSource(
    name="digits",
    title="Digits 8x8 (scikit-learn)",
    num_classes=10,
    in_shape=(1, 8, 8),
    examples=1797,
    reference="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; the test part, as in scikit-learn",
    read=read,
)
