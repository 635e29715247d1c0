"""How the network's numbers are computed: their format, their order in memory, and by which kernels. The loss is always in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from margin_core.models import Classifier, Output
from margin_core.training.recipe import Recipe

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Forward:
    """The network of a trial, called as its recipe says.

    Args:
        recipe: Its precision, memory format and compilation are what is read.
        model: The network, on its device; its memory format is changed in place.
        device: The device; on a CPU ``tf32`` is ``float32``.
    """

    def __init__(self, recipe: Recipe, model: Classifier, device: torch.device) -> None:
        self.recipe = recipe
        self.model = model
        self.device = device
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)
        if recipe.compile:
            model.backbone.compile()

    def __call__(self, images: Tensor) -> Output:
        """Scores and features of standardised ``images`` (N, C, H, W)."""
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.recipe, self.device):
            output: Output = self.model(images)
        return output

    def settings(self) -> AbstractContextManager[None]:
        """As `settings` of this recipe and device."""
        return settings(self.recipe, self.device)


@contextmanager
def settings(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Torch's global settings as the precision wants them, for the block; also needed around the backward passes."""
    former = torch.get_float32_matmul_precision()
    if recipe.precision == "tf32" and device.type != "cpu":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(former)


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """The precision that the backbone runs in, for the block."""
    dtype = _AUTOCAST.get(recipe.precision)
    # Weights are used once in a pass, so that nothing is gained by keeping them in half precision; and a CUDA graph must not.
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype, cache_enabled=False)
