"""Zero-centroid regulariser: draws the mean of the prototypes to the origin, against the pull of large classes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import normalize

from margin_core.knobs import Knob, Option
from margin_core.losses.energies import widen
from margin_core.regularizers.regularizer import Regularizer


def zero_centroid(prototypes: Tensor, *, form: Literal["mean", "sum"] = "mean") -> Tensor:
    """R_W = |(1 / K) sum_j w_j|^2, the squared norm of the mean prototype.

    The paper's prototypes are unit vectors, and the term of K unit vectors is at most 1. Its public code takes the sum of the
    normalised prototypes, which is K^2 times as much: a weight of the code's is K^2 times one of the paper's. A study has the paper's.

    Args:
        prototypes: w (..., K, d); half precision is widened to float32.
        form: ``mean``, or ``sum``: |sum_j w_j / |w_j||^2, as the public code has it.

    Returns:
        The term (...): one number for one set of prototypes.

    Raises:
        ValueError: If ``prototypes`` has fewer than two axes, or ``form`` is neither.

    Example:
        >>> import torch
        >>> zero_centroid(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item()
        0.5
    """
    if prototypes.ndim < 2:
        raise ValueError(f"prototypes must have the shape (..., K, d), got {tuple(prototypes.shape)}")
    FORM.check(form, "zero_centroid")
    prototypes = widen(prototypes)
    centroid = prototypes.mean(dim=-2) if form == "mean" else normalize(prototypes, dim=-1).sum(dim=-2)
    return centroid.square().sum(dim=-1)


FORM = Option(
    name="form",
    choices=("mean", "sum"),
    default="mean",
    source="Largest margins: mean in the paper; sum of normalised prototypes in its public code",
)


REGULARIZER = Regularizer(
    name="zero_centroid",
    title="Zero-centroid regulariser",
    reads="prototypes",
    function=zero_centroid,
    weight=Knob(
        name="weight",
        symbol="λ_W",
        default=0.0,
        low=0.0,
        high=float("inf"),
        grid=(0.0, 1.0, 10.0, 100.0, 1000.0),
        search=(0.0, 1000.0),
        baseline=0.0,
        source="Largest margins, which names no value; the term shrinks with K, so the grid spans orders of magnitude",
    ),
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, zero-centroid regularisation (theorem 8)",
)
