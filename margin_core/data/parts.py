"""Parts of a dataset: some of its classes, or its classes merged into coarser ones, with all that hangs on them kept in step.

Which classes are kept or merged is told by the caller: a dial (`granularity`, `merge`), or a dataset that is a part of another one
(`part_of`), as ``cifar10_animals`` and ``grocery_packages`` are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from margin_core.data.dataset import MERGES, Dataset, DatasetSource, Merge, Superclasses


def restrict(dataset: Dataset, classes: Sequence[int]) -> tuple[Dataset, Tensor]:
    """The examples of some classes, as a dataset of their own, with those that are of no class.

    Args:
        dataset: All examples.
        classes: The classes to keep, each once.

    Returns:
        The smaller dataset, whose class i is ``classes[i]``, and for each place of ``dataset`` its place there, or -1, (N,).
    """
    labels = torch.full((dataset.num_classes,), -1, dtype=torch.int64)
    labels[list(classes)] = torch.arange(len(classes))
    of_none = dataset.labels < 0
    kept = of_none | (labels[dataset.labels] >= 0)
    places = torch.where(kept, kept.cumsum(dim=0) - 1, -1)
    smaller = replace(
        dataset,
        images=dataset.images[kept],
        labels=torch.where(of_none, -1, labels[dataset.labels])[kept],
        class_names=tuple(dataset.class_names[label] for label in classes),
        test_indices=None if dataset.test_indices is None else present(places[dataset.test_indices]),
        val_indices=None if dataset.val_indices is None else present(places[dataset.val_indices]),
        superclasses=dataset.superclasses and dataset.superclasses.keep(classes),
        groups=dataset.groups and dataset.groups.keep(classes),
        task=dataset.task and dataset.task.keep(places),
    )
    return smaller, places


def present(places: Tensor) -> Tensor:
    """The places that are left in the smaller dataset."""
    return places[places >= 0]


def merge(dataset: Dataset, into: Merge) -> Dataset:
    """The same examples, whose classes are the superclasses or the groups of what the classes were.

    Of merged superclasses the groups are kept, where each superclass lies in one of them.

    Raises:
        ValueError: Where ``into`` is none of the two, or the dataset has no such level.

    Example:
        >>> pets = Superclasses(of_class=torch.tensor([1, 0, 1]), names=("bird", "cat"))
        >>> images, labels = torch.zeros(4, 1, 1, 1), torch.tensor([0, 1, 2, 2])
        >>> merged = merge(Dataset("pets", images, labels, ("siamese", "budgie", "persian"), superclasses=pets), "superclasses")
        >>> merged.class_names, merged.labels.tolist()
        (('bird', 'cat'), [1, 0, 1, 1])
    """
    if into not in MERGES:
        raise ValueError(f"{dataset.name}: merge must be one of {', '.join(MERGES)}, got {into!r}")
    level = dataset.superclasses if into == "superclasses" else dataset.groups
    if level is None:
        raise ValueError(f"{dataset.name}: merge must be left out, for there are no {into} to merge its classes into")
    groups = dataset.groups if into == "superclasses" else None
    return replace(
        dataset,
        labels=torch.where(dataset.labels < 0, -1, level.of_class[dataset.labels]),
        class_names=level.names,
        superclasses=None,
        groups=groups and _groups_of(level, groups),
    )


def _groups_of(superclasses: Superclasses, groups: Superclasses) -> Superclasses | None:
    group = torch.zeros(len(superclasses.names), dtype=torch.int64)
    group[superclasses.of_class] = groups.of_class
    return Superclasses(group, groups.names) if torch.equal(group[superclasses.of_class], groups.of_class) else None


def part_of(
    whole: DatasetSource,
    classes: Callable[[Dataset], Sequence[int]],
    *,
    name: str,
    title: str,
    num_classes: int,
    examples: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    superclasses: int = 0,
    groups: int = 0,
) -> DatasetSource:
    """The declaration of a dataset that is some of the classes of another one, in that one's order and with its official splits.

    Args:
        whole: The other dataset; it is read from that one's files.
        classes: Tells which of its classes are kept, in rising order.
        name: What a study file calls the part.
        title: Its name in prose.
        num_classes: How many classes are kept.
        examples: How many examples these have, the test split included.
        mean: Of the part's own pixels outside the test split on the scale [0, 1], by channel.
        std: Their standard deviation.
        superclasses: The number of superclasses that are left, or 0 where there are none.
        groups: The number of groups that are left; one group tells nothing apart, and is left out as 0.
    """

    def at(size: int) -> DatasetSource:
        assert whole.resize is not None
        return part_of(
            whole.resize(size),
            classes,
            name=name,
            title=title,
            num_classes=num_classes,
            examples=examples,
            mean=mean,
            std=std,
            superclasses=superclasses,
            groups=groups,
        )

    def read(data_root: Path | None) -> Dataset:
        dataset = whole.read(data_root)
        part, _ = restrict(dataset, classes(dataset))
        return replace(part, name=name, mean=mean, std=std, groups=part.groups if groups else None)

    def check(data_root: Path | None) -> None:
        try:
            whole.check(data_root)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{name}: {error}") from None

    return DatasetSource(
        name=name,
        title=title,
        num_classes=num_classes,
        in_shape=whole.in_shape,
        examples=examples,
        reference=whole.reference,
        read=read,
        check=check,
        superclasses=superclasses,
        groups=groups,
        official_validation=whole.official_validation,
        decodes=whole.decodes,
        size=whole.size,
        resize=None if whole.resize is None else at,
    )
