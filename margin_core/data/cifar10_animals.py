"""The six animals of CIFAR-10: bodies that bend, in every pose and before clutter. Its rigid counterpart is ``cifar10_vehicles``."""

from __future__ import annotations

from margin_core.data import cifar10
from margin_core.data.parts import part_of

CLASSES = ("bird", "cat", "deer", "dog", "frog", "horse")

SOURCE = part_of(
    cifar10.SOURCE,
    lambda dataset: [dataset.class_names.index(name) for name in CLASSES],
    name="cifar10_animals",
    title="CIFAR-10, animals",
    num_classes=len(CLASSES),
    examples=36000,
    # Of the training pixels of the folders of images; those of all ten classes are within 0.0002 of what the batches have.
    mean=(0.4879, 0.4660, 0.3995),
    std=(0.2364, 0.2315, 0.2407),
)
