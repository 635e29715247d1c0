"""Stanford Dogs: 120 breeds from ImageNet. Class names are the folders', as ``n02085620-Chihuahua``."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_order

FILES = Files(
    "stanford_dogs",
    "stanford_dogs",
    ("Images", "train_list.mat", "test_list.mat"),
    "unpack images.tar and lists.tar of http://vision.stanford.edu/aditya86/ImageNetDogs in it (0.8 GB)",
)


def photos(root: Path) -> Photos:
    """All photos in the order of the lists, the 12000 for training first; the other 8580 are the official test split."""
    from scipy.io import loadmat

    folder = root / FILES.folder

    def listed(name: str) -> list[tuple[str, int]]:
        """Paths and classes; the file counts classes from 1."""
        contents = loadmat(folder / name)
        return [(entry.item(), int(label) - 1) for entry, label in zip(contents["file_list"].flat, contents["labels"].flat, strict=True)]

    train, test = listed("train_list.mat"), listed("test_list.mat")
    names = {label: path.split("/")[0] for path, label in train}
    return Photos(in_order(folder / "Images", train), in_order(folder / "Images", test), [names[label] for label in sorted(names)])


SOURCE = declare(
    name="stanford_dogs",
    title="Stanford Dogs",
    num_classes=120,
    examples=20580,
    reference="Khosla, Jayadevaprakash, Yao and Fei-Fei, Novel dataset for fine-grained image categorization, CVPR workshop 2011",
    find=FILES.find,
    listed=photos,
)
