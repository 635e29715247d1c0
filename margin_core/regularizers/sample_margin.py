"""Sample-margin regulariser: pulls every sample's cosine to its prototype above that to the nearest other prototype."""

from __future__ import annotations

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.energies import hardest_competitor, target_score, widen
from margin_core.regularizers.regularizer import Regularizer


def sample_margin(cosines: Tensor, target: Tensor) -> Tensor:
    """R_sm = -(c_y - max_{j != y} c_j), the negative sample margin.

    Where several competitors tie, the gradient goes to the one of the lowest index.

    Args:
        cosines: Cosines (..., K) of features and prototypes, in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).

    Returns:
        The term of each sample (...), in [-2, 2].

    Example:
        >>> import torch
        >>> sample_margin(torch.tensor([[0.75, 0.25, -0.5]]), torch.tensor([0])).tolist()
        [-0.5]
    """
    cosines = widen(cosines)
    return target_score(cosines, hardest_competitor(cosines, target)) - target_score(cosines, target)


REGULARIZER = Regularizer(
    name="sample_margin",
    title="Sample-margin regulariser",
    reads="cosines",
    function=sample_margin,
    weight=Knob(
        name="weight",
        symbol="μ",
        default=0.0,
        low=0.0,
        high=float("inf"),
        grid=(0.0, 0.1, 0.25, 0.5, 1.0),
        search=(0.0, 2.0),
        baseline=0.0,
        source="Largest margins, table 1, where it is 0.5; the grid fills in around it",
    ),
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, eq. (3.4)",
)
