"""Oxford-IIIT Pet: 37 breeds, 12 of cats and 25 of dogs, which are the superclasses."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.decoded import Picture
from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_order, superclasses

SPECIES = {"1": "cat", "2": "dog"}
FILES = Files(
    "oxford_pets",
    "oxford-iiit-pet",
    ("images", "annotations/trainval.txt", "annotations/test.txt"),
    "margin-studies datasets --download oxford_pets puts them there (0.8 GB)",
)


def photos(root: Path) -> Photos:
    """All photos in the authors' order, the 3680 to train and validate with first; the other 3669 are the official test split."""
    folder = root / FILES.folder

    # Not by torchvision, whose reader opens the images and leaves out the species.
    def listed(part: str) -> list[list[str]]:
        """A line is ``<breed>_<number> <class, from 1> <species> <breed within the species>``."""
        return [line.split() for line in (folder / "annotations" / f"{part}.txt").read_text(encoding="utf-8").splitlines() if line]

    train, test = listed("trainval"), listed("test")
    classes = dict(sorted((int(label), (image.rsplit("_", 1)[0], SPECIES[species])) for image, label, species, _ in train))

    def samples(lines: list[list[str]]) -> list[tuple[Picture, int]]:
        return in_order(folder / "images", [(f"{image}.jpg", int(label) - 1) for image, label, *_ in lines])

    names, species = zip(*classes.values(), strict=True)
    return Photos(samples(train), samples(test), names, superclasses(species))


def download(data_root: Path) -> None:
    """Put the files below the data root, by torchvision."""
    from torchvision.datasets import OxfordIIITPet

    OxfordIIITPet(data_root, download=True)


SOURCE = declare(
    name="oxford_pets",
    title="Oxford-IIIT Pet",
    num_classes=37,
    examples=7349,
    reference="Parkhi, Vedaldi, Zisserman and Jawahar, Cats and dogs, CVPR 2012",
    find=FILES.find,
    listed=photos,
    superclasses=2,
    download=download,
)
