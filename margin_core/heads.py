"""The last layer: what turns features into the scores that a family reads.

`LinearHead` gives logits, `CosineHead` cosines between normalised features and normalised prototypes. The rows of the weight are the
prototypes in both, and both start from the same weight under the same seed. Scale and margin are left to the family.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from margin_core.losses.family import Reads


class LinearHead(nn.Linear):
    """Logits ``W z + b``, for families that read logits.

    Args:
        in_features: d, the width of the features.
        num_classes: K.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__(in_features, num_classes)

    def cosines(self, features: Tensor) -> Tensor:
        """Cosines between ``features`` (N, d) and the prototypes, (N, K); the bias has no part in them."""
        return prototype_cosines(features, self.weight)


class CosineHead(nn.Module):
    """Cosines between features and prototypes, for families that read cosines.

    Args:
        in_features: d, the width of the features.
        num_classes: K.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        # As torch.nn.Linear draws its weight, so that the two heads of a replicate start from the same prototypes.
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, features: Tensor) -> Tensor:
        """Cosines of ``features`` (N, d), (N, K), in float32 or wider."""
        return prototype_cosines(features, self.weight)

    def cosines(self, features: Tensor) -> Tensor:
        """The same as calling the head: its scores are cosines."""
        return prototype_cosines(features, self.weight)

    def extra_repr(self) -> str:
        """The shape, for printing."""
        return f"in_features={self.weight.shape[1]}, num_classes={self.weight.shape[0]}"


def build_head(reads: Reads, in_features: int, num_classes: int) -> LinearHead | CosineHead:
    """The head whose scores are what a family reads.

    Args:
        reads: ``logits`` or ``cosines``.
        in_features: d, at least 1.
        num_classes: K, at least 2.

    Raises:
        ValueError: On another value.

    Example:
        >>> build_head("cosines", in_features=20, num_classes=10)
        CosineHead(in_features=20, num_classes=10)
    """
    if in_features < 1:
        raise ValueError(f"in_features must be >= 1, got {in_features!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be >= 2, got {num_classes!r}")
    if reads == "logits":
        return LinearHead(in_features, num_classes)
    if reads == "cosines":
        return CosineHead(in_features, num_classes)
    raise ValueError(f"reads must be one of logits, cosines, got {reads!r}")


def prototype_cosines(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines between ``features`` (N, d) and ``prototypes`` (K, d), (N, K), in float32 or wider; a zero vector has cosine 0 to all.

    Half precision is widened, and autocast switched off: near a cosine of 1 half precision cannot tell the angles that margins are about.
    """
    if not torch.is_autocast_enabled(features.device.type):
        wide = torch.promote_types(features.dtype, torch.float32)
        return F.linear(F.normalize(features.to(wide), dim=-1), F.normalize(prototypes.to(wide), dim=-1))
    with torch.autocast(features.device.type, enabled=False):
        return prototype_cosines(features, prototypes)
