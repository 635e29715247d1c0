"""Over how many directions the examples spread, and how their neighbourhoods look."""

from __future__ import annotations

from torch import Tensor

from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample

NEAREST = 10


def participation_ratio(sample: Sample) -> float:
    """(sum of eigenvalues)^2 / sum of their squares, of the covariance of all examples: in how many directions they spread alike.

    Returns:
        At least 1; NaN where all examples are equal.
    """
    examples = sample.features.double()
    return _participation(examples - examples.mean(dim=0))


def within_class_participation_ratio(sample: Sample) -> float:
    """The same of what examples differ from their class mean by: in how many directions classes spread."""
    return _participation(sample.residuals)


def neighbour_impurity(sample: Sample) -> float:
    """The share of an example's 10 nearest neighbours that are of another class, by that of random neighbours.

    Returns:
        0 where all neighbours are of the same class, about 1 where classes do not matter. It falls as examples become more.
    """
    neighbours = sample.labels[sample.neighbours.indices[:, :NEAREST]]
    share = (neighbours != sample.labels.unsqueeze(1)).double().mean()
    number = float(len(sample))
    by_chance = 1.0 - (sample.counts * (sample.counts - 1.0)).sum() / (number * (number - 1.0))
    return float(share / by_chance)


def hubness(sample: Sample) -> float:
    """The skewness of how often an example is among the 10 nearest of another.

    Radovanovic, Nanopoulos and Ivanovic, Hubs in space, JMLR 2010, eq. (1). NaN where all are as often.
    """
    nearest = sample.neighbours.indices[:, :NEAREST]
    times = nearest.flatten().bincount(minlength=len(sample)).double()
    centred = times - times.mean()
    return float(centred.pow(3).mean() / centred.square().mean().pow(1.5))


def _participation(centred: Tensor) -> float:
    # The smaller of the two products has the same eigenvalues, and their squares sum to its squared Frobenius norm.
    product = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    return float(product.diagonal().sum().square() / product.square().sum())


DESCRIPTORS = (
    Descriptor(
        name="participation_ratio",
        title="Participation ratio",
        role="exploratory",
        meaning="the examples spread over more directions",
        source="Gao et al., A theory of multineuronal dimensionality, 2017",
        measure=participation_ratio,
    ),
    Descriptor(
        name="within_class_participation_ratio",
        title="Participation ratio within classes",
        role="exploratory",
        meaning="classes spread over more directions",
        source="Gao et al., A theory of multineuronal dimensionality, 2017, within classes",
        measure=within_class_participation_ratio,
    ),
    Descriptor(
        name="neighbour_impurity",
        title="Neighbours of other classes",
        role="exploratory",
        meaning="more of the nearest neighbours are of another class",
        source="the error of the 10 nearest neighbours, by that of chance",
        measure=neighbour_impurity,
    ),
    Descriptor(
        name="hubness",
        title="Hubness",
        role="exploratory",
        meaning="few examples are the neighbours of many",
        source="Radovanovic, Nanopoulos and Ivanovic, Hubs in space, JMLR 2010, eq. (1)",
        measure=hubness,
    ),
)
