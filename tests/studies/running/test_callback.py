from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from studies.running.callback import Guarded, StopRequest, Tolerance
from studies.spending import Account
from tests.studies import builders
from tests.studies.conftest import NewLedger

pytestmark = pytest.mark.ray


class Told(tune.Callback):
    """Remembers what it was told, and raises when it is told of the trial ``hated``."""

    def __init__(self, hated: str = "") -> None:
        self.trials: list[str] = []
        self._hated = hated

    def on_trial_start(self, trial: Any, **event: Any) -> None:
        if trial == self._hated:
            raise OSError("no space left")
        self.trials.append(trial)


def test_an_event_that_cannot_be_dealt_with_ends_the_stage_and_none_after_it_is_handed_on(
    new_ledger: NewLedger,
) -> None:
    spec = builders.study()
    stop = StopRequest(Tolerance(spec.tolerance, total=10), Account(new_ledger(spec), spec))
    first, second = Told(hated="b"), Told()
    guarded = Guarded([first, second], stop)
    for trial in "abc":
        guarded.on_trial_start(iteration=0, trials=[], trial=trial)
    assert (first.trials, second.trials) == (["a"], ["a"])
    assert str(stop.error) == "no space left"
    assert stop.stop_all()
