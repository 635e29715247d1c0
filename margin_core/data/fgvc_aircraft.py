"""FGVC-Aircraft: 100 variants of aircraft. Superclasses are the 70 families, as Boeing 737, groups the 30 manufacturers.

The banner with the photographer's name, the lowest 20 rows of each photo, is cut off as the authors ask.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_files, middle, samples_of, superclasses

if TYPE_CHECKING:
    from PIL import Image

BANNER = 20
FILES = Files(
    "fgvc_aircraft",
    "fgvc-aircraft-2013b/data",
    (
        "images",
        *(f"images_{level}_{part}.txt" for level in ("variant", "family", "manufacturer") for part in ("trainval", "test")),
        "images_variant_val.txt",
    ),
    "margin-studies datasets --download fgvc_aircraft puts them there (2.75 GB)",
)


def without_banner(image: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of what is above the banner."""
    return middle(image.crop((0, 0, image.width, image.height - BANNER)), height, width)


def photos(root: Path) -> Photos:
    """All photos in the authors' order, the 6667 to train and validate with first; the other 3333 are the official test split."""
    from torchvision.datasets import FGVCAircraft

    # Given a loader that hands on the path, torchvision lists the files and opens none.
    train, val, test = (FGVCAircraft(root, split=split, loader=str) for split in ("trainval", "val", "test"))
    samples, validates = samples_of(train), {path for path, _ in samples_of(val)}
    variants = dict(samples)

    def above(level: str) -> list[str]:
        """The family or manufacturer of each variant, told by the photos that have both."""
        coarse = FGVCAircraft(root, split="trainval", annotation_level=level, loader=str)
        of_variant = {variants[path]: coarse.classes[label] for path, label in samples_of(coarse)}
        return [of_variant[label] for label in range(len(train.classes))]

    families, manufacturers = (superclasses(above(level)) for level in ("family", "manufacturer"))
    return Photos(
        in_files(samples),
        in_files(samples_of(test)),
        train.classes,
        families,
        manufacturers,
        val=[place for place, (path, _) in enumerate(samples) if path in validates],
    )


def download(data_root: Path) -> None:
    """Put the files below the data root, by torchvision."""
    from torchvision.datasets import FGVCAircraft

    FGVCAircraft(data_root, download=True)


SOURCE = declare(
    name="fgvc_aircraft",
    title="FGVC-Aircraft (variants)",
    num_classes=100,
    examples=10000,
    reference="Maji, Kannala, Rahtu, Blaschko and Vedaldi, Fine-grained visual classification of aircraft, arXiv:1306.5151",
    find=FILES.find,
    listed=photos,
    official_validation=True,
    fit=without_banner,
    superclasses=70,
    groups=30,
    download=download,
)
