"""The dimension that the persistence of connected components tells: how the shortest tree through the examples grows with their number."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from margin_core.seeds import torch_generator
from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample

MOST = 1000
"""Examples at most, as all their distances are held."""
PARTS = (0.125, 0.25, 0.5, 1.0)


def h0_dimension(sample: Sample) -> float:
    """1 / (1 - a), where the total length of the minimum spanning tree grows as m^a with the number m of examples.

    The tree's edges are the life times of the components (H0) of the Vietoris-Rips filtration. Adams et al., A fractal dimension for
    measures via persistent homology, 2020. Of 1000 random examples at most, and of an eighth, a quarter and half of them. NaN where the
    length does not grow slower than the number, or examples are fewer than 16.
    """
    order = torch.rand(len(sample), generator=torch_generator("spanning tree")).argsort()[:MOST]
    examples = sample.features[order].double().numpy()
    sizes = [round(part * len(examples)) for part in PARTS]
    if sizes[0] < 2:
        return math.nan
    lengths = [_length(examples[:size]) for size in sizes]
    if min(lengths) <= 0.0:
        return math.nan
    slope = float(np.polyfit(np.log(sizes), np.log(lengths), 1)[0])
    return 1.0 / (1.0 - slope) if slope < 1.0 else math.nan


def _length(points: np.ndarray) -> float:
    return float(minimum_spanning_tree(cdist(points, points)).sum())


DESCRIPTORS = (
    Descriptor(
        name="h0_dimension",
        title="Dimension by connected components",
        role="exploratory",
        meaning="components merge later as examples become more",
        source="Adams et al., A fractal dimension for measures via persistent homology, Topological Data Analysis, 2020",
        measure=h0_dimension,
    ),
)
