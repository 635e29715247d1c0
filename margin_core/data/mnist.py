"""MNIST, and the reader of every dataset in files of its format: torchvision reads what is already there, a trial never downloads."""

from __future__ import annotations

from pathlib import Path

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
        root = files.find(data_root)
        from torchvision import datasets

        train, test = (getattr(datasets, reader)(root, train=train) for train in (True, False))
        return join_parts(
            name,
            (train.data.unsqueeze(1), train.targets),
            (test.data.unsqueeze(1), test.targets),
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
