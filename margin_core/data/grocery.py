"""Grocery Store: 81 kinds of fruit, vegetables and cartons on a shop's shelves, as photographed with a smartphone.

The superclasses are kinds of goods, 43 of them, the groups Fruit, Packages and Vegetables; packages are rigid and differ in small print.
The photos are read from a clone of the authors' repository, whose iconic pictures are left out, or from folders of images. Of each the
middle is taken: the shorter side is resized to 64 pixels where no other size is asked for, then a square is cropped.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from margin_core.data.dataset import Dataset
from margin_core.data.decoded import Picture
from margin_core.data.files import Files
from margin_core.data.photos import Photos, by_class, declare, folder_of_classes, superclasses

# Of the pixels outside the test split on the scale [0, 1] at 64x64, by channel.
MEAN, STD = (0.5288, 0.3973, 0.2601), (0.2287, 0.2074, 0.1931)
HOW = (
    "git clone https://github.com/marcusklasson/GroceryStoreDataset in the data root puts them there (5421 photos of about 348x348 "
    "pixels), or have them as grocery/{train,val,test}/<class>/*.jpg with a grocery/classes.csv of class, superclass and group"
)
CLONE = Files("grocery", "GroceryStoreDataset/dataset", ("train.txt", "val.txt", "test.txt", "classes.csv", "train", "val", "test"), HOW)
FOLDERS = Files("grocery", "grocery", ("train", "val", "test", "classes.csv"), HOW)


def find(data_root: Path | None) -> Path:
    """The data root, if the clone or the folders of images are below it; raises `FileNotFoundError` otherwise."""
    if data_root is not None and not FOLDERS.missing(data_root):
        return data_root
    return CLONE.find(data_root)


def photos(root: Path) -> Photos:
    """All photos, the 2640 for training first, then the 296 for validation; the other 2485 are the official test split."""
    cloned = not CLONE.missing(root)
    folder = root / (CLONE if cloned else FOLDERS).folder
    with (folder / "classes.csv").open(newline="", encoding="utf-8") as lines:
        classes = [official_class(row) if cloned else (row["class"], row["superclass"], row["group"]) for row in csv.DictReader(lines)]
    names = [name for name, _, _ in classes]
    train, val, test = (listed(folder, part) if cloned else folder_of_classes(folder / part, names) for part in ("train", "val", "test"))
    return Photos(
        [*train, *val],
        test,
        names,
        superclasses([superclass for _, superclass, _ in classes]),
        superclasses([group for _, _, group in classes]),
        val=range(len(train), len(train) + len(val)),
    )


def official_class(row: dict[str, str]) -> tuple[str, str, str]:
    """Class, superclass and group; the group is the folder that the iconic picture is in, the second of its path."""
    return row["Class Name (str)"], row["Coarse Class Name (str)"], Path(row["Iconic Image Path (str)"]).parts[2]


def listed(folder: Path, part: str) -> list[tuple[Picture, int]]:
    """The photos of a part and their classes; a line of its list is ``<path>, <class>, <superclass>``."""
    lines = (line.split(",") for line in (folder / f"{part}.txt").read_text(encoding="utf-8").splitlines() if line)
    return by_class((str(folder / path), int(label)) for path, label, _ in lines)


def classes_in(dataset: Dataset, groups: Sequence[str]) -> list[int]:
    """The classes of some groups, in rising order; raises `ValueError` where the dataset, as it was read, lacks one of them."""
    there = dataset.groups.names if dataset.groups is not None else ()
    numbers = [there.index(name) for name in groups]
    return [label for label in range(dataset.num_classes) if dataset.groups is not None and int(dataset.groups.of_class[label]) in numbers]


SOURCE = declare(
    name="grocery",
    title="Grocery Store (the middle of each photo)",
    num_classes=81,
    examples=5421,
    reference="Klasson, Zhang and Kjellström, A hierarchical grocery store image dataset with visual and semantic labels, WACV 2019",
    find=find,
    listed=photos,
    official_validation=True,
    size=64,
    mean=MEAN,
    std=STD,
    superclasses=43,
    groups=3,
)
