"""How far classes lie from each other, in units of how far each spreads.

Means of few examples scatter, and their distances are too large by that: v / n for each class of n examples that varies by v. It is taken
off, so that these numbers do not depend on how many examples a class has.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample


def cdnv(sample: Sample) -> float:
    """The class-distance normalised variance: the median over pairs of classes of (v_i + v_j) / (2 |mu_i - mu_j|^2).

    v is a class's variance summed over dimensions, mu its mean. Infinite where more than half of the pairs cannot be told apart.
    Galanti, Gyorgy and Hutter, On the role of neural collapse in transfer learning, ICLR 2022, section 3.1.
    """
    first, second = torch.triu_indices(len(sample.counts), len(sample.counts), offset=1)
    spread = sample.variances[first] + sample.variances[second]
    squared = _squared_distances(sample)[first, second]
    return float(torch.where(squared > 0.0, spread / (2.0 * squared), math.inf).quantile(0.5, interpolation="lower"))


def fisher_ratio(sample: Sample) -> float:
    """Tr S_B / tr S_W: the variance of the class means about their mean, by the mean variance of a class; every class weighs the same."""
    classes = len(sample.counts)
    between = (sample.centres - sample.centres.mean(dim=0)).square().sum() / (classes - 1)
    between -= (sample.variances / sample.counts).mean()
    return float(between / sample.variances.mean())


def granularity(sample: Sample) -> float:
    """The margin to the nearest confusable class: the median over examples of (d_2 - d_1) / max(d_1, d_2).

    d_1 is the distance from the mean of the example's own class, which it is not part of, and d_2 that from the nearest other class's. The
    finer the classes, the smaller; the silhouette of Rousseeuw (1987) with class means.

    Returns:
        In [-1, 1]; below 0 more than half of the examples are nearer to another class.
    """
    examples, counts = sample.features.double(), sample.counts[sample.labels]
    distances = torch.cdist(examples, sample.centres)
    own = sample.residuals.norm(dim=1) * counts / (counts - 1.0)
    other = distances.scatter(1, sample.labels.unsqueeze(1), math.inf).amin(dim=1)
    return float(((other - own) / torch.maximum(other, own).clamp_min(torch.finfo(torch.float64).tiny)).quantile(0.5))


def _squared_distances(sample: Sample) -> Tensor:
    """|mu_i - mu_j|^2 of the means that the classes would have with all their examples, (K, K)."""
    scatter = sample.variances / sample.counts
    return torch.cdist(sample.centres, sample.centres).square() - scatter.unsqueeze(0) - scatter.unsqueeze(1)


DESCRIPTORS = (
    Descriptor(
        name="cdnv",
        title="Class-distance variance (CDNV)",
        role="primary",
        meaning="classes spread more for the distance between them",
        source="Galanti, Gyorgy and Hutter, On the role of neural collapse in transfer learning, ICLR 2022, section 3.1",
        measure=cdnv,
    ),
    Descriptor(
        name="granularity",
        title="Margin to the nearest class",
        role="primary",
        meaning="classes are coarser: examples lie further from the class they are most easily taken for",
        source="Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 1987, with class means",
        measure=granularity,
    ),
    Descriptor(
        name="fisher_ratio",
        title="Fisher ratio",
        role="exploratory",
        meaning="class means vary more for the variance within classes",
        source="Fisher, The use of multiple measurements in taxonomic problems, Annals of Eugenics 1936, as a ratio of traces",
        measure=fisher_ratio,
    ),
)
