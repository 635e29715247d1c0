"""Retrieval and verification in a trial: on strangers in the test split, on the trained classes in the validation split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from margin_core import metrics
from margin_core.data import DatasetConfig, RetrievalTask, VerificationTask
from margin_core.training import TASK_METRICS, Examples, Record, Trial
from margin_core.training.embeddings import Embeddings, draw_pairs
from tests import digit_tasks
from tests.margin_core.data.small_copies import small_copies
from tests.margin_core.training.test_trial import KEYS, cell, run

TASKS = {"digits-found": "retrieval", "digits-compared": "verification"}


@pytest.fixture(scope="module", autouse=True)
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with digit_tasks.installed(tmp_path_factory.mktemp("package")):
        yield


def trained(name: str) -> Trial:
    trial = Trial(cell(dataset=DatasetConfig(name)), study_seed=0, replicate=0, record=Record(train=True, test=True, top_k=(2,)))
    run(trial)
    return trial


def measured(name: str, split: str) -> list[str]:
    return [f"{split}_{metric}" for metric in TASK_METRICS[TASKS[name]]]  # type: ignore[index]


@pytest.mark.parametrize("name", TASKS)
def test_a_trial_measures_its_datasets_task_on_validation_and_test_images(name: str) -> None:
    trial = Trial(cell(dataset=DatasetConfig(name)), study_seed=0, replicate=0, record=Record(train=True, test=True, top_k=(2,)))
    last = run(trial)[-1].metrics
    train = [key.replace("val_", "train_") for key in KEYS if key.startswith("val_")]
    on_val = [*KEYS, "val_top_2_accuracy", *measured(name, "val")]
    assert list(last) == [*on_val, *train[:3], train[3], "train_top_2_accuracy", *measured(name, "test")]
    assert all(math.isfinite(value) for value in last.values())
    for split in ("val", "test"):
        values = [last[key] for key in measured(name, split)]
        # Two epochs tell the digits apart far better than chance, which finds one in three or accepts one in a hundred.
        assert 50.0 < values[0] <= 100.0 if name == "digits-found" else 5.0 < values[0] <= 100.0


@pytest.mark.parametrize("name", TASKS)
def test_where_nothing_validates_the_task_is_measured_on_test_images_alone(name: str) -> None:
    trial = Trial(cell(dataset=DatasetConfig(name, validation=0), epochs=1), study_seed=0, replicate=0, record=Record(test=True))
    assert list(run(trial)[-1].metrics) == ["train_loss", "class_margin", *measured(name, "test")]


def test_a_plain_trial_measures_what_it_always_has() -> None:
    plain = Trial(cell(epochs=1), study_seed=0, replicate=0)
    assert list(run(plain)[0].metrics) == KEYS
    assert plain.predict("test").features is None


def test_strangers_are_found_as_the_metric_finds_them() -> None:
    trial = trained("digits-found")
    with torch.inference_mode():
        features = trial.model(trial.data.dataset.images).features
    task = trial.data.dataset.task
    assert isinstance(task, RetrievalTask) and task.cameras is not None
    found = metrics.retrieval(
        features[task.query],
        features[task.gallery],
        query_ids=task.identities[task.query],
        gallery_ids=task.identities[task.gallery],
        query_cameras=task.cameras[task.query],
        gallery_cameras=task.cameras[task.gallery],
    )
    told = trial.evaluate("test")
    assert told["test_map"] == pytest.approx(found.mean_average_precision, abs=0.05)
    assert told["test_rank_1"] == pytest.approx(found.rank[1], abs=0.5)


def test_strangers_are_compared_as_the_metric_compares_them() -> None:
    trial = trained("digits-compared")
    with torch.inference_mode():
        features = trial.model(trial.data.dataset.images).features
    task = trial.data.dataset.task
    assert isinstance(task, VerificationTask)
    found = metrics.verification(features, task.pairs, task.same, far=(0.01, 0.001))
    told = trial.evaluate("test")
    assert [told["test_tar_at_far_0.01"], told["test_tar_at_far_0.001"]] == pytest.approx([point.tar for point in found.points], abs=0.5)
    assert told["test_equal_error_rate"] == pytest.approx(found.equal_error_rate, abs=0.005)


def test_faces_of_others_are_compared_in_the_official_pairs(tmp_path: Path) -> None:
    with small_copies(tmp_path, "lfw"):
        trial = Trial(
            cell("cos_face", dataset=DatasetConfig("lfw", size=8), epochs=1, batch_size=512),
            study_seed=0,
            replicate=0,
            record=Record(test=True),
            data_root=tmp_path,
        )
    last = run(trial)[-1].metrics
    # The faces of a person are of one colour here: whatever the network is, they are as near as can be.
    assert last["test_tar_at_far_0.01"] == 100.0
    assert last["test_equal_error_rate"] < 0.01
    assert math.isnan(last["test_tar_at_far_0.001"])  # 100 pairs of two people are too few
    assert all(math.isfinite(last[key]) for key in ("val_tar_at_far_0.01", "val_tar_at_far_0.001", "val_equal_error_rate"))
    assert "test_accuracy" not in last


def test_a_task_is_no_part_of_the_training() -> None:
    one, other = (trained(name) for name in TASKS)
    before, after = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_strangers_are_of_no_class_and_in_no_file_of_examples() -> None:
    trial = trained("digits-found")
    assert set(trial.predict("test").target.tolist()) == {-1}
    assert len(Examples.of(trial).right) == 0


def test_without_cameras_an_image_does_not_find_itself() -> None:
    features = torch.eye(4)
    everyone = torch.arange(4)
    found = Embeddings("val", RetrievalTask(everyone, everyone, torch.tensor([0, 0, 1, 1]))).measure(features)
    assert found["val_map"] < 100.0
    assert found["val_rank_1"] < 100.0


def test_a_rate_that_the_pairs_are_too_few_for_is_nan() -> None:
    pairs = torch.stack([torch.zeros(150, dtype=torch.int64), torch.arange(1, 151)], dim=1)
    task = VerificationTask(pairs, torch.arange(150) < 50)
    told = Embeddings("test", task).measure(torch.randn(151, 3, generator=torch.Generator().manual_seed(0)))
    assert math.isfinite(told["test_tar_at_far_0.01"])
    assert math.isnan(told["test_tar_at_far_0.001"])
    assert math.isfinite(told["test_equal_error_rate"])


@pytest.mark.parametrize("name", TASKS)
def test_embeddings_that_are_not_finite_are_worth_nan(name: str) -> None:
    last = run(Trial(cell(dataset=DatasetConfig(name), lr=1e30), study_seed=0, replicate=0, record=Record(test=True)))[-1]
    assert last.diverged
    assert all(math.isnan(last.metrics[key]) for split in ("val", "test") for key in measured(name, split))


@given(st.lists(st.integers(0, 4), min_size=3, max_size=30).filter(lambda labels: 1 < len(set(labels)) < len(labels)), st.integers(0, 9))
def test_drawn_pairs_are_of_two_rows_and_of_the_kind_they_say(labels: list[int], seed: int) -> None:
    classes = torch.tensor(labels)
    drawn = draw_pairs(classes, 20, torch.Generator().manual_seed(seed))
    assert drawn.pairs.shape == (40, 2)
    assert bool((drawn.pairs[:, 0] != drawn.pairs[:, 1]).all())
    assert torch.equal(classes[drawn.pairs[:, 0]] == classes[drawn.pairs[:, 1]], drawn.same)


def test_every_pair_is_drawn_sooner_or_later() -> None:
    drawn = draw_pairs(torch.tensor([0, 2, 0, 2, 0, 1]), 2000, torch.Generator().manual_seed(0))
    assert len({tuple(pair) for pair in drawn.pairs[drawn.same].tolist()}) == 3 * 2 + 2
    assert len({tuple(pair) for pair in drawn.pairs[~drawn.same].tolist()}) == 6 * 5 - (3 * 2 + 2)
