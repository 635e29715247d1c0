"""A trial whose process died is handed out again, as often as is tolerated, and the search does not end before it has."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.tune.search import Searcher

from studies.plan import PlannedTrial, screen_trials
from studies.running.searcher import SourceSearcher
from studies.running.sources import ListedTrials
from studies.running.trial_run import TrialSetting, planned_trial
from tests.studies import builders

pytestmark = pytest.mark.ray


class Told(ListedTrials):
    """A list that remembers what it was told."""

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        self.told = [*getattr(self, "told", []), (trial.key, value)]


@pytest.fixture
def setting(tmp_path: Path) -> TrialSetting:
    return TrialSetting(0, str(tmp_path), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=True, keep_final=True)


def test_a_trial_is_handed_out_again_until_its_process_has_died_too_often(setting: TrialSetting) -> None:
    first, second = screen_trials(builders.study())[:2]
    source = Told([first, second])
    searcher = SourceSearcher(source, setting, retries=1)
    handed = [searcher.suggest(name) for name in ("a", "b")]
    assert [planned_trial(config).key for config in handed if config] == [first.key, second.key]

    assert searcher.suggest("early") is None  # not the end: either may have to be started again
    searcher.on_trial_complete("a", error=True)
    assert searcher.suggest("c") == handed[0]
    searcher.on_trial_complete("b", {"status": "finished", "val_accuracy": 90.0})
    assert searcher.suggest("early") is None
    assert source.told == [(second.key, 90.0)]

    searcher.on_trial_complete("c", error=True)
    assert searcher.deaths(first) == 2
    assert source.told == [(second.key, 90.0), (first.key, None)]
    assert searcher.suggest("end") == Searcher.FINISHED


def test_no_trial_is_handed_out_before_there_is_room_for_it(setting: TrialSetting) -> None:
    room = [2]
    searcher = SourceSearcher(ListedTrials(screen_trials(builders.study())[:4]), setting, retries=1, at_once=lambda: room[0])
    assert [searcher.suggest(name) is not None for name in ("a", "b", "c")] == [True, True, False]
    searcher.on_trial_complete("a", {"status": "finished", "val_accuracy": 90.0})
    assert [searcher.suggest(name) is not None for name in ("c", "d")] == [True, False]
    room[0] = 3
    assert searcher.suggest("d") is not None


def test_the_death_of_a_process_is_counted_once_however_often_it_is_reported(setting: TrialSetting) -> None:
    [first] = screen_trials(builders.study())[:1]
    searcher = SourceSearcher(ListedTrials([first]), setting, retries=1)
    searcher.suggest("a")
    for _ in range(3):
        searcher.on_trial_complete("a", error=True)
    assert searcher.deaths(first) == 1
    assert searcher.suggest("b") is not None
