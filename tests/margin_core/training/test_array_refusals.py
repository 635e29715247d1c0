"""Which trials an array refuses, and with what reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from margin_core.data import DatasetConfig
from margin_core.losses import FAMILIES
from margin_core.models import MODELS, build_backbone
from margin_core.training.array import alike, why_alone
from margin_core.training.stacked import check_stack
from tests.margin_core.training.array_cases import array_of, assert_as_alone, begin, cell
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
    "precision": ({"precision": "float16"}, "precision is float16, whose loss is scaled"),
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


THEIR_MODELS = """
import math
from torch import nn
from margin_core.models import ModelSource

class Parts(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.flat, self.one, self.two, self.three = nn.Flatten(), nn.Linear(inputs, 20), nn.Linear(20, 10), nn.Linear(20, 10)

class Forked(Parts):
    def forward(self, images):
        return (self.two if self.training else self.three)(self.one(self.flat(images)))

class Tied(Parts):
    def __init__(self, inputs):
        super().__init__(inputs)
        self.three.weight = self.two.weight

    def forward(self, images):
        hidden = self.one(self.flat(images))
        return self.two(hidden) + self.three(hidden)

class Idle(Parts):
    def forward(self, images):
        return self.two(self.one(self.flat(images)))

class Rows(nn.Sequential):
    def __init__(self, inputs):
        super().__init__(nn.Linear(8, 4), nn.Flatten())

class Plain(nn.Sequential):
    def __init__(self, inputs):
        super().__init__(nn.Conv2d(1, 4, 3, groups=1), nn.BatchNorm2d(4, momentum=0.3), nn.AvgPool2d(2), nn.Conv2d(4, 8, 2, groups=4),
            nn.ReLU6(), nn.Flatten(), nn.BatchNorm1d(32, affine=False), nn.Linear(32, 10, bias=False))

class Still(Plain):
    def __init__(self, inputs):
        super().__init__(inputs)
        self[0].requires_grad_(False)

class Hooked(Plain):
    def __init__(self, inputs):
        super().__init__(inputs)
        self[7].register_forward_hook(lambda layer, given, features: 2 * features)

def source(kind):
    return ModelSource(kind.__name__.lower(), kind.__name__, "made for a test", lambda name, in_shape: kind(math.prod(in_shape)))

FORKED, TIED, IDLE, ROWS, PLAIN, STILL, HOOKED = map(source, (Forked, Tied, Idle, Rows, Plain, Still, Hooked))
"""
WHY_NOT = {
    "forked": "some of its parameters have no part in its features",
    "tied": "its layers do not go together (KeyError)",
    "idle": "some of its parameters have no part in its features",
    "rows": "its layers do not go together (RuntimeError)",
    "still": "some of its parameters are not trained",
    "hooked": "what it does in training is more than its layers do",
}


@pytest.fixture
def their_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models of another package, which are found as they would be in a process that has just started."""
    write_package(
        tmp_path, "theirs", {"theirs": THEIR_MODELS}, {"margin_core.models": {n: f"theirs:{n.upper()}" for n in (*WHY_NOT, "plain")}}
    )
    monkeypatch.syspath_prepend(tmp_path)
    vars(MODELS).pop("_named", None)
    yield
    vars(MODELS).pop("_named")


@pytest.mark.usefixtures("their_models")
def test_a_model_of_another_package_that_is_more_than_its_layers_fits_no_array() -> None:
    before = torch.random.get_rng_state()
    why = {
        name: why_alone(cell(model=name)).removeprefix(f"the model {name} cannot be done for several trials at once: ") for name in WHY_NOT
    }
    assert why == WHY_NOT
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("their_models")
def test_a_model_of_another_package_is_trained_in_an_array_as_alone() -> None:
    assert_as_alone([cell(family, model="plain", batch_size=100) for family in ("ce", "arc_face", "ce")], epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "resnet34", "vgg16"])
def test_models_of_ours_come_to_the_same_stacked_as_by_themselves(model: str) -> None:
    assert why_alone(cell(model=model, dataset=DatasetConfig("cifar10"))) == ""
    check_stack(build_backbone(model, (3, 32, 32)), (3, 32, 32))


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


def test_trials_in_single_and_in_double_precision_are_in_no_array_together() -> None:
    array = array_of([begin(cell())])
    with pytest.raises(ValueError, match="cannot be in one array: "):
        array.join(begin(cell("gds"), dtype=torch.float32))


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
