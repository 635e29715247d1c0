"""Labeled Faces in the Wild, View 1: faces of people in the news, aligned by funneling, and the pairs that are compared.

A network learns to tell the 4038 people of the development training set apart, of most of whom there is one photo. What it has learnt is
measured on the development test set, whose 1711 people are others: on its 500 pairs of one person and 500 of two. The ten folds of View 2,
which papers report, hold the people of View 1 once more, so those who are trained on here would be among the pairs; they are not read.
"""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.decoded import ImageFile, PictureError
from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, samples_of
from margin_core.data.tasks import VerificationTask

FILES = Files(
    "lfw",
    "lfw-py",
    ("lfw_funneled", "lfw-funneled.tgz", "lfw-names.txt", "peopleDevTrain.txt", "peopleDevTest.txt", "pairsDevTest.txt"),
    "torchvision no longer downloads them: have lfw-funneled.tgz, which is unpacked there and kept, and the lists from elsewhere, as "
    "torchvision.datasets.LFWPeople lays them out (0.5 GB)",
)


def photos(root: Path) -> Photos:
    """All photos in the authors' order, the 9525 for training first; the other 3708 are the official test split, and of no class."""
    from torchvision.datasets import LFWPairs, LFWPeople

    # Given a loader that hands on the path, torchvision lists the files and opens none.
    try:
        train, test = (LFWPeople(str(root), split=split, loader=str) for split in ("train", "test"))
        compared = LFWPairs(str(root), split="test", loader=str)
    except RuntimeError:  # its sentence advises a download, which it refuses
        raise PictureError(f"lfw: a list or lfw-funneled.tgz in {root / FILES.folder} has not the checksum that is published") from None
    names, trained, others = list(train.class_to_idx), samples_of(train), samples_of(test)
    people = sorted({person for _, person in trained})
    classes = {person: label for label, person in enumerate(people)}
    places = {path: place for place, (path, _) in enumerate(others, start=len(trained))}
    return Photos(
        [(ImageFile(path), classes[person]) for path, person in trained],
        [(ImageFile(path), -1) for path, _ in others],
        [names[person] for person in people],
        task=VerificationTask(
            pairs=torch.tensor([[places[one], places[other]] for one, other in compared.data]),
            same=torch.tensor(compared.targets) == 1,
        ),
    )


SOURCE = declare(
    name="lfw",
    title="Labeled Faces in the Wild (View 1, funneled)",
    num_classes=4038,
    examples=9525 + 3708,
    reference="Huang, Ramesh, Berg and Learned-Miller, Labeled Faces in the Wild, technical report 07-49, UMass Amherst 2007",
    find=FILES.find,
    listed=photos,
    task="verification",
)
