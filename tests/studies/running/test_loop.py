"""Ray Tune's loop without its record, on the real Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray import tune

from studies.plan import screen_trials
from studies.running.callback import StopRequest, Tolerance
from studies.running.driver import ray_session
from studies.running.loop import StageLoop
from studies.running.scheduler import InTurn
from studies.running.searcher import SourceSearcher
from studies.running.sources import ListedTrials
from studies.running.trial_run import TrialSetting
from studies.spending import Account
from tests.studies import builders
from tests.studies.conftest import NewLedger

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Counting(tune.Callback):
    """Counts the trials that end, and remembers the most that were held at a time, and the processes that ran them."""

    def __init__(self) -> None:
        self.ended = self.most = 0
        self.processes: set[int] = set()

    def on_trial_complete(self, trials: list[Any], trial: Any, **event: Any) -> None:
        self.ended += 1
        self.processes.add(trial.last_result["pid"])

    def on_step_end(self, trials: list[Any], **event: Any) -> None:
        self.most = max(self.most, len(trials))


def test_a_stage_holds_the_trials_that_run_and_wait_and_uses_its_processes_again(tmp_path: Path, new_ledger: NewLedger) -> None:
    spec = builders.study(screen={"searcher": "grid", "seeds": 2})
    trials = screen_trials(spec)
    setting = TrialSetting(0, str(tmp_path), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=True, keep_final=False)
    seen, stop = Counting(), StopRequest(Tolerance(spec.tolerance, len(trials)), Account(new_ledger(spec), spec))
    with ray_session("local"):
        searcher = SourceSearcher(ListedTrials(trials), setting, spec.failures.policies(spec.tolerance), at_once=lambda: 2)
        StageLoop("screen", tmp_path / "ray", {"cpu": 0.5}, searcher, InTurn(room_for_all=True), seen, stop, waiting=2).run()
    assert seen.ended == len(trials) > 20
    assert seen.most <= 3
    assert len(seen.processes) <= 2
