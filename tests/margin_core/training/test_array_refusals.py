"""Which trials an array refuses, and with what reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from margin_core.data import DatasetConfig
from margin_core.models import MODELS
from margin_core.training.array import alike, why_alone
from tests.margin_core.training.array_cases import array_of, begin, cell
from tests.packages import write_package

UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "timm": ({"model": "timm:test_resnet"}, "the model is one of timm's"),
    "operation": (
        {"model": "mobilenet_v1", "dataset": DatasetConfig("manifold")},
        "the model mobilenet_v1 cannot be done for several trials at once: it uses getattr",
    ),
    "processes": ({"processes": 2}, "processes is 2"),
    "mixup": ({"mixup": 0.2}, "mixup is 0.2"),
    "sharpness": ({"sharpness": "sam", "rho": 0.05}, "sharpness is sam"),
    "ema": ({"ema": 0.9}, "ema is 0.9"),
    "precision": ({"precision": "bfloat16"}, "precision is bfloat16"),
    "accumulate": ({"accumulate": 2}, "accumulate is 2"),
    "channels_last": ({"channels_last": True}, "channels_last is True"),
    "compile": ({"compile": True}, "compile is True"),
}


@pytest.mark.parametrize(("of", "reason"), UNFIT.values(), ids=UNFIT)
def test_a_trial_that_fits_no_array_is_refused_with_the_reason(of: dict[str, Any], reason: str) -> None:
    alone_only = cell(**of)
    assert why_alone(alone_only) == reason
    array = array_of([begin(cell())])
    with pytest.raises(ValueError) as refused:
        array.join(begin(alone_only, dtype=torch.float32))
    assert str(refused.value) == f"trials of {alone_only.cell_id} cannot join an array: {reason}"
    assert len(array) == 1


STILL = """
import math
from torch import nn
from margin_core.models import ModelSource

def build(name, in_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), 20).requires_grad_(False), nn.ReLU(), nn.Linear(20, 10))

MODEL = ModelSource("still", "A first layer that is not trained", "made for a test", build)
"""


def test_a_model_with_a_layer_that_is_not_trained_fits_no_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path, "still", {"still": STILL}, {"margin_core.models": {"still": "still:MODEL"}})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(vars(MODELS), "_named", raising=False)  # as a process that has just started sees them
    assert (
        why_alone(cell(model="still"))
        == "the model still cannot be done for several trials at once: some of its parameters are not trained"
    )
    vars(MODELS).pop("_named")


UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dataset": ({"dataset": DatasetConfig("digits", images_per_class=49)}, {}),
    "noise": ({"dataset": DatasetConfig("digits", 0.1, images_per_class=50)}, {}),
    "model": ({"model": "mlp-50-21"}, {}),
    "backbone": ({"backbone": "frozen"}, {}),
    "batch_size": ({"batch_size": 65}, {}),
    "optimizer": ({"optimizer": "adamw"}, {}),
    "momentum": ({"momentum": 0.0}, {}),
    "augment": ({"augment": "crop_flip"}, {}),
    "study_seed": ({}, {"study_seed": 1}),
}


@pytest.mark.parametrize(("of", "arguments"), UNLIKE.values(), ids=UNLIKE)
def test_a_trial_unlike_those_in_an_array_is_refused(of: dict[str, Any], arguments: dict[str, Any]) -> None:
    other = cell("gds", **of)
    assert why_alone(other) == ""
    assert (alike(other) == alike(cell("ce", lr=0.3, weight_decay=0.1, epochs=3, clip_norm=None))) == bool(arguments)
    array = array_of([begin(cell())])
    with pytest.raises(ValueError, match=rf"^trials of {other.cell_id} and {cell().cell_id} cannot be in one array: "):
        array.join(begin(other, **arguments))
    assert len(array) == 1


def test_a_trial_joins_an_array_once() -> None:
    trial = begin(cell())
    array = array_of([trial])
    with pytest.raises(ValueError, match=rf"^trials of {cell().cell_id} .* is in the array already$"):
        array.join(trial)
