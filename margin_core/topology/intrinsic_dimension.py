"""In how many ways the examples vary: the intrinsic dimension, from how fast neighbours recede.

Nothing is assumed of the density but that it hardly changes between an example and the neighbours that are read. That holds the better the
nearer they are, where noise has its say, so the same is read at several scales too.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample

SCALES = (1, 2, 4, 8, 16, 32)
LOWEST, HIGHEST = 1e-3, 1e5


def intrinsic_dimension(sample: Sample) -> float:
    """TwoNN: d = N / sum log(r_2 / r_1), the maximum-likelihood value of Facco et al.'s ratio of the first two neighbours' distances.

    Of equal examples one is counted. It is too low where d is high and examples are few, so only equally large samples compare. NaN where
    no two ratios differ.
    """
    ratios = _log_ratios(_different(sample), 1)
    total = float(ratios.sum())
    return len(ratios) / total if total > 0.0 else math.nan


def intrinsic_dimension_curve(sample: Sample) -> dict[int, float]:
    """The dimension by k: GRIDE, the maximum-likelihood value from the distances of neighbours k and 2k.

    Noise makes it fall with k; a manifold that is curved or has borders makes it fall slowly. At k = 1 it is TwoNN. Denti et al., The
    generalized ratios intrinsic dimension estimator, Scientific Reports 2022, eq. (9).

    Returns:
        k, in 1, 2, 4, ..., 32 as far as neighbours are known, and the dimension there.
    """
    distances = _different(sample)
    return {k: _gride(_log_ratios(distances, k).numpy(), k) for k in SCALES if 2 * k <= distances.shape[1]}


def _different(sample: Sample) -> Tensor:
    """The distances of the nearest neighbours (M, k) of examples of which no two are equal.

    Two equal neighbours are at one distance from any other example, and would stand for a space of infinite dimension.
    """
    distances, indices = sample.neighbours
    again = ((distances == 0.0) & (indices < torch.arange(len(indices)).unsqueeze(1))).any(dim=1)
    return sample.neighbours.among((~again).nonzero().flatten()).distances if bool(again.any()) else distances


def _log_ratios(distances: Tensor, k: int) -> Tensor:
    """Log of r_2k / r_k of each example, none where there are not as many neighbours."""
    return torch.log(distances[:, 2 * k - 1] / distances[:, k - 1]) if distances.shape[1] >= 2 * k else distances.new_zeros(0)


def _gride(ratios: np.ndarray, k: int) -> float:
    """The root of the slope of the likelihood d^N prod (e^(d l) - 1)^(k - 1) e^(-((2k - 1) d + 1) l) of the log ratios l."""
    total = float(ratios.sum())
    if total <= 0.0:
        return math.nan

    def slope(d: float) -> float:
        # l e^(d l) / (e^(d l) - 1), which is 1 / d at l = 0.
        grown = -np.expm1(-d * ratios)
        pulls = np.divide(ratios, grown, out=np.full_like(ratios, 1.0 / d), where=grown > 0.0)
        return float(len(ratios) / d + (k - 1) * pulls.sum() - (2 * k - 1) * total)

    if slope(LOWEST) < 0.0 or slope(HIGHEST) > 0.0:
        return math.nan
    return float(brentq(slope, LOWEST, HIGHEST))


DESCRIPTORS = (
    Descriptor(
        name="intrinsic_dimension",
        title="Intrinsic dimension",
        role="primary",
        meaning="the examples vary in more independent ways",
        source="Facco et al., Estimating the intrinsic dimension by a minimal neighborhood information, Scientific Reports 2017",
        measure=intrinsic_dimension,
    ),
)
