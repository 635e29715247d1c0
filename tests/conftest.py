"""What all tests share: one thread, no telemetry, the data root, and the marks that need something of the machine.

Where pytest runs tests side by side, those that start Ray take their turns in one process: each wants the whole machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Read when torch, Ray and MLflow are first imported, so set before any test module is. One thread: equal seeds give equal
# numbers for a given thread count only.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# Not the user's: what tests decode is thrown away with them.
_CACHE = tempfile.TemporaryDirectory(prefix="margin-cache-")
os.environ["MARGIN_CACHE"] = _CACHE.name

# No deadline: a test asserts no timing. On CI the examples are the same in every run.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS = {
    "data": (bool(os.environ.get("MARGIN_DATA")), "needs the data root: set MARGIN_DATA to a folder with the datasets"),
    "browser": (CHROMIUM is not None, "needs Chromium: none on the PATH"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark, (met, reason) in NEEDS.items():
            if item.get_closest_marker(mark) and not met:
                item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)  # the longest of what runs side by side starts first


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the datasets, for tests marked ``data``."""
    return Path(os.environ["MARGIN_DATA"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium, for tests marked ``browser``."""
    assert CHROMIUM is not None
    return CHROMIUM
