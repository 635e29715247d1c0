"""Which trials an array refuses, and with what reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from margin_core.data import DatasetConfig
from margin_core.losses import FAMILIES
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
def test_why_a_trial_fits_no_array_is_told(of: dict[str, Any], reason: str) -> None:
    assert why_alone(cell(**of)) == reason


def test_a_trial_that_fits_no_array_is_refused_with_the_reason() -> None:
    array, averaged = array_of([begin(cell())]), begin(cell(ema=0.9))
    with pytest.raises(ValueError) as refused:
        array.join(averaged)
    assert str(refused.value) == f"trials of {averaged.cell.cell_id} cannot join an array: ema is 0.9"
    assert len(array) == 1


PER_CLASS = """
import torch
from torch import nn
from torch.nn import functional as F
from margin_core.losses import Family
from margin_core.losses.family import Loss

class Shifted(Loss):
    def __init__(self, family, **arguments):
        super().__init__(family, **arguments)
        self.shifts = nn.Parameter(torch.zeros(self.num_classes))

    def arguments(self):
        return {**super().arguments(), "shifts": self.shifts}

def shifted(scores, target, *, shifts):
    return -(scores + shifts).log_softmax(dim=-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)

FAMILY = Family("shifted", "Cross-entropy with a trained shift of each class", "logits", shifted, "made for a test", module=Shifted)
"""


def test_a_family_that_trains_numbers_for_each_class_fits_no_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path, "shifted", {"shifted": PER_CLASS}, {"margin_core.families": {"shifted": "shifted:FAMILY"}})
    monkeypatch.syspath_prepend(tmp_path)
    vars(FAMILIES).pop("_named", None)  # as a process that has just started sees them
    of = cell("shifted", {})
    assert begin(of).run_epoch().epoch == 1
    assert why_alone(of) == "the family shifted trains more than single numbers of its own"
    vars(FAMILIES).pop("_named")


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
    vars(MODELS).pop("_named", None)  # as a process that has just started sees them
    assert (
        why_alone(cell(model="still"))
        == "the model still cannot be done for several trials at once: some of its parameters are not trained"
    )
    vars(MODELS).pop("_named")


UNLIKE: dict[str, dict[str, Any]] = {
    "dataset": {"dataset": DatasetConfig("digits", images_per_class=49)},
    "noise": {"dataset": DatasetConfig("digits", 0.1, images_per_class=50)},
    "model": {"model": "mlp-50-21"},
    "backbone": {"backbone": "frozen"},
    "batch_size": {"batch_size": 65},
    "optimizer": {"optimizer": "adamw"},
    "momentum": {"momentum": 0.0},
    "augment": {"augment": "crop_flip"},
}


@pytest.mark.parametrize("of", UNLIKE.values(), ids=UNLIKE)
def test_a_trial_unlike_those_in_an_array_is_refused(of: dict[str, Any]) -> None:
    other = cell("gds", **of)
    assert why_alone(other) == ""
    assert alike(other) != alike(cell())
    array = array_of([begin(cell())])
    with pytest.raises(ValueError, match=rf"^trials of {other.cell_id} and {cell().cell_id} cannot be in one array: "):
        array.join(begin(other))
    assert len(array) == 1


def test_cells_are_alike_whatever_is_each_trials_own() -> None:
    other = cell(
        "arc_face", {}, {"sample_margin": 0.5}, lr=0.3, weight_decay=0.1, epochs=3, clip_norm=None, warm_up=1, lr_schedule="constant"
    )
    assert alike(other) == alike(cell())


def test_a_trial_joins_an_array_once() -> None:
    trial = begin(cell())
    array = array_of([trial])
    with pytest.raises(ValueError, match=rf"^trials of {cell().cell_id} .* is in the array already$"):
        array.join(trial)
