"""Market-1501, and the reader of every dataset of people that has its format.

A network learns to tell the 751 people of the training part apart. The others are looked for: each photo of the query part among those of
the gallery, which other cameras took.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from margin_core.data.dataset import DatasetSource
from margin_core.data.decoded import ImageFile, Picture, PictureError
from margin_core.data.files import Files
from margin_core.data.photos import Photos, declare, whole
from margin_core.data.tasks import RetrievalTask

# Of a box that shows too little of a person, which the protocol ignores. Identity 0 is of boxes that show nobody, which are distractors.
IGNORED = -1
WIDTH = 128


def declare_people(*, name: str, title: str, folder: str, how: str, people: int, examples: int, reference: str) -> DatasetSource:
    """A dataset in Market-1501's format: three folders, and person and camera in each file's name, as ``0002_c1s1_000451_03.jpg``.

    Args:
        name: What a study file calls it.
        title: Its name in prose.
        folder: Where the three folders lie below the data root.
        how: How they are had, and how large they are.
        people: How many people there are to train on, the classes.
        examples: How many photos there are in all three, ignored ones left out.
        reference: Where it comes from.
    """
    files = Files(name, folder, ("bounding_box_train", "query", "bounding_box_test"), how)

    def listed(root: Path) -> Photos:
        return photos(name, *(root / folder / part for part in files.names))

    return declare(
        name=name,
        title=title,
        num_classes=people,
        examples=examples,
        reference=reference,
        find=files.find,
        listed=listed,
        size=WIDTH,
        tall=2,
        fit=whole,
        task="retrieval",
    )


def photos(name: str, train: Path, query: Path, gallery: Path) -> Photos:
    """The photos to train on, then those that are looked for, then those among which they are; the latter two are of no class."""
    parts = [boxes(folder) for folder in (train, query, gallery)]
    for folder, found in zip((train, query, gallery), parts, strict=True):
        if not found:
            raise PictureError(f"{name}: no photo called <person>_c<camera>*.jpg was found in {folder}")
    people = sorted({person for _, person, _ in parts[0]})
    classes = {person: label for label, person in enumerate(people)}
    every = [box for part in parts for box in part]
    first, second = len(parts[0]), len(parts[0]) + len(parts[1])
    return Photos(
        [(picture, classes[person]) for picture, person, _ in parts[0]],
        [(picture, -1) for picture, _, _ in every[first:]],
        [f"{person:04d}" for person in people],
        task=RetrievalTask(
            query=torch.arange(first, second),
            gallery=torch.arange(second, len(every)),
            identities=torch.tensor([person for _, person, _ in every]),
            cameras=torch.tensor([camera for _, _, camera in every]),
        ),
    )


def boxes(folder: Path) -> list[tuple[Picture, int, int]]:
    """The photos of a part in the order of their names, with person and camera; ignored ones are left out."""
    found = [(file, re.match(r"(-?\d+)_c(\d+)", file.name)) for file in sorted(folder.glob("*.jpg"))]
    told = [(ImageFile(str(file)), int(match[1]), int(match[2])) for file, match in found if match]
    return [box for box in told if box[1] != IGNORED]


SOURCE = declare_people(
    name="market1501",
    title="Market-1501",
    folder="Market-1501-v15.09.15",
    how="unpack Market-1501-v15.09.15.zip of https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html in the data root (0.15 GB)",
    people=751,
    examples=12936 + 3368 + 15913,
    reference="Zheng, Shen, Tian, Wang, Wang and Tian, Scalable person re-identification: a benchmark, ICCV 2015",
)
