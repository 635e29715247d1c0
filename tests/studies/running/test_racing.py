"""A race: which cells get more seeds, that it follows from results alone, and that it goes on where it stopped."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Outcome
from studies.plain_yaml import StudyFileError
from studies.plan import PlannedTrial, screen_trials
from studies.running.racing import RacingTrials
from studies.spec import StudySpec
from studies.stage_sizes import stage_sizes
from tests.studies.builders import TWO_DATASETS, accuracy, study


def racing(**screen: Any) -> StudySpec:
    """gds has 12 cells, cos_face 8 and ce 8, on two datasets."""
    section = {"searcher": "grid", "seeds": 5, "racing": {"first": 1, "keep": 0.5}, **screen}
    return study(screen=section, datasets=TWO_DATASETS)


def run_through(
    spec: StudySpec, *, workers: int = 1, shuffle: int = 0, ended: dict[str, float | None] | None = None, stop_after: int = 10**6
) -> dict[str, float | None]:
    """Run a race with so many workers, whose trials end in an order of their own; what has ended, by key."""
    done = dict(ended or {})
    source = RacingTrials(spec, {key: Outcome.of(value) for key, value in done.items()})
    running, order = list[PlannedTrial](), random.Random(shuffle)
    while len(done) < stop_after:
        while len(running) < workers and (trial := source.next()) is not None:
            running.append(trial)
        if not running:
            break
        trial = running.pop(order.randrange(len(running)))
        assert trial.key not in done
        done[trial.key] = accuracy(trial)
        source.tell(trial, Outcome.of(done[trial.key]))
    return done


def seeds_by_cell(done: dict[str, float | None]) -> dict[str, set[int]]:
    seeds = defaultdict(set)
    for key in done:
        cell, _, seed = key.rpartition("-")
        seeds[cell].add(int(seed))
    return dict(seeds)


def test_each_round_keeps_the_best_half_of_a_family_and_doubles_its_seeds() -> None:
    spec = racing()
    done = run_through(spec)
    counts = Counter(len(seeds) for seeds in seeds_by_cell(done).values())
    # 12 cells: 6 go on to 2 seeds, 3 to 4, 2 to 5. 8 cells: 4, 2, 1.
    of_gds, of_eight = {1: 6, 2: 3, 4: 1, 5: 2}, {1: 4, 2: 2, 4: 1, 5: 1}
    assert counts == {n: 2 * (of_gds[n] + 2 * of_eight[n]) for n in (1, 2, 4, 5)}
    assert RacingTrials(spec, {}).total == len(done) == stage_sizes(spec)[0].trials


def test_whoever_goes_on_was_no_worse_than_any_that_did_not_on_the_same_seeds() -> None:
    spec = racing()
    done = run_through(spec)
    race = {trial.key.rpartition("-")[0]: (trial.dataset, trial.cell.family) for trial in screen_trials(spec)}
    seeds = seeds_by_cell(done)
    assert all(mine == set(range(1000, 1000 + len(mine))) for mine in seeds.values())

    def mean(cell: str, n: int) -> float:
        return fmean(value for seed in range(1000, 1000 + n) if (value := done[f"{cell}-{seed}"]) is not None)

    compared = 0
    for n in (1, 2, 4):
        for dropped in (cell for cell, mine in seeds.items() if len(mine) == n):
            for kept in (cell for cell, mine in seeds.items() if len(mine) > n and race[cell] == race[dropped]):
                assert mean(kept, n) >= mean(dropped, n)
                compared += 1
    assert compared > 100


@settings(deadline=None, max_examples=10)
@given(workers=st.integers(1, 9), shuffle=st.integers(0, 10**6))
def test_the_same_trials_are_run_whatever_the_workers_and_the_order_of_results(workers: int, shuffle: int) -> None:
    assert run_through(racing(), workers=workers, shuffle=shuffle) == run_through(racing())


@settings(deadline=None, max_examples=10)
@given(stop_after=st.integers(0, 120), shuffle=st.integers(0, 10**6))
def test_a_race_that_was_interrupted_goes_on_to_the_same_end(stop_after: int, shuffle: int) -> None:
    part = run_through(racing(), workers=3, shuffle=shuffle, stop_after=stop_after)
    assert run_through(racing(), workers=2, ended=part) == run_through(racing())


def test_a_cell_that_lost_a_seed_is_behind_all_that_did_not() -> None:
    spec = study(screen={"searcher": "grid", "seeds": 2, "racing": {}})
    source, second = RacingTrials(spec, {}), []
    lost: str | None = None
    while (trial := source.next()) is not None:
        if trial.replicate == 1001:
            second.append(trial)
        best = trial.cell.family == "gds" and lost is None
        lost = trial.cell.cell_id if best else lost
        source.tell(trial, Outcome.of(None if best else accuracy(trial)))
    assert source.exhausted and second
    assert lost not in {trial.cell.cell_id for trial in second}


@pytest.mark.parametrize(
    ("screen", "sentence"),
    [
        ({"asha": {}}, "screen: racing compares whole trials of cells that are known beforehand, and does not go with asha"),
        (
            {"searcher": "tpe", "trials": 4},
            "screen: racing compares whole trials of cells that are known beforehand, and does not go with searcher tpe",
        ),
        ({"seeds": 1}, "screen: racing needs more seeds than its first round has (1), got seeds 1"),
    ],
)
def test_what_a_race_does_not_go_with_is_refused(screen: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        racing(**screen)
    assert str(caught.value) == sentence
