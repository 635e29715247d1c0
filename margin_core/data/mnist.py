"""MNIST, and the reader of every dataset in files of its format, IDX. A trial never downloads; torchvision does where it is asked to.

The files are read here, in a few lines, since importing torchvision takes each process that trains some three seconds.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from margin_core.data.dataset import Dataset, DatasetSource
from margin_core.data.files import Files, join_parts

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def declare(
    *, name: str, title: str, reader: str, megabytes: int, mean: float, std: float, class_names: tuple[str, ...], reference: str
) -> DatasetSource:
    """A dataset of ten classes that has MNIST's format, sizes and names of files.

    Args:
        name: What a study file calls it.
        title: Its name in prose.
        reader: torchvision's class, whose name is the folder's too.
        megabytes: Size of what is downloaded.
        mean: Of the training pixels on the scale [0, 1].
        std: Their standard deviation.
        class_names: One name per class.
        reference: Where it comes from.
    """
    size = f"{megabytes} MB to download, {megabytes + 55} MB on disk"
    files = Files(name, f"{reader}/raw", NAMES, f"torchvision.datasets.{reader}(root, download=True) puts them there ({size})")

    def read(data_root: Path | None) -> Dataset:
        folder = files.find(data_root) / files.folder
        images, labels, test_images, test_labels = (_read_idx(folder / file) for file in NAMES)
        return join_parts(
            name,
            (images.unsqueeze(1), labels.long()),
            (test_images.unsqueeze(1), test_labels.long()),
            class_names=class_names,
            mean=(mean,),
            std=(std,),
        )

    def download(data_root: Path) -> None:
        from torchvision import datasets

        getattr(datasets, reader)(data_root, download=True)

    return DatasetSource(
        name=name,
        title=title,
        num_classes=10,
        in_shape=(1, 28, 28),
        examples=70000,
        reference=reference,
        read=read,
        check=files.find,
        download=download,
    )


def _read_idx(path: Path) -> Tensor:
    """What a file holds: two zeros, 8 for bytes, the number of axes, the length of each, and the bytes."""
    try:
        with path.open("rb") as file:
            zeros, kind, axes = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{axes}I", file.read(4 * axes))
            numbers = np.fromfile(file, dtype=np.uint8)
    except struct.error:
        zeros, kind, shape, numbers = 0, 0, (), np.zeros(0, dtype=np.uint8)
    if (zeros, kind) != (0, 8) or len(numbers) != math.prod(shape):
        raise ValueError(f"{path} is not a whole file of bytes in the IDX format: delete it, and download it again")
    return torch.from_numpy(numbers.reshape(shape))


SOURCE = declare(
    name="mnist",
    title="MNIST",
    reader="MNIST",
    megabytes=12,
    mean=0.1307,
    std=0.3081,
    class_names=tuple(str(digit) for digit in range(10)),
    reference="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 1998",
)
