"""A trial that goes on on another node, which has nothing of the first but what lies on the storage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from margin_core.training import Examples
from studies.running.trainable import TrialActor
from studies.running.trial_copies import own_folder
from studies.storage import Storage
from tests.object_store import object_store
from tests.studies.running.test_trainable import actor, reports

pytestmark = pytest.mark.ray


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "s3":
        with object_store(monkeypatch) as found:
            yield found
    else:
        yield (tmp_path / "kept").as_uri()


def on_a_new_node(tmp_path: Path, url: str, examples: bool = False) -> TrialActor:
    """An actor on a node where no trial ever was: folders of the work directory are not to be seen from it."""
    if own_folder.cache_info().currsize:
        shutil.rmtree(own_folder())
    own_folder.cache_clear()
    unseen = str(tmp_path / "unseen")
    return actor(tmp_path / "unseen", storage=url, study="small", examples=unseen if examples else None)


@pytest.fixture
def whole(tmp_path: Path) -> list[dict[str, object]]:
    return reports(actor(tmp_path / "whole"), 4)


@pytest.mark.parametrize("done", [1, 3])
def test_it_ends_with_the_numbers_that_it_would_have_had(tmp_path: Path, url: str, whole: list[dict[str, object]], done: int) -> None:
    first = reports(on_a_new_node(tmp_path, url), done)
    again = reports(on_a_new_node(tmp_path, url), 4 - done)
    assert first == whole[:done]
    assert again == whole  # those of the first node are told again, for the driver may not have heard them
    assert list((tmp_path / "unseen").iterdir()) == []


def test_where_its_last_checkpoint_is_broken_it_goes_on_from_the_one_before(
    tmp_path: Path, url: str, whole: list[dict[str, object]]
) -> None:
    reports(on_a_new_node(tmp_path, url), 3)
    storage = Storage(url, "small")
    [last] = [name for name in storage.names("checkpoints") if name.endswith(".pt")]
    (tmp_path / "torn").write_bytes(b"torn")
    storage.put(tmp_path / "torn", f"checkpoints/{last}")
    again = on_a_new_node(tmp_path, url)
    rows = again.step()["rows"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [{"epoch": row["epoch"], "metrics": row["metrics"]} for row in rows] + reports(again, 1) == whole


def test_what_it_makes_of_the_test_examples_is_sent_before_its_end_is_reported(tmp_path: Path, url: str) -> None:
    reports(on_a_new_node(tmp_path, url, examples=True), 4)
    storage = Storage(url, "small")
    [name] = storage.names("examples")
    assert storage.get(f"examples/{name}", tmp_path / name)
    assert len(Examples.read(tmp_path / name).right) == 359


def test_a_storage_that_takes_no_checkpoint_any_more_does_not_end_the_trial(tmp_path: Path, whole: list[dict[str, object]]) -> None:
    trial = on_a_new_node(tmp_path, (tmp_path / "kept").as_uri())
    first = reports(trial, 2)
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "kept").touch()
    assert first + reports(trial, 2) == whole
