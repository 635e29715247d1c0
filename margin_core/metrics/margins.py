"""How far apart classes and examples stand: the two margins of the largest-margins paper (Zhou et al., ICLR 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from margin_core.metrics.accuracy import check_shapes


def class_margin(prototypes: Tensor) -> float:
    """The least angle between two prototypes, in degrees.

    The largest that K prototypes in K - 1 or more dimensions can have is arccos(-1 / (K - 1)): a simplex. Angles are
    2 atan2(|u - v|, |u + v|) in double precision, which is exact where the arc cosine is not: near 0 and 180 degrees.

    Args:
        prototypes: Rows of the last layer, (K, d) with K >= 2; their lengths do not matter.

    Returns:
        Degrees in [0, 180]; NaN where a prototype is zero or not finite, as it then has no direction.

    Raises:
        ValueError: On another shape.

    Example:
        >>> import torch
        >>> round(class_margin(torch.eye(4)), 6)
        90.0
    """
    if prototypes.ndim != 2 or prototypes.shape[0] < 2:
        raise ValueError(f"prototypes must be (K, d) with K >= 2, got {tuple(prototypes.shape)}")
    wide = prototypes.detach().double()
    # Scaled by the greatest entry first, so that no square of a tiny or huge entry leaves the range.
    wide = wide / wide.abs().amax(dim=1, keepdim=True)
    units = wide / torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    exact = "donot_use_mm_for_euclid_dist"
    angles = 2.0 * torch.atan2(torch.cdist(units, units, compute_mode=exact), torch.cdist(units, -units, compute_mode=exact))
    first, second = torch.triu_indices(len(units), len(units), offset=1, device=units.device)
    return math.degrees(float(angles[first, second].amin()))


def sample_margin(cosines: Tensor, target: Tensor) -> Tensor:
    """Per example, the cosine to its own prototype less the greatest to another: positive where it is classified rightly.

    Args:
        cosines: Cosines between features and prototypes, (N, K).
        target: int64 classes, (N,).

    Returns:
        Margins in [-2, 2], (N,).

    Raises:
        ValueError: On shapes that do not fit or no examples.

    Example:
        >>> import torch
        >>> sample_margin(torch.tensor([[0.75, 0.25, -1.0]]), torch.tensor([0]))
        tensor([0.5000])
    """
    check_shapes("cosines", cosines, target)
    place = target.unsqueeze(1)
    others = cosines.scatter(1, place, -math.inf)
    return cosines.gather(1, place).squeeze(1) - others.amax(dim=1)
