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
        with self._autocast():
            output: Output = self.model(images)
        return output

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Torch's global settings as the precision wants them, for the block; also needed around the backward passes."""
        former = torch.get_float32_matmul_precision()
        if self.recipe.precision == "tf32" and self.device.type != "cpu":
            torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(former)

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = _AUTOCAST.get(self.recipe.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)
