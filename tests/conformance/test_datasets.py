"""Every dataset of ours is what every dataset must be: whole, where its files are, and as a small copy anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from margin_core.data import SOURCES, resolve_data_root
from margin_core.testing import DatasetConformance
from margin_core.testing.datasets import refusal
from tests.margin_core.data.small_copies import small_copies


class TestWholeDatasets(DatasetConformance):
    """Those that come with libraries, and those that lie below ``MARGIN_DATA``."""

    sources = [source for source in SOURCES.ours.values() if refusal(source, resolve_data_root()) is None]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with small_copies(tmp_path_factory.mktemp("copies")) as root:
        TestSmallCopies.data_root = root
        yield


@pytest.mark.usefixtures("copies")
class TestSmallCopies(DatasetConformance):
    """Those that are read from files, in their official layouts; `small_copies` cites these."""

    sources = [source for source in SOURCES.ours.values() if refusal(source, None) is not None]
    whole = False


@pytest.mark.usefixtures("copies")
def test_each_dataset_in_files_has_a_small_copy() -> None:
    assert [source.name for source in TestSmallCopies.sources if refusal(source, TestSmallCopies.data_root) is not None] == []
