"""ResNet-32, the network for CIFAR that He et al. describe in section 4.2: three stages of five basic blocks, with 16, 32 and 64 channels.

LDAM's studies of imbalance use it. Its shortcuts are option A's, without parameters: they are what the paper's networks for CIFAR have,
"so our residual models have exactly the same depth, width, and number of parameters as the plain counterparts", and what LDAM's has.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from margin_core.models.convolutional import at_least
from margin_core.models.residual import REFERENCE, residual_network
from margin_core.models.source import ModelSource, Shape


class ZeroPadding(nn.Module):
    """The shortcut of option A: every second pixel of every second row, and zeros for the channels that are new.

    Args:
        before: Channels that come in.
        after: Channels that go out.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.new = after - before

    def forward(self, images: Tensor) -> Tensor:
        """From (N, before, H, W) to (N, after, H/2, W/2), sides rounded up."""
        return F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new))


def build(name: str, in_shape: Shape) -> nn.Sequential:
    """The backbone for images of ``in_shape`` (C, H, W); the features are 64."""
    return residual_network(in_shape[0], blocks=(5, 5, 5), width=16, shortcut=ZeroPadding)


MODEL = ModelSource(name="resnet32", title="ResNet-32 for CIFAR", reference=f"{REFERENCE}, section 4.2", build=build, check=at_least(4))
