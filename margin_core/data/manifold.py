"""Made-up pictures on manifolds of a stated dimension, rigid or deformable: to see what an optimum owes to topology alone.

The drawing, and the mapping `manifold` by which a study file asks for another kind, dimension or noise, are `manifold_points`'.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from margin_core.data.dataset import Dataset, DatasetSource
from margin_core.data.manifold_points import CLASSES, PER_CLASS, SIDE, Manifold, draw_manifold


@lru_cache(maxsize=4)
def build(manifold: Manifold) -> Dataset:
    """The dataset of these pictures, drawn once per process."""
    images, labels = draw_manifold(manifold)
    return Dataset(name="manifold", images=images, labels=labels, class_names=tuple(f"template {number}" for number in range(CLASSES)))


def read(data_root: Path | None) -> Dataset:
    """The pictures by default, whose classes are deformable and of dimension 3; ``data_root`` is not used."""
    return build(Manifold())


SOURCE = DatasetSource(
    name="manifold",
    title="Manifolds of a stated dimension",
    num_classes=CLASSES,
    in_shape=(1, SIDE, SIDE),
    examples=CLASSES * PER_CLASS,
    reference="made up; recovered by Facco et al., Estimating the intrinsic dimension of datasets, Scientific Reports 2017",
    read=read,
)
