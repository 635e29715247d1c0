"""MNIST, read by torchvision from files that are already there: a trial never downloads."""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.dataset import DATA_ROOT_VARIABLE, Dataset, DatasetSource

# Mean and standard deviation of the training pixels on the scale [0, 1].
MEAN, STD = 0.1307, 0.3081
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
HOW = "torchvision.datasets.MNIST(root, download=True) puts them there"


def check(data_root: Path | None) -> None:
    """Raise `FileNotFoundError` where the four files are not below ``data_root``."""
    if data_root is None:
        raise FileNotFoundError(f"mnist: no data root was given (--data-root or {DATA_ROOT_VARIABLE}); {HOW}")
    folder = data_root / "MNIST" / "raw"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"mnist: {', '.join(missing)} not found in {folder}; {HOW}")


def read(data_root: Path | None) -> Dataset:
    """All images, the 60000 for training first; the other 10000 are the official test split."""
    check(data_root)
    from torchvision.datasets import MNIST

    parts = [MNIST(root=str(data_root), train=train, download=False) for train in (True, False)]
    pixels = torch.cat([part.data for part in parts])
    labels = torch.cat([part.targets for part in parts])
    # In place on the one float copy: at 70000 images a second would cost 220 MB.
    images = pixels.to(torch.float32).div_(255.0).sub_(MEAN).div_(STD).unsqueeze(1)
    return Dataset(
        name="mnist",
        images=images,
        labels=labels.to(torch.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        test_indices=torch.arange(len(parts[0].data), len(labels)),
    )


SOURCE = DatasetSource(
    name="mnist",
    title="MNIST",
    num_classes=10,
    in_shape=(1, 28, 28),
    examples=70000,
    reference="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 1998",
    read=read,
    check=check,
)
