"""Zero-centroid regulariser: draws the mean of the prototypes to the origin, against the pull of large classes."""

from __future__ import annotations

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.energies import widen
from margin_core.regularizers.regularizer import Regularizer


def zero_centroid(prototypes: Tensor) -> Tensor:
    """R_W = |(1 / K) sum_j w_j|^2, the squared norm of the mean prototype.

    The paper's prototypes are unit vectors. It takes the mean, so the term of K unit vectors is at most 1; a sum in the mean's
    place would make it K^2 times as large.

    Args:
        prototypes: w (..., K, d); half precision is widened to float32.

    Returns:
        The term (...): one number for one set of prototypes.

    Raises:
        ValueError: If ``prototypes`` has fewer than two axes.

    Example:
        >>> import torch
        >>> zero_centroid(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item()
        0.5
    """
    if prototypes.ndim < 2:
        raise ValueError(f"prototypes must have the shape (..., K, d), got {tuple(prototypes.shape)}")
    return widen(prototypes).mean(dim=-2).square().sum(dim=-1)


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
