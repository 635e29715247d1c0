"""Retrieval and verification in a trial: what is compared with what, on the validation and on the test split.

The embeddings are the network's penultimate features, and are compared by their cosine. On the test split the dataset's own task is
measured. The validation split has other images of the very identities that are trained on, so what is measured there is easier than what
is tested; but it is no look at those that test, so it may choose. The metrics are left to `margin_core.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from margin_core import metrics
from margin_core.data import Prepared, RetrievalTask, TaskName, VerificationTask
from margin_core.seeds import torch_generator

RANKS = (1, 5, 10)
FARS = (0.01, 0.001)
VALIDATION_PAIRS = 20_000
"""Pairs of each kind that are drawn from the validation images; a FAR of 0.001 is 20 of them."""

TASK_METRICS: Mapping[TaskName, Mapping[str, bool]] = {
    "classification": {},
    "retrieval": {"map": True, **{f"rank_{k}": True for k in RANKS}},
    "verification": {**{f"tar_at_far_{far:g}": True for far in FARS}, "equal_error_rate": False},
}
"""What each task measures, without the split's name in front, and whether more of it is better. All but the error rate are percent."""


@dataclass(frozen=True)
class Embeddings:
    """A task on the rows of a split.

    Args:
        split: ``val`` or ``test``, which the metrics' names begin with.
        task: Its places are rows of the split's examples.
    """

    split: str
    task: RetrievalTask | VerificationTask

    def measure(self, features: Tensor) -> dict[str, float]:
        """The task's metrics of the split's features, (N, d); NaN where they are not finite, or there are too few pairs for a FAR."""
        names = [f"{self.split}_{name}" for name in TASK_METRICS[self.task.name]]
        if not bool(features.isfinite().all()):
            return dict.fromkeys(names, math.nan)
        values = _found(self.task, features) if isinstance(self.task, RetrievalTask) else _compared(self.task, features)
        return dict(zip(names, values, strict=True))


def embeddings_of_test(data: Prepared) -> Embeddings | None:
    """The dataset's own task on the rows of its test split, or None where it has no task."""
    task = data.dataset.task
    if task is None:
        return None
    rows = torch.full((len(data.dataset.labels),), -1, dtype=torch.int64)
    rows[data.test_indices] = torch.arange(len(data.test_indices))
    return Embeddings("test", task.keep(rows))


def embeddings_of_validation(data: Prepared, *, study_seed: int, replicate: int) -> Embeddings | None:
    """A task like the dataset's on its validation split, or None where it has no task or nothing validates.

    Retrieval: each image is looked for among all others. Verification: `VALIDATION_PAIRS` of one class and as many of two, drawn by the
    study's seed for each replicate.

    Raises:
        ValueError: Where no two validation images of one class, and of different cameras, could be compared.
    """
    task, labels = data.dataset.task, data.val_y
    if task is None or len(labels) == 0:
        return None
    if isinstance(task, VerificationTask):
        if int(labels.bincount().max()) < 2 or len(torch.unique(labels)) < 2:
            raise ValueError(f"{data.dataset.name}: the validation split must have two images of a class and another one, got none")
        return Embeddings("val", draw_pairs(labels, VALIDATION_PAIRS, torch_generator(study_seed, replicate, "validation pairs")))
    everyone = torch.arange(len(labels))
    cameras = everyone if task.cameras is None else task.cameras[data.val_indices]
    seen = torch.unique(torch.stack([labels, cameras], dim=1), dim=0)[:, 0]
    if int(seen.bincount().max()) < 2:
        raise ValueError(f"{data.dataset.name}: the validation split must have a class that two cameras have seen, got none")
    return Embeddings("val", RetrievalTask(everyone, everyone, labels, cameras))


def draw_pairs(labels: Tensor, number: int, generator: torch.Generator) -> VerificationTask:
    """So many pairs of rows of one class and as many of two, with replacement; a row never with itself.

    Args:
        labels: int64 classes, (N,): at least two, and at least two rows of one of them.
        number: Pairs of each kind.
        generator: Draws them.

    Example:
        >>> drawn = draw_pairs(torch.tensor([3, 3, 5]), 4, torch.Generator().manual_seed(0))
        >>> drawn.same.tolist() == [True] * 4 + [False] * 4, sorted(set(drawn.pairs[:4].flatten().tolist()))
        (True, [0, 1])
    """
    order = labels.argsort(stable=True)
    sizes = labels.bincount()
    starts = sizes.cumsum(dim=0) - sizes

    def draw(below: Tensor) -> Tensor:
        """A whole number from 0 to below each of ``below``."""
        return (torch.rand(len(below), generator=generator, dtype=torch.float64) * below).long()

    # In rising order of classes, rows of one class are next to each other, and all others follow in the circle.
    candidates = torch.nonzero(sizes[labels[order]] >= 2).squeeze(1)
    first = candidates[draw(torch.full((number,), len(candidates)))]
    size, start = (of_class[labels[order[first]]] for of_class in (sizes, starts))
    second = start + (first - start + 1 + draw(size - 1)) % size
    other = draw(torch.full((number,), len(labels)))
    size, start = (of_class[labels[order[other]]] for of_class in (sizes, starts))
    stranger = (start + size + draw(len(labels) - size)) % len(labels)
    pairs = torch.cat([torch.stack([first, second], dim=1), torch.stack([other, stranger], dim=1)])
    return VerificationTask(order[pairs], torch.arange(2 * number) < number)


def _found(task: RetrievalTask, features: Tensor) -> list[float]:
    cameras = torch.arange(len(task.identities)) if task.cameras is None else task.cameras
    query, gallery, identities, cameras = (values.to(features.device) for values in (task.query, task.gallery, task.identities, cameras))
    found = metrics.retrieval(
        features[query],
        features[gallery],
        query_ids=identities[query],
        gallery_ids=identities[gallery],
        query_cameras=cameras[query],
        gallery_cameras=cameras[gallery],
        ranks=RANKS,
    )
    return [found.mean_average_precision, *found.rank.values()]


def _compared(task: VerificationTask, features: Tensor) -> list[float]:
    impostors = int((~task.same).sum())
    measurable = [far for far in FARS if far * impostors >= 1.0] or [1.0]
    pairs, same = task.pairs.to(features.device), task.same.to(features.device)
    found = metrics.verification(features, pairs, same, far=measurable)
    accepted = {point.target_far: point.tar for point in found.points}
    return [*(accepted.get(far, math.nan) for far in FARS), found.equal_error_rate]
