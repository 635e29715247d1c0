"""SVHN, cropped digits of house numbers: its training and test part; the 531131 easier *extra* images are left out."""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.dataset import Dataset, DatasetSource
from margin_core.data.files import Files, join_parts

# Of the training pixels on the scale [0, 1], by channel.
MEAN, STD = (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)
FILES = Files(
    "svhn",
    "",
    ("train_32x32.mat", "test_32x32.mat"),
    "torchvision.datasets.SVHN(root, split, download=True) puts them there for split 'train' and 'test' (246 MB)",
)


def read(data_root: Path | None) -> Dataset:
    """All images, the 73257 for training first; the other 26032 are the official test split."""
    root = FILES.find(data_root)
    from torchvision.datasets import SVHN

    parts = [SVHN(str(root), split=split) for split in ("train", "test")]
    train, test = ((torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels)) for part in parts)
    return join_parts("svhn", train, test, class_names=tuple(str(digit) for digit in range(10)), mean=MEAN, std=STD)


def download(data_root: Path) -> None:
    """Put both parts into the data root, by torchvision."""
    from torchvision.datasets import SVHN

    for split in ("train", "test"):
        SVHN(str(data_root), split=split, download=True)


SOURCE = DatasetSource(
    name="svhn",
    title="SVHN (cropped digits)",
    num_classes=10,
    in_shape=(3, 32, 32),
    examples=99289,
    reference="Netzer et al., Reading digits in natural images with unsupervised feature learning, NIPS workshop 2011",
    read=read,
    check=FILES.find,
    download=download,
)
