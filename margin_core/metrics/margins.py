"""How far apart classes and examples stand: the two margins of the largest-margins paper (Zhou et al., ICLR 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from margin_core.metrics.streaming import Mean, check_examples

BLOCK = 1024
"""Prototypes that are compared with all others at once: memory grows with K, not with its square."""


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
    units = unit_rows(prototypes)
    exact = "donot_use_mm_for_euclid_dist"
    least = torch.full((), math.inf, dtype=torch.float64, device=units.device)
    for start in range(0, len(units), BLOCK):
        these, those = units[start : start + BLOCK], units[start:]
        angles = 2.0 * torch.atan2(torch.cdist(these, those, compute_mode=exact), torch.cdist(these, -those, compute_mode=exact))
        angles.diagonal().fill_(math.inf)
        least = torch.minimum(least, angles.amin())
    return math.degrees(float(least))


def sample_margin(cosines: Tensor, target: Tensor) -> Tensor:
    """Per example, the cosine to its own prototype less the greatest to another: positive where it is classified rightly.

    Of probabilities instead of cosines, it is the two-scale paper's classification confidence.

    Args:
        cosines: Cosines between features and prototypes, (N, K); half precision is widened to float32.
        target: Integer classes, (N,).

    Returns:
        Margins in [-2, 2], (N,).

    Raises:
        ValueError: On shapes that do not fit or no examples.

    Example:
        >>> import torch
        >>> sample_margin(torch.tensor([[0.75, 0.25, -1.0]]), torch.tensor([0]))
        tensor([0.5000])
    """
    margins = _margins(cosines, target)
    if len(margins) == 0:
        raise ValueError("sample_margin needs at least one example, got none")
    return margins


class MeanSampleMargin(Mean):
    """The mean of `sample_margin` over batches."""

    def update(self, cosines: Tensor, target: Tensor) -> None:
        """Add a batch: cosines (N, K), target (N,)."""
        self.average(_margins(cosines.detach(), target))


def unit_rows(rows: Tensor) -> Tensor:
    """``rows`` (N, d) scaled to length 1, in double precision; NaN where a row is zero or not finite."""
    wide = rows.detach().double()
    # Scaled by the greatest entry first, so that no square of a tiny or huge entry leaves the range.
    wide = wide / wide.abs().amax(dim=1, keepdim=True)
    units: Tensor = wide / torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    return units


def _margins(cosines: Tensor, target: Tensor) -> Tensor:
    _, target = check_examples("cosines", cosines, target)
    wide = cosines.to(torch.promote_types(cosines.dtype, torch.float32))
    place = target.unsqueeze(1)
    others = wide.scatter(1, place, -math.inf)
    return wide.gather(1, place).squeeze(1) - others.amax(dim=1)
