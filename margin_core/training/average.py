"""A moving average of the weights, which is evaluated and kept in the place of the weights that are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """The exponential moving average of the parameters, and of batch norm's running statistics, of some modules.

    It begins at the initial weights. Outside `trained_weights` the modules hold the average, so that whoever looks at them sees it.

    Args:
        modules: What is averaged.
        decay: The share of itself that the average keeps at each update, in (0, 1).
    """

    def __init__(self, modules: Sequence[nn.Module], decay: float) -> None:
        tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
        self._shown = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self._hidden = [tensor.clone() for tensor in self._shown]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @contextmanager
    def trained_weights(self) -> Iterator[None]:
        """Give the modules the weights that are trained for the block, and the average after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within `trained_weights`, give the modules the average for the block."""
        with self.trained_weights():  # an exchange either way
            yield

    def update(self) -> None:
        """Move the average towards the weights that are trained; inside `trained_weights` only."""
        self._move(tuple(self._hidden), tuple(self._shown), None)

    @torch.no_grad()
    def _swap(self) -> None:
        for shown, hidden in zip(self._shown, self._hidden, strict=True):
            kept = shown.clone()
            shown.copy_(hidden)
            hidden.copy_(kept)

    def state_dict(self) -> list[Tensor]:
        """The weights that are trained, which the modules' own states do not hold."""
        return self._hidden

    @torch.no_grad()
    def load_state_dict(self, state: Sequence[Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        for hidden, value in zip(self._hidden, state, strict=True):
            hidden.copy_(value)
