"""Every dataset of ours is what every dataset must be."""

from __future__ import annotations

import pytest

from margin_core.data import SOURCES
from margin_core.testing import DatasetConformance


class TestDatasetsThatComeWithLibraries(DatasetConformance):
    sources = [source for source in SOURCES.ours.values() if source.name != "mnist"]


@pytest.mark.data
class TestMnist(DatasetConformance):
    sources = [SOURCES.ours["mnist"]]
