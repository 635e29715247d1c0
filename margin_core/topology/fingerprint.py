"""All descriptors of a dataset, each with its error: its fingerprint.

Most descriptors depend on how many examples they are taken of, and all depend on the network whose features they read. So datasets are
to be compared with as many examples of as many classes, and the same network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from margin_core.seeds import torch_generator
from margin_core.topology import intrinsic_dimension as dimension
from margin_core.topology import label_noise, probe, separation, spanning_tree, spread
from margin_core.topology.descriptor import Descriptor, Estimate
from margin_core.topology.sample import Sample

DESCRIPTORS: tuple[Descriptor, ...] = tuple(
    sorted(
        (d for part in (dimension, label_noise, separation, spread, probe, spanning_tree) for d in part.DESCRIPTORS),
        key=lambda d: d.role != "primary",
    )
)
HALVES = 50


@dataclass(frozen=True)
class Fingerprint:
    """What a sample of a dataset is like in the eyes of one network."""

    estimates: Mapping[str, Estimate]
    dimensions: Mapping[int, float]
    """`intrinsic_dimension_curve`."""
    examples: int
    classes: int
    features: int


def list_descriptors() -> list[Descriptor]:
    """All descriptors, the four primary ones first."""
    return list(DESCRIPTORS)


def matched_examples(labels: Tensor, classes: int, per_class: int, seed: int = 0) -> Tensor:
    """As many random examples of as many random classes, so that datasets can be compared: their places, in ascending order.

    Args:
        labels: Integers (N,).
        classes: How many classes; at least 2.
        per_class: How many examples of each; at least 2.
        seed: Another seed draws others.

    Raises:
        ValueError: If there are fewer classes with as many examples.

    Example:
        >>> import torch
        >>> len(matched_examples(torch.arange(10).repeat(20), classes=4, per_class=5))
        20
    """
    if classes < 2 or per_class < 2:
        raise ValueError(f"classes and per_class must be >= 2, got {classes!r} and {per_class!r}")
    names, counts = torch.unique(labels, return_counts=True)
    enough = names[counts >= per_class]
    if len(enough) < classes:
        raise ValueError(f"classes must be at most {len(enough)}, those with {per_class} examples or more, got {classes!r}")
    generator = torch_generator("matched examples", seed)
    # Ranked before it is asked which have enough, so that it is the same in all levels of a dial.
    ranked = names[torch.randperm(len(names), generator=generator)]
    chosen = ranked[torch.isin(ranked, enough)][:classes].sort().values
    places = [(labels == name).nonzero().flatten() for name in chosen]
    return torch.cat([of[torch.randperm(len(of), generator=generator)[:per_class]] for of in places]).sort().values


def scaled(features: Tensor) -> Tensor:
    """Features (N, d), each scaled to length 1."""
    return normalize(features.detach().double(), dim=1)


def describe(features: Tensor, labels: Tensor, *, names: Sequence[str] | None = None, halves: int = HALVES, seed: int = 0) -> Fingerprint:
    """The fingerprint of features, which are scaled to length 1 first.

    The standard error is the spread of the descriptor over random halves of each class, drawn without replacement: the delete-half
    jackknife of Shao and Wu (Annals of Statistics 1989), in which the factor that goes with halves is 1. A bootstrap would draw examples
    twice, and an example that is its own nearest neighbour ruins what is read from neighbours.

    Args:
        features: Of examples that no test is made on, (N, d), finite.
        labels: Their classes, integers (N,), at least two of each.
        names: Which descriptors; by default all of `list_descriptors`.
        halves: Of how many halves the error is taken; with 0 it is NaN.
        seed: Of the halves.

    Raises:
        ValueError: On an unknown name, shapes that do not fit, features that are not finite, or a class with one example.
    """
    if features.ndim != 2:
        raise ValueError(f"features must be (N, d), got {tuple(features.shape)}")
    return describe_sample(Sample.of(scaled(features), labels), names=names, halves=halves, seed=seed)


def describe_sample(sample: Sample, *, names: Sequence[str] | None = None, halves: int = HALVES, seed: int = 0) -> Fingerprint:
    """The same of a sample whose graph is known; its features are taken as they are. Arguments and errors as for `describe`."""
    known = {d.name: d for d in DESCRIPTORS}
    wanted = list(known) if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise ValueError(f"unknown descriptor {name!r}; known: {', '.join(known)}")
    values = {name: known[name].measure(sample) for name in wanted}
    over_halves = [[known[name].measure(half) for name in wanted] for half in (sample.half("half", seed, i) for i in range(halves))]
    errors = (
        torch.tensor(over_halves, dtype=torch.float64).reshape(halves, len(wanted)).std(dim=0) if halves > 1 else [math.nan] * len(wanted)
    )
    return Fingerprint(
        estimates={name: Estimate(values[name], float(error)) for name, error in zip(wanted, errors, strict=True)},
        dimensions=dimension.intrinsic_dimension_curve(sample),
        examples=len(sample),
        classes=len(sample.counts),
        features=sample.features.shape[1],
    )
