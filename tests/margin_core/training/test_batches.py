"""Batches: wherever images lie, they come in the same order and are the same, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from margin_core.data import DatasetConfig, load_dataset
from margin_core.training import Cell, Recipe, Trial, batches
from margin_core.training.batches import Batches
from tests.margin_core.data.photo_copies import write_folder

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("at_once", [0, 100])
def test_batches_are_the_images_of_the_split_in_the_order_that_is_asked_for(
    device: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", at_once)
    images = torch.arange(2 * 3 * 3, dtype=torch.uint8).reshape(6, 1, 1, 3)
    split = Batches(images, torch.tensor([5, 0, 3, 2]), torch.device(device))
    assert len(split) == 4 and split.many == (at_once == 0)
    found = list(split.batches(torch.tensor([3, 1, 0, 2]), [3, 1]))
    assert [numbers.tolist() for numbers, _ in found] == [[3, 1, 0], [2]]
    assert all(numbers.device.type == pictures.device.type == device for numbers, pictures in found)
    assert torch.equal(torch.cat([pictures.cpu() for _, pictures in found]), images[[2, 0, 5, 3]])
    assert [len(numbers) for numbers, _ in split.batches(torch.arange(4), 3)] == [3, 1]


def test_what_goes_wrong_while_the_next_batch_is_gathered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 0)
    split = Batches(torch.zeros(2, 1, 1, 1), torch.tensor([0, 2]), torch.device("cpu"))
    found = split.batches(torch.tensor([0, 1]), 1)
    assert len(next(found)) == 2
    with pytest.raises(IndexError):
        next(found)


@pytest.mark.parametrize("device", DEVICES)
def test_a_trial_that_gathers_ahead_ends_bit_for_bit_as_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    write_folder(tmp_path)
    assert load_dataset("folder:leaves", tmp_path, size=8).images.dtype == torch.uint8
    ends = []
    for dataset in (DatasetConfig("folder:leaves", size=8), DatasetConfig("digits", images_per_class=10)):
        cell = Cell(dataset, "mlp-8", "gds", {"lam": 1.0}, {}, Recipe(epochs=2, batch_size=3))
        for at_once in (2**31, 0):
            monkeypatch.setattr(batches, "AT_ONCE", at_once)
            trial = Trial(cell, study_seed=0, replicate=0, data_root=tmp_path, device=device)
            assert trial._train[0].many == (at_once == 0)
            reports = [trial.run_epoch().metrics for _ in range(2)]
            ends.append((reports, trial.evaluate("test"), torch.cat([p.detach().flatten() for p in trial.model.parameters()])))
    for whole, ahead in (ends[:2], ends[2:]):
        assert whole[:2] == ahead[:2]
        assert torch.equal(whole[2], ahead[2])
