"""Eighty points in eight classes that have no picture but a name: where the points come to lie is wholly the network's choice.

Behind `linear-<width>`, each point is a free feature. That is the setting of the Tammes problem, of theory on the largest margins, and of
neural collapse, where it is called the unconstrained features model.
"""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.dataset import Dataset, DatasetSource

CLASSES, POINTS, COPIES = 8, 10, 100
# Of one pixel that is lit among all of them: fixed, so that no split leaks into another.
MEAN = 1.0 / (CLASSES * POINTS)
STD = (MEAN * (1.0 - MEAN)) ** 0.5


def read(data_root: Path | None) -> Dataset:
    """The points; ``data_root`` is not used. Each is there a hundred times, so every split holds all points and an epoch has some steps."""
    names = torch.eye(CLASSES * POINTS).reshape(-1, 1, CLASSES, POINTS)
    return Dataset(
        name="points",
        images=((names - MEAN) / STD).repeat(COPIES, 1, 1, 1),
        labels=torch.arange(CLASSES).repeat_interleave(POINTS).repeat(COPIES),
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
    )


SOURCE = DatasetSource(
    name="points",
    title="Points without pictures",
    num_classes=CLASSES,
    in_shape=(1, CLASSES, POINTS),
    examples=CLASSES * POINTS * COPIES,
    reference="The unconstrained features model: Mixon, Parshall and Pi, Neural collapse with unconstrained features, 2020",
    read=read,
)
