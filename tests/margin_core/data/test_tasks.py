"""Datasets with a task: what they declare, what is refused, and that dials keep the task to the images that are left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from margin_core.data import Dataset, DatasetConfig, RetrievalTask, VerificationTask, prepare
from margin_core.testing import DatasetConformance
from tests import digit_tasks

P = torch.tensor


@pytest.fixture(scope="module", autouse=True)
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with digit_tasks.installed(tmp_path_factory.mktemp("package")):
        yield


class TestDigitTasks(DatasetConformance):
    sources = (digit_tasks.FOUND, digit_tasks.COMPARED)


RETRIEVAL: dict[str, Any] = {"query": P([0]), "gallery": P([1, 2]), "identities": P([5, 5, 6]), "cameras": P([0, 1, 1])}
VERIFICATION: dict[str, Any] = {"pairs": P([[0, 1], [0, 2]]), "same": P([True, False])}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"query": P([0.0])}, r"query must be int64 \(N,\) with N >= 1, got torch.float32 \(1,\)"),
        ({"gallery": P([], dtype=torch.int64)}, r"gallery must be int64 \(N,\) with N >= 1, got torch.int64 \(0,\)"),
        ({"cameras": P([0, 1])}, r"cameras must be \(3,\) to go with identities, got \(2,\)"),
        ({"gallery": P([1, 3])}, r"gallery must hold places in \[0, 3\), got 1 to 3"),
        ({"query": P([-1])}, r"query must hold places in \[0, 3\), got -1 to -1"),
        ({"gallery": P([2])}, "gallery must hold an identity of the query images, got none"),
    ],
)
def test_a_retrieval_that_cannot_be_measured_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RetrievalTask(**{**RETRIEVAL, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pairs": P([0, 1])}, r"pairs must be int64 \(P, 2\), got torch.int64 \(2,\)"),
        ({"same": P([1, 0])}, r"same must be bool \(2,\) to go with pairs, got torch.int64 \(2,\)"),
        ({"same": P([True, True])}, "same must be true of some pairs and false of others, got 2 of 2"),
        ({"pairs": P([[0, -1], [0, 2]])}, "pairs must hold places >= 0, got -1 to 2"),
    ],
)
def test_a_verification_that_cannot_be_measured_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        VerificationTask(**{**VERIFICATION, **changes})


def test_a_task_is_on_test_images_only() -> None:
    images = torch.zeros(3, 1, 1, 1)
    task = RetrievalTask(**RETRIEVAL)
    with pytest.raises(ValueError, match="looked for: test_indices must hold every image of the task retrieval"):
        Dataset("looked for", images, P([0, 0, 0]), ("one",), test_indices=P([0, 1]), task=task)
    assert Dataset("looked for", images, P([0, -1, 0]), ("one",), test_indices=P([0, 1, 2]), task=task).task is task


@pytest.mark.parametrize("name", ["digits-found", "digits-compared"])
def test_fewer_classes_train_and_the_same_strangers_are_measured_on(name: str) -> None:
    whole, few = (prepare(DatasetConfig(name, classes=classes), study_seed=0, replicate=0).dataset for classes in (None, 3))
    assert few.num_classes == 3
    assert len(few.labels) < len(whole.labels)
    before, after = (made.images[made.task.images] for made in (whole, few) if made.task is not None)
    assert torch.equal(before, after)
    assert set(few.labels.tolist()) == {-1, 0, 1, 2}


def test_a_task_keeps_what_is_whole_in_a_smaller_dataset() -> None:
    places = P([0, -1, 1])
    kept = replace(RetrievalTask(**RETRIEVAL), identities=P([5, 5, 5])).keep(places)
    assert (kept.query.tolist(), kept.gallery.tolist(), kept.identities.tolist()) == ([0], [1], [5, 5])
    assert kept.cameras is not None and kept.cameras.tolist() == [0, 1]
    pairs = VerificationTask(P([[0, 1], [0, 2], [2, 0]]), P([True, False, True])).keep(places)
    assert (pairs.pairs.tolist(), pairs.same.tolist()) == ([[0, 1], [1, 0]], [False, True])
