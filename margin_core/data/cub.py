"""CUB-200-2011: 200 kinds of birds, photographed in the open. Class names are the authors', as ``001.Black_footed_Albatross``."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_order

FILES = Files(
    "cub",
    "CUB_200_2011",
    ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt", "images"),
    "unpack CUB_200_2011.tgz of https://www.vision.caltech.edu/datasets/cub_200_2011 in the data root (1.2 GB)",
)


def photos(root: Path) -> Photos:
    """All photos by their numbers, the 5994 for training first; the other 5794 are the official test split."""
    folder = root / FILES.folder

    def table(name: str) -> dict[str, str]:
        """What a file says of each number; a line is ``<number> <what>``."""
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        return dict(line.split(" ", 1) for line in lines if line)

    classes = table("classes.txt")
    labels = {number: place for place, number in enumerate(classes)}
    label_of, part_of = table("image_class_labels.txt"), table("train_test_split.txt")
    samples = [(number, (path, labels[label_of[number]])) for number, path in table("images.txt").items()]
    train, test = ([sample for number, sample in samples if part_of[number] == part] for part in "10")
    return Photos(in_order(folder / "images", train), in_order(folder / "images", test), list(classes.values()))


SOURCE = declare(
    name="cub",
    title="CUB-200-2011",
    num_classes=200,
    examples=11788,
    reference="Wah, Branson, Welinder, Perona and Belongie, The Caltech-UCSD Birds-200-2011 dataset, Caltech 2011",
    find=FILES.find,
    listed=photos,
)
