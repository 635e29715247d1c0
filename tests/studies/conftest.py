"""Ledgers of small studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from tests.studies import builders

NewLedger = Callable[[StudySpec], Ledger]


@pytest.fixture
def new_ledger(tmp_path: Path) -> Iterator[NewLedger]:
    """Opens an empty ledger of a study, closed when the test is over."""
    with ExitStack() as stack:

        def opened(spec: StudySpec) -> Ledger:
            place = tmp_path / f"{len(list(tmp_path.iterdir()))}-{spec.name}"
            place.mkdir()
            return stack.enter_context(builders.new_ledger(place / "ledger.sqlite", spec))

        yield opened
