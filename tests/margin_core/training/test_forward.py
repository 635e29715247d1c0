"""How the network is computed: number formats, memory formats and compiled kernels, and that the loss does not notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Trial
from margin_core.training.forward import Forward


def trial(family: str = "ce", *, model: str = "mlp-50-20", **recipe: Any) -> Trial:
    settings = {"epochs": 1, "batch_size": 200, "lr": 0.01, **recipe}
    return Trial(Cell(DatasetConfig("digits"), model, family, {}, {}, Recipe(**settings)), study_seed=0, replicate=0)


@pytest.mark.parametrize("family", ["ce", "arc_face", "l_softmax"])
@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_in_half_precision_the_backbone_computes_in_it_and_everything_else_in_float32(
    family: str, precision: str, dtype: torch.dtype
) -> None:
    half, full = trial(family, precision=precision), trial(family)
    seen: list[Tensor] = []
    half.model.backbone.register_forward_hook(lambda module, inputs, output: seen.append(output))
    rough, exact = half._forward(half.data.val_x), full._forward(full.data.val_x)
    torch.testing.assert_close(rough.scores, exact.scores, atol=0.02, rtol=0.02)
    assert not torch.equal(rough.scores, exact.scores)
    assert (rough.scores.dtype, rough.features.dtype) == (torch.float32, torch.float32)
    report = half.run_epoch()
    assert {features.dtype for features in seen} == {dtype}
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.float32}
    assert not report.diverged


def test_the_gradients_of_float16_are_scaled_out_of_the_range_where_it_has_none() -> None:
    # A loss of this size has gradients in the backbone below float16's smallest number, 6e-8, without a scale.
    tiny = {"optimizer": "sgd", "momentum": 0.0, "clip_norm": None}
    half, full = trial(precision="float16", lr=100.0, **tiny), trial(lr=100.0, **tiny)
    for one in (half, full):
        one.objective.loss.register_forward_hook(lambda module, inputs, output: 1e-7 * output)
    moved = []
    for one in (half, full):
        start = one.model.backbone.state_dict()
        start = {name: value.clone() for name, value in start.items()}
        one.run_epoch()
        moved.append(torch.cat([(value - start[name]).flatten() for name, value in one.model.backbone.state_dict().items()]))
    assert moved[1].norm() > 0.0
    torch.testing.assert_close(moved[0].norm(), moved[1].norm(), rtol=0.05, atol=0.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_whose_gradients_overflow_float16_is_not_made_and_leaves_nothing_behind(optimizer: str) -> None:
    # The scale starts at 2^16 and is halved at each overflow: times 1000 the first steps overflow.
    half = trial(precision="float16", optimizer=optimizer, batch_size=50, epochs=3, clip_norm=1.0, lr=0.01)
    half.objective.loss.register_forward_hook(lambda module, inputs, output: 1000.0 * output)
    reports = [half.run_epoch() for _ in range(3)]
    assert half._step._scaler.get_scale() < 2.0**14
    assert reports[-1].metrics["train_loss"] < reports[0].metrics["train_loss"]
    assert reports[-1].metrics["val_accuracy"] > 50.0


def test_without_a_gpu_tf32_is_float32() -> None:
    # So what was trained on a GPU can be looked at and trained again without one.
    assert trial(precision="tf32").run_epoch().metrics == trial().run_epoch().metrics


def test_torchs_settings_are_tf32s_in_the_block_only() -> None:
    # Only the settings are looked at, which torch has without a GPU too.
    model = trial().model
    former = torch.get_float32_matmul_precision()
    with Forward(Recipe(epochs=1, precision="tf32"), model, torch.device("cuda")).settings():
        assert torch.get_float32_matmul_precision() == "high"
    with pytest.raises(KeyError), Forward(Recipe(epochs=1, precision="tf32"), model, torch.device("cuda")).settings():
        raise KeyError
    assert torch.get_float32_matmul_precision() == former


def test_channels_last_changes_the_order_in_memory_and_the_numbers_by_rounding_only() -> None:
    last, first = (trial(channels_last=channels_last, model="timm:test_resnet") for channels_last in (True, False))
    seen: list[Tensor] = []
    last.model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    reports = [last.run_epoch(), first.run_epoch()]
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in seen)
    filters = [parameter for parameter in last.model.parameters() if parameter.ndim == 4]
    assert filters and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in filters)
    assert reports[0].metrics["train_loss"] == pytest.approx(reports[1].metrics["train_loss"], rel=1e-3)


@pytest.mark.slow
def test_a_compiled_backbone_trains_to_the_same_numbers_up_to_rounding() -> None:
    compiled, eager = trial(compile=True), trial()
    one, other = compiled.run_epoch().metrics, eager.run_epoch().metrics
    assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
    assert compiled.model.state_dict().keys() == eager.model.state_dict().keys()
