"""Trials on a frozen backbone: what they compute, what they keep, and when it is computed again."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from margin_core.cache import cache_directory, check_cache
from margin_core.data import DatasetConfig, Manifold
from margin_core.models import build_model, save_weights
from margin_core.training import Cell, EpochReport, Recipe, Trial
from margin_core.training.frozen import features_key, frozen_features

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=100, weight_decay=1e-3)
DIGITS = Cell(DatasetConfig("digits", 0.1, images_per_class=50), "mlp-30-20", "ce", {}, {}, RECIPE, backbone="frozen")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def begin(cell: Cell, replicate: int = 0, data_root: Path | None = None) -> Trial:
    return Trial(cell, study_seed=0, replicate=replicate, data_root=data_root)


def run(trial: Trial) -> list[EpochReport]:
    reports = []
    while not trial.done:
        reports.append(trial.run_epoch())
    return reports


def files(cache: Path) -> list[Path]:
    return sorted((cache / "features").glob("*.npy"))


class Still(nn.Module):
    """A backbone that gives the features of evaluation and learns nothing, whatever mode the trial puts it in."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.backbone.eval()(images)


@pytest.mark.parametrize(
    "cell",
    [
        DIGITS,
        dataclasses.replace(DIGITS, model="resnet32", family="cos_face", regularizers={"sample_margin": 0.1}),
        dataclasses.replace(DIGITS, dataset=DatasetConfig("manifold", manifold=Manifold("rigid"), classes=3), model="timm:test_vit"),
    ],
    ids=lambda cell: cell.model,
)
def test_a_trial_on_kept_features_is_one_that_computes_them_anew_at_each_step(cell: Cell) -> None:
    frozen = begin(cell)
    anew = begin(dataclasses.replace(cell, backbone="trained"))
    anew.model.backbone = Still(anew.model.backbone.requires_grad_(False))
    assert torch.equal(frozen.model.head.weight, anew.model.head.weight)
    for kept, fresh in zip(run(frozen), run(anew), strict=True):
        # A feature's last bits depend on how many images go through the backbone together.
        assert kept.metrics == pytest.approx(fresh.metrics, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(frozen.model.head.weight, anew.model.head.weight, rtol=1e-4, atol=1e-5)


def test_a_trial_that_finds_its_features_and_one_that_computes_them_are_the_same_bit_for_bit(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(DIGITS)
    (file,) = files(cache)
    made = file.stat()
    found = begin(DIGITS)
    assert files(cache) == [file]
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "elsewhere"))
    computed = begin(DIGITS)
    one, other, third = run(first), run(found), run(computed)
    assert [report.metrics for report in one] == [report.metrics for report in other] == [report.metrics for report in third]
    assert torch.equal(first.model.head.weight, computed.model.head.weight)


def test_only_the_head_is_trained_and_kept_and_a_trial_goes_on_from_it_exactly(tmp_path: Path) -> None:
    whole, half = begin(DIGITS), begin(DIGITS)
    assert sorted(whole.model.state_dict()) == ["head.bias", "head.weight"]
    half.run_epoch()
    half.save(tmp_path / "half.pt")
    again = begin(DIGITS)
    again.load(tmp_path / "half.pt")
    again.run_epoch()
    run(whole)
    assert torch.equal(again.model.head.weight, whole.model.head.weight)
    assert again.evaluate("test") == whole.evaluate("test")


def test_replicates_and_cells_with_the_same_weights_share_one_file_whatever_their_loss_and_labels(cache: Path, tmp_path: Path) -> None:
    backbone = build_model("mlp-30-20", in_shape=(1, 8, 8), num_classes=10, reads="logits", seed_parts=(7,)).backbone
    cell = dataclasses.replace(DIGITS, weights=save_weights(backbone, tmp_path / "weights", "seven").name)
    begin(cell, data_root=tmp_path)
    begin(cell, replicate=1, data_root=tmp_path)
    begin(dataclasses.replace(cell, family="arc_face", dataset=DatasetConfig("digits", 0.3)), data_root=tmp_path)
    assert len(files(cache)) == 1
    begin(dataclasses.replace(cell, dataset=DatasetConfig("digits", deform=0.1)), data_root=tmp_path)
    assert len(files(cache)) == 2


def test_the_key_depends_on_images_standardisation_weights_buffers_and_name() -> None:
    trial = begin(dataclasses.replace(DIGITS, model="resnet32", backbone="trained"))
    backbone, dataset = trial.model.backbone, trial.data.dataset
    byte_images = dataclasses.replace(dataset, images=dataset.images.to(torch.uint8), mean=(0.5,), std=(0.25,))
    keys = [features_key(backbone, dataset, "resnet32", CPU), features_key(backbone, dataset, "resnet33", CPU)]
    keys += [features_key(backbone, byte_images, "resnet32", CPU)]
    keys += [features_key(backbone, dataclasses.replace(byte_images, mean=(0.4,)), "resnet32", CPU)]
    keys += [features_key(backbone, dataclasses.replace(dataset, images=dataset.images.flip(0)), "resnet32", CPU)]
    backbone(dataset.images[:8])  # moves the running means of batch normalisation, and nothing else
    keys.append(features_key(backbone, dataset, "resnet32", CPU))
    assert len(set(keys)) == len(keys)
    assert features_key(backbone, dataset, "resnet32", CPU) == keys[-1]


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_computes_and_all_read_the_same_file(cache: Path) -> None:
    script = """
import sys
from pathlib import Path
from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe, Trial
print("ready", flush=True)
sys.stdin.readline()
cell = Cell(DatasetConfig("digits"), "resnet32", "ce", {}, {}, Recipe(epochs=1), backbone="frozen")
trial = Trial(cell, study_seed=0, replicate=0)
(file,) = Path(sys.argv[1], "features").glob("*.npy")
print(file.stat().st_ino, trial.data.train_x.double().sum().item())
"""
    command = [sys.executable, "-c", script, str(cache)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n")[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said[0] == said[1] != ""


def test_what_a_killed_process_left_is_written_over_and_a_torn_file_is_told(cache: Path) -> None:
    begin(DIGITS)
    (file,) = files(cache)
    whole = file.read_bytes()
    file.rename(file.with_name(f".{file.name}.part"))
    begin(DIGITS)
    assert files(cache) == [file] and file.read_bytes() == whole
    assert not file.with_name(f".{file.name}.part").exists()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match=r"is not whole .*; remove it, and it is made anew"):
        begin(DIGITS)


def test_a_feature_written_into_changes_no_other_trial(cache: Path) -> None:
    trial = begin(dataclasses.replace(DIGITS, backbone="trained"))
    features = frozen_features(trial.model.backbone, trial.data.dataset, "mlp", CPU)
    assert features.dtype == torch.float32 and features.shape == (1797, 20)
    before = features.clone()
    features.zero_()
    assert torch.equal(frozen_features(trial.model.backbone, trial.data.dataset, "mlp", CPU), before)


def test_the_cache_lies_where_it_is_told_or_where_the_platform_keeps_such_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("MARGIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "margin-studies"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "margin-studies"


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_cache()
    assert os.listdir(cache_directory()) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match=r"the cache .*/file/cache cannot be written: Not a directory; set MARGIN_CACHE to a folder that can"):
        check_cache()
    with pytest.raises(OSError, match=r"the cache cannot be used .*; set MARGIN_CACHE to a folder with more room or rights"):
        begin(DIGITS)
