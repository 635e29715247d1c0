"""Stanford Cars: 196 makes, models and years of cars."""

from __future__ import annotations

from pathlib import Path

from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, in_files, samples_of

FILES = Files(
    "stanford_cars",
    "stanford_cars",
    ("cars_train", "cars_test", "cars_test_annos_withlabels.mat", "devkit/cars_train_annos.mat", "devkit/cars_meta.mat"),
    "the authors' site is no more: have their files from elsewhere, as torchvision.datasets.StanfordCars lays them out (2.0 GB)",
)


def photos(root: Path) -> Photos:
    """All photos in the authors' order, the 8144 for training first; the other 8041 are the official test split."""
    from torchvision.datasets import StanfordCars

    # Given a loader that hands on the path, torchvision lists the files and opens none.
    train, test = (StanfordCars(root, split=split, loader=str) for split in ("train", "test"))
    return Photos(in_files(samples_of(train)), in_files(samples_of(test)), train.classes)


SOURCE = declare(
    name="stanford_cars",
    title="Stanford Cars",
    num_classes=196,
    examples=16185,
    reference="Krause, Stark, Deng and Fei-Fei, 3D object representations for fine-grained categorization, ICCV workshop 2013",
    find=FILES.find,
    listed=photos,
)
