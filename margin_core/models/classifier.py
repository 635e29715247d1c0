"""A network as the trials see it: a backbone that gives features, and a head that gives scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from margin_core.heads import CosineHead, LinearHead


class Output(NamedTuple):
    """What a classifier gives.

    Args:
        scores: Logits or cosines, as the head is, (N, K).
        features: The penultimate features, (N, d).
    """

    scores: Tensor
    features: Tensor


class Classifier(nn.Module):
    """Backbone and head.

    Args:
        backbone: Maps images (N, C, H, W) to features (N, d).
        head: Maps features to scores (N, K).
    """

    def __init__(self, backbone: nn.Module, head: LinearHead | CosineHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Output:
        """Scores and features of ``images`` (N, C, H, W)."""
        features = self.backbone(images)
        return Output(self.head(features), features)

    def cosines(self, output: Output) -> Tensor:
        """Cosines between the features of ``output`` and the prototypes, (N, K); not computed again where the scores are cosines."""
        return output.scores if isinstance(self.head, CosineHead) else self.head.cosines(output.features)


def log_scale(model: nn.Module) -> Tensor:
    """The log of the network's scale: the sum of the logs of the Frobenius norms of all its weight matrices and filters.

    Two-scale loss (Berlyand, Creese and Jabin 2021), eq. (9), whose product is taken here as a sum of logs because it leaves the range
    of single precision in deep networks. Biases, norm layers and embeddings of position are no linear maps and do not count. It is
    float64, and attached to the graph, as the paper differentiates through it.

    Example:
        >>> layer = nn.Linear(1, 2, bias=False)
        >>> nn.init.ones_(layer.weight).shape
        torch.Size([2, 1])
        >>> round(log_scale(layer).exp().item() ** 2, 4)
        2.0
    """
    norms = [
        torch.linalg.vector_norm(parameter)
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and name.rpartition(".")[2] == "weight"
    ]
    return torch.stack(norms).double().log().sum()
