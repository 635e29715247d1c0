"""Any folder of images: ``folder:<path>``, a folder for each class, in parts for training and testing or in one."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.dataset import DatasetSource
from margin_core.data.photos import VALIDATION_PARTS, Photos, below, declare, declare_kind, folder_of_classes

TITLE, REFERENCE = "A folder of images", "your own"
HOW = "a folder below the data root that holds a folder of images for each class, or train, test and perhaps val that do"


def named(path: str) -> DatasetSource:
    """The dataset in a folder."""
    name = f"folder:{path}"

    def find(data_root: Path | None) -> Path:
        folder = below(name, path, data_root)
        if len(class_names(folder / "train" if (folder / "train").is_dir() else folder)) < 2:
            raise FileNotFoundError(f"{name}: no folders of two or more classes were found in {folder}; it is to be {HOW}")
        return folder

    return declare(
        name=name, title=TITLE, num_classes=None, examples=None, reference=REFERENCE, find=find, listed=photos, official_validation=None
    )


def class_names(folder: Path) -> list[str]:
    """The names of the folders in a folder, in order; hidden ones are none."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def photos(folder: Path) -> Photos:
    """All images: the training part, then the official validation part, then the test part, which is the official test split."""
    if not (folder / "train").is_dir():
        names = class_names(folder)
        return Photos(folder_of_classes(folder, names), [], names)
    names = class_names(folder / "train")
    train = folder_of_classes(folder / "train", names)
    val = [sample for part in VALIDATION_PARTS for sample in folder_of_classes(folder / part, names)]
    test = folder_of_classes(folder / "test", names)
    return Photos([*train, *val], test, names, val=range(len(train), len(train) + len(val)))


SOURCE = declare_kind(name="folder", title=TITLE, reference=REFERENCE, arguments=":<path>", how=f"<path> is {HOW}", named=named)
