"""The four vehicles of CIFAR-10: rigid things, seen from other sides. Its deformable counterpart is ``cifar10_animals``."""

from __future__ import annotations

from margin_core.data import cifar10
from margin_core.data.parts import part_of

CLASSES = ("airplane", "automobile", "ship", "truck")

SOURCE = part_of(
    cifar10.SOURCE,
    lambda dataset: [dataset.class_names.index(name) for name in CLASSES],
    name="cifar10_vehicles",
    title="CIFAR-10, vehicles",
    num_classes=len(CLASSES),
    examples=24000,
    # Of the training pixels of the folders of images; those of all ten classes are within 0.0002 of what the batches have.
    mean=(0.4963, 0.5063, 0.5171),
    std=(0.2578, 0.2569, 0.2731),
)
