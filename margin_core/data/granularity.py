"""Fewer classes: a dial that makes a dataset coarse, by keeping classes that are far apart, or fine, by keeping ones that look alike.

Which classes are kept is told from examples that never test, and is the same for every replicate.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from margin_core.data.centroids import class_distances
from margin_core.data.dataset import CHOICES, Choice, Dataset


def choose_classes(distances: Tensor, number: int, choose: Choice) -> list[int]:
    """A number of classes that lie near each other, or far from each other, in rising order.

    Greedy: after the nearest pair comes the class whose greatest distance to the chosen ones is least, and after the farthest pair the
    one whose least distance is greatest. So fewer classes are among more. Among equals the first is taken.

    Args:
        distances: Distance between any two of K classes, (K, K).
        number: How many classes to choose, in [2, K].
        choose: ``nearest``, ``farthest``, or ``first``: the first ones in the dataset's own order.

    Example:
        >>> places = torch.tensor([0.0, 1.0, 5.0, 7.0])
        >>> distances = (places - places.unsqueeze(1)).abs()
        >>> choose_classes(distances, 3, "nearest"), choose_classes(distances, 3, "farthest")
        ([0, 1, 2], [0, 2, 3])
    """
    if choose not in CHOICES:
        raise ValueError(f"choose must be one of {', '.join(CHOICES)}, got {choose!r}")
    if not 2 <= number <= len(distances):
        raise ValueError(f"number must be in [2, {len(distances)}], got {number!r}")
    if choose == "first":
        return list(range(number))
    costs = (distances if choose == "nearest" else -distances).clone().fill_diagonal_(torch.inf)
    chosen = list(divmod(int(costs.argmin()), len(costs)))
    while len(chosen) < number:
        greatest = costs[chosen].amax(dim=0)
        greatest[chosen] = torch.inf
        chosen.append(int(greatest.argmin()))
    return sorted(chosen)


def keep_classes(dataset: Dataset, tests: Tensor, number: int, choose: Choice) -> tuple[Dataset, Tensor]:
    """The examples of a number of classes, and those of none, as a dataset of their own.

    Args:
        dataset: All examples.
        tests: Places of the test examples, which have no say in the choice.
        number: How many classes to keep, in [2, K].
        choose: As of `choose_classes`, by the distance of the classes' mean images.

    Returns:
        The smaller dataset, with labels in [0, number), and for each place of ``dataset`` its place there, or -1, (N,).
    """
    seen = dataset.labels.clone()
    seen[tests] = -1
    classes = choose_classes(class_distances(dataset.images, seen, dataset.num_classes), number, choose)
    labels = torch.full((dataset.num_classes,), -1, dtype=torch.int64)
    labels[classes] = torch.arange(number)
    of_none = dataset.labels < 0
    kept = of_none | (labels[dataset.labels] >= 0)
    places = torch.where(kept, kept.cumsum(dim=0) - 1, -1)
    narrow = replace(
        dataset,
        images=dataset.images[kept],
        labels=torch.where(of_none, -1, labels[dataset.labels])[kept],
        class_names=tuple(dataset.class_names[label] for label in classes),
        test_indices=None if dataset.test_indices is None else present(places[dataset.test_indices]),
        superclasses=dataset.superclasses and dataset.superclasses.keep(classes),
        groups=dataset.groups and dataset.groups.keep(classes),
        task=dataset.task and dataset.task.keep(places),
    )
    return narrow, places


def present(places: Tensor) -> Tensor:
    """The places that are left in the smaller dataset."""
    return places[places >= 0]
