"""A dataset and a model that cost nothing but sleep, declared as another package's are: what `orchestration.py` runs studies of."""

from __future__ import annotations

import re
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from margin_core.data import Dataset, DatasetSource
from margin_core.models import ModelSource, Shape

EXAMPLES = 40


def read(data_root: Path | None) -> Dataset:
    labels = torch.arange(EXAMPLES) % 2
    return Dataset("few", (labels * 2.0 - 1.0).reshape(EXAMPLES, 1, 1, 1), labels, ("minus", "plus"))


class Sleeper(nn.Module):
    """Hands images on, and sleeps at each step of the training."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            time.sleep(self._seconds)
        return images.flatten(1)


def check(name: str, in_shape: Shape | None) -> None:
    if not re.fullmatch(r"sleep-[0-9.]+", name):
        raise ValueError(f"model must be written {MODEL.written}, got {name!r}")


def build(name: str, in_shape: Shape) -> nn.Module:
    return Sleeper(float(name.removeprefix("sleep-")))


SOURCE = DatasetSource("few", "Forty points", num_classes=2, in_shape=(1, 1, 1), examples=EXAMPLES, reference="made up", read=read)
MODEL = ModelSource("sleep", "A network that sleeps", "made up", build=build, arguments="-<seconds>", check=check)
