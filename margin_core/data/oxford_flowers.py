"""Oxford 102 Flowers: 102 kinds of flowers that are common in Britain, of most of which the test split has the more photos."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_files, samples_of

FILES = Files(
    "oxford_flowers",
    "flowers-102",
    ("jpg", "imagelabels.mat", "setid.mat"),
    "margin-studies datasets --download oxford_flowers puts them there (0.35 GB)",
)


def photos(root: Path) -> Photos:
    """All photos in the authors' order: 1020 for training, 1020 for validation, and 6149, the official test split."""
    from torchvision.datasets import Flowers102

    # Given a loader that hands on the path, torchvision lists the files and opens none.
    train, val, test = (samples_of(Flowers102(root, split=split, loader=str)) for split in ("train", "val", "test"))
    return Photos(in_files([*train, *val]), in_files(test), Flowers102.classes, val=range(len(train), len(train) + len(val)))


def download(data_root: Path) -> None:
    """Put the files below the data root, by torchvision."""
    from torchvision.datasets import Flowers102

    Flowers102(data_root, download=True)


SOURCE = declare(
    name="oxford_flowers",
    title="Oxford 102 Flowers",
    num_classes=102,
    examples=8189,
    reference="Nilsback and Zisserman, Automated flower classification over a large number of classes, ICVGIP 2008",
    find=FILES.find,
    listed=photos,
    official_validation=True,
    download=download,
)
