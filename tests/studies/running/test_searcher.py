"""A trial whose process died is handed out again, as often as is tolerated, and the search does not end before it has.

How Ray tells that a node died is asked of the real Ray in `test_cluster`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from search_spaces import Outcome
from studies.failures import FailuresSection, Policy
from studies.plan import PlannedTrial, screen_trials
from studies.running.searcher import SourceSearcher
from studies.running.sources import ListedTrials
from studies.running.trial_run import TrialSetting, planned_trial
from studies.sections import ToleranceSection
from tests.studies import builders

pytestmark = pytest.mark.ray

# Ray's words.
GIST = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR."
DIED = f"""Failure # 1
The actor died unexpectedly before finishing this task.
\tip: 192.0.2.2
{GIST} Some common causes include: (1) the process was killed by the OOM killer"""
UNAVAILABLE = "The actor fc72 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed rpc_code: 14."


NODES_LOST = 20


def policies(retries: int) -> dict[Any, Policy]:
    """What is done by default about failures, where a process may die so many times."""
    return FailuresSection().policies(ToleranceSection(retries=retries))


class Told(ListedTrials):
    """A list that remembers what it was told."""

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        self.told = [*getattr(self, "told", []), (trial.key, outcome)]


@pytest.fixture
def setting(tmp_path: Path) -> TrialSetting:
    return TrialSetting(0, str(tmp_path), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=True, keep_final=True)


def test_a_trial_is_handed_out_again_until_its_process_has_died_too_often(setting: TrialSetting) -> None:
    first, second = screen_trials(builders.study())[:2]
    source = Told([first, second])
    searcher = SourceSearcher(source, setting, policies(1))
    handed = [searcher.suggest(name) for name in ("a", "b")]
    assert [planned_trial(config).key for config in handed if config] == [first.key, second.key]

    assert searcher.suggest("early") is None  # not the end: either may have to be started again
    searcher.on_trial_complete("a", error=True)
    assert searcher.died("a", DIED) == (False, f"its process died in attempt 1 of 2: {GIST}")
    assert searcher.suggest("c") == handed[0]
    searcher.on_trial_complete("b", {"status": "finished", "val_accuracy": 90.0})
    assert searcher.suggest("early") is None
    assert source.told == [(second.key, Outcome.of(90.0))]

    searcher.on_trial_complete("c", error=True)
    assert searcher.died("c", DIED) == (True, f"its process died in attempt 2 of 2: {GIST}")
    assert source.told == [(second.key, Outcome.of(90.0)), (first.key, Outcome(None))]
    assert searcher.suggest("end") == Searcher.FINISHED


def test_a_trial_that_the_scheduler_ended_is_told_with_the_epoch_that_it_had_come_to(setting: TrialSetting) -> None:
    planned = screen_trials(builders.study())[:3]
    source = Told(planned)
    searcher = SourceSearcher(source, setting, policies(1))
    results = [
        {"status": "running", "epoch": 4, "val_accuracy": 80.0},
        {"status": "finished", "epoch": 9, "val_accuracy": 90.0},
        {"status": "diverged", "cause": "diverged", "reason": "NaN", "epoch": 2, "val_accuracy": 10.0},
    ]
    for name, result in zip("abc", results, strict=True):
        searcher.suggest(name)
        searcher.on_trial_complete(name, result)
    assert [outcome for _, outcome in source.told] == [Outcome((80.0,), stopped_after=4), Outcome((90.0,)), Outcome(None)]


def test_metrics_that_are_traded_off_are_told_from_the_last_epoch(setting: TrialSetting) -> None:
    source = Told(screen_trials(builders.study())[:2])
    searcher = SourceSearcher(source, setting, policies(1), trade_off=["val_ece"])
    rows = [{"epoch": 1, "metrics": {"val_ece": 0.9}}, {"epoch": 2, "metrics": {"val_ece": 0.2}}]
    for name, reported in (("a", rows), ("b", [{"epoch": 1, "metrics": {}}])):
        searcher.suggest(name)
        searcher.on_trial_complete(name, {"status": "finished", "val_accuracy": 90.0, "rows": reported})
    assert [outcome for _, outcome in source.told] == [Outcome((90.0, 0.2)), Outcome(None)]


def test_no_trial_is_handed_out_before_there_is_room_for_it(setting: TrialSetting) -> None:
    room = [2]
    searcher = SourceSearcher(ListedTrials(screen_trials(builders.study())[:4]), setting, policies(1), at_once=lambda: room[0])
    assert [searcher.suggest(name) is not None for name in ("a", "b", "c")] == [True, True, False]
    searcher.on_trial_complete("a", {"status": "finished", "val_accuracy": 90.0})
    assert [searcher.suggest(name) is not None for name in ("c", "d")] == [True, False]
    room[0] = 3
    assert searcher.suggest("d") is not None


def test_the_death_of_a_process_is_counted_once_however_often_it_is_told(setting: TrialSetting) -> None:
    [first] = screen_trials(builders.study())[:1]
    searcher = SourceSearcher(ListedTrials([first]), setting, policies(1))
    searcher.suggest("a")
    assert {searcher.died("a", DIED) for _ in range(3)} == {(False, f"its process died in attempt 1 of 2: {GIST}")}
    assert searcher.suggest("b") is not None
    assert searcher.suggest("c") is None


def test_a_lost_node_is_no_death_of_its_trial_however_often_within_reason(setting: TrialSetting) -> None:
    [first] = screen_trials(builders.study())[:1]
    source = Told([first])
    searcher = SourceSearcher(source, setting, policies(0))
    for number in range(NODES_LOST):
        assert searcher.suggest(str(number)) is not None
        given_up, reason = searcher.died(str(number), UNAVAILABLE)
        assert not given_up
    assert reason == f"its node was lost in attempt 20 of 21: {UNAVAILABLE}"
    assert searcher.suggest("last") is not None
    assert searcher.died("last", UNAVAILABLE)[0]
    assert source.told == [(first.key, Outcome(None))]


def test_a_trial_that_failed_is_handed_out_again_as_its_cause_allows_and_told_to_the_source_at_last(setting: TrialSetting) -> None:
    first, second = screen_trials(builders.study())[:2]
    source = Told([first, second])
    searcher = SourceSearcher(source, setting, policies(0))
    data = {"status": "failed", "cause": "data", "reason": "OSError: gone", "node": "n1"}
    for name in ("a", "b"):
        searcher.suggest(name)
    searcher.on_trial_complete("a", data)
    assert searcher.failed("a", data) == (False, "its data or files failed in attempt 1 of 2: OSError: gone")
    searcher.on_trial_complete("b", {"status": "failed", "cause": "code", "reason": "ValueError: no"})
    assert source.told == [(second.key, Outcome(None))]
    again = searcher.suggest("c")
    assert again is not None and planned_trial(again).key == first.key
    searcher.on_trial_complete("c", data)
    assert searcher.failed("c", data)[0]
    assert source.told == [(second.key, Outcome(None)), (first.key, Outcome(None))]


def test_a_trial_that_is_to_run_elsewhere_names_the_nodes_that_shall_not_have_it_while_others_have_room(setting: TrialSetting) -> None:
    [first] = screen_trials(builders.study())[:1]
    room = [True]
    searcher = SourceSearcher(ListedTrials([first]), setting, policies(0), room_beside=lambda nodes: room[0])
    handed = searcher.suggest("a")
    assert handed is not None and "elsewhere" not in handed
    searcher.on_trial_complete("a", {"status": "failed", "cause": "memory", "reason": "MemoryError", "node": "n1"})
    handed = searcher.suggest("b")
    assert handed is not None and handed["elsewhere"] == '["n1"]'
    searcher.on_trial_complete("b", {"status": "declined"})
    room[0] = False  # the other node has gone
    handed = searcher.suggest("c")
    assert handed is not None and "elsewhere" not in handed


def test_what_the_study_knows_of_a_death_counts_more_than_rays_words(setting: TrialSetting) -> None:
    [first] = screen_trials(builders.study())[:1]
    searcher = SourceSearcher(ListedTrials([first]), setting, policies(0))
    searcher.suggest("a")
    searcher.blame("a", "hang", "nothing was heard of it")
    assert searcher.died("a", DIED) == (False, "it hung in attempt 1 of 2: nothing was heard of it")
