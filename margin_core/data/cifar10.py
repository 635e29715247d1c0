"""CIFAR-10, from torchvision's batches or from folders of images, and the reader of batches for CIFAR-100 too.

Where both are there the batches are read. The folders of JPEG images that go round are not quite the same pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from margin_core.data.dataset import Dataset, DatasetSource
from margin_core.data.files import Files, join_parts
from margin_core.data.photos import Photos, folder_of_classes, read_photos

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Of the training pixels on the scale [0, 1], by channel.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
HOW = (
    "torchvision.datasets.CIFAR10(root, download=True) puts them there (171 MB to download, 357 MB on disk), "
    "or have the images as cifar10-images/{train,test}/<class>/*.jpg"
)
BATCHES = Files("cifar10", "cifar-10-batches-py", (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"), HOW)
IMAGES = Files("cifar10", "cifar10-images", tuple(f"{part}/{name}" for part in ("train", "test") for name in CLASSES), HOW)


def find(data_root: Path | None) -> Path:
    """The data root, if the batches or the folders of images are below it; raises `FileNotFoundError` otherwise."""
    if data_root is not None and not IMAGES.missing(data_root):
        return data_root
    return BATCHES.find(data_root)


def read(data_root: Path | None) -> Dataset:
    """All images, the 50000 for training first; the other 10000 are the official test split."""
    root = find(data_root)
    if BATCHES.missing(root):
        train, test = (folder_of_classes(root / IMAGES.folder / part, CLASSES) for part in ("train", "test"))
        return read_photos("cifar10", Photos(train, test, CLASSES), height=32, width=32, mean=MEAN, std=STD)
    from torchvision.datasets import CIFAR10

    batches = [examples(CIFAR10(root, train=train)) for train in (True, False)]
    return join_parts("cifar10", *batches, class_names=CLASSES, mean=MEAN, std=STD)


def examples(batches: CIFAR10) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels of torchvision's CIFAR-10 or CIFAR-100, which has them as (N, 32, 32, 3)."""
    return torch.from_numpy(batches.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(batches.targets)


def download(data_root: Path) -> None:
    """Put the batches below the data root, by torchvision."""
    from torchvision.datasets import CIFAR10

    CIFAR10(data_root, download=True)


SOURCE = DatasetSource(
    name="cifar10",
    title="CIFAR-10",
    num_classes=10,
    in_shape=(3, 32, 32),
    examples=60000,
    reference="Krizhevsky, Learning multiple layers of features from tiny images, University of Toronto 2009",
    read=read,
    check=find,
    decodes=True,
    download=download,
)
