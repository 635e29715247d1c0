"""Every dataset of ours is what every dataset must be: whole, where its files are, and as a small copy anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch

from margin_core.data import SOURCES, DatasetSource, dataset_info, resolve_data_root
from margin_core.testing import DatasetConformance
from margin_core.testing.datasets import refusal
from tests.margin_core.data.small_copies import NAMED, small_copies


def at_16(sources: Iterable[DatasetSource]) -> list[DatasetSource]:
    """The datasets that a study file names whole, photos 16 pixels wide."""
    return [dataset_info(source.name, 16 if source.resize else None) for source in sources if source.named is None]


class TestWholeDatasets(DatasetConformance):
    """Those that come with libraries, and those that lie below ``MARGIN_DATA``."""

    sources = [source for source in at_16(SOURCES.ours.values()) if refusal(source, resolve_data_root()) is None]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with small_copies(tmp_path_factory.mktemp("copies")) as root:
        TestSmallCopies.data_root = root
        yield


@pytest.mark.usefixtures("copies")
class TestSmallCopies(DatasetConformance):
    """Those that are read from files, in their official layouts; `small_copies` cites these."""

    sources = [
        *(source for source in at_16(SOURCES.ours.values()) if refusal(source, None) is not None),
        *(dataset_info(name, 16) for name in NAMED),
    ]
    whole = False


@pytest.mark.usefixtures("copies")
def test_each_dataset_in_files_has_a_small_copy_and_so_has_each_kind() -> None:
    assert [source.name for source in TestSmallCopies.sources if refusal(source, TestSmallCopies.data_root) is not None] == []
    assert {name.partition(":")[0] for name in NAMED} == {source.name for source in SOURCES.ours.values() if source.named}


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("source", TestSmallCopies.sources, ids=lambda source: source.name)
def test_a_data_root_may_be_relative(source: DatasetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    root = TestSmallCopies.data_root
    assert root is not None
    monkeypatch.chdir(root.parent)
    assert torch.equal(source.read(Path(root.name)).images, source.read(root).images)
