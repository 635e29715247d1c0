"""Population based training as a source of trials: who goes on, who is copied, and that nothing but results decides it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_core.knobs import Schedule
from search_spaces import Outcome, decode
from search_spaces.paths import last_value
from studies.described import describe
from studies.estimate import estimate
from studies.extension import hindrances
from studies.plain_yaml import StudyFileError
from studies.plan import PlannedTrial, confirm_arms, first_members
from studies.running.driver import trial_source
from studies.running.population import PopulationTrials, Settlement, end_former_members
from studies.running.trial_copies import TrialCopies
from studies.running.trial_run import pause_file
from studies.spec import StudySpec
from studies.stage_sizes import stage_sizes
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED
from tests.studies.builders import TWO_DATASETS, epoch, new_ledger, noise, study

ALONE = "screen: pbt says by itself which trials end early and which go on, and does not go with"
Score = Callable[[PlannedTrial, int], float | None]
Values = dict[tuple[str, int], float | None]


def population(**changes: Any) -> StudySpec:
    """Eight members of gds and of ce on two datasets, with two seeds each, in four generations."""
    pbt = {"population": 8, "interval": 2, **changes.pop("pbt", {})}
    return study(
        **{
            "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": {"low": 0.0, "high": 3.0}, "tau": 1}},
            "regularizers": {},
            "nuisance": {"lr": {"low": 0.01, "high": 1.0, "scale": "log"}},
            "recipe": {"epochs": 8},
            "datasets": TWO_DATASETS,
            "screen": {"seeds": 2, "pbt": pbt},
            "confirm": {"families": 1, "seeds": 2, "values": {"gds": [0, 1]}},
            **changes,
        }
    )


def score(trial: PlannedTrial, after: int) -> float | None:
    """Best near lambda 2 in the end; one trial in fifteen is lost, whichever it is."""
    return None if noise(trial.key, after, "lost", scale=1.0) > 1.5 else unscathed(trial, after)


def unscathed(trial: PlannedTrial, after: int) -> float:
    """The same where none is lost."""
    lam = float(last_value(trial.config, "gds.lam")) if trial.cell.family == "gds" else 0.0
    return 80.0 + after - abs(lam - 2.0) + noise(trial.key, after, scale=0.1)


def run_through(
    spec: StudySpec, *, workers: int = 1, shuffle: int = 0, known: Values | None = None, stop_after: int = 10**6
) -> tuple[Values, PopulationTrials]:
    """Run a screen with so many workers, whose segments end in an order of their own; what came of them."""
    done: Values = dict(known or {})
    source = PopulationTrials(spec, {key: Outcome.of(value) for key, value in done.items()})
    running, order = list[PlannedTrial](), random.Random(shuffle)
    while len(done) < stop_after:
        while len(running) < workers and (trial := source.next()) is not None:
            running.append(trial)
        if not running:
            break
        trial = running.pop(order.randrange(len(running)))
        assert trial.segment is not None and (trial.key, trial.segment.end) not in done
        done[trial.key, trial.segment.end] = score(trial, trial.segment.end)
        source.tell(trial, Outcome.of(done[trial.key, trial.segment.end], stopped_after=trial.segment.end))
    return done, source


@settings(deadline=None, max_examples=8)
@given(workers=st.integers(1, 40), shuffle=st.integers(0, 10**6))
def test_the_same_segments_are_run_whatever_the_workers_and_the_order_of_results(workers: int, shuffle: int) -> None:
    assert run_through(population(), workers=workers, shuffle=shuffle)[0] == run_through(population())[0]


@settings(deadline=None, max_examples=8)
@given(stop_after=st.integers(0, 250), shuffle=st.integers(0, 10**6))
def test_a_screen_that_was_interrupted_goes_on_to_the_same_end(stop_after: int, shuffle: int) -> None:
    part, _ = run_through(population(), workers=5, shuffle=shuffle, stop_after=stop_after)
    assert run_through(population(), workers=2, known=part)[0] == run_through(population())[0]


def test_members_go_through_generations_and_the_best_are_copied_with_other_values() -> None:
    spec = population(screen={"seeds": 1, "pbt": {"population": 8, "interval": 2}}, datasets=["digits"])
    source, generations = PopulationTrials(spec, {}), defaultdict[int, list[PlannedTrial]](list)
    values: dict[tuple[str, int], float] = {}
    while (trial := source.next()) is not None:
        assert trial.segment is not None and trial.segment.end - trial.segment.start == 2
        if trial.cell.family == "gds":
            generations[trial.segment.end].append(trial)
        values[trial.key, trial.segment.end] = 80.0 - abs(float(last_value(trial.config, "gds.lam")) - 2.0) if "gds" in trial.key else 0.0
        source.tell(trial, Outcome.of(values[trial.key, trial.segment.end]))
    assert source.exhausted and [len(generations[end]) for end in (2, 4, 6, 8)] == [8] * 4
    for start in (2, 4, 6):
        before = sorted(generations[start], key=lambda trial: values[trial.key, start])
        after = {trial.cell.cell_id: trial for trial in generations[start + 2]}
        copies = [trial for trial in after.values() if trial.segment and trial.segment.origin != trial.cell.cell_id]
        assert {trial.cell.cell_id for trial in before[2:]} == {*after} - {copy.cell.cell_id for copy in copies}
        assert len(copies) == 2 and {copy.segment.origin for copy in copies if copy.segment} <= {
            trial.cell.cell_id for trial in before[-2:]
        }
        for copy in copies:
            assert copy.segment is not None
            parent = next(trial for trial in before if trial.cell.cell_id == copy.segment.origin)
            for mine, theirs in zip(_paths(copy), _paths(parent), strict=True):
                assert all(mine.value(k / 80) == theirs.value(k / 80) for k in range(10 * start))
                assert {place for place, _ in mine.then if (place, mine.value(place)) not in theirs.then} <= {start / 8}
    best = [max(values[trial.key, end] for trial in generations[end]) for end in (2, 4, 6, 8)]
    assert best == sorted(best)


def _paths(trial: PlannedTrial) -> list[Schedule]:
    parts = decode(trial.config)
    found = (parts.knobs["lam"], parts.nuisance["lr"])
    return [setting if isinstance(setting, Schedule) else Schedule("constant", float(setting)) for setting in found]


def test_preview_counts_the_trials_and_only_the_epochs_that_are_trained() -> None:
    spec = population()
    [screen, *_] = stage_sizes(spec)
    done, source = run_through(population(recipe={"epochs": 8}), workers=3)
    members = 2 * 2 * 8  # datasets, families, population
    assert (screen.cells, screen.trials, screen.trainings) == (members + 4 * 3 * 2, 2 * (members + 4 * 3 * 2), 2 * members)
    assert estimate(spec)[0].epochs == 2 * members * 8
    assert PopulationTrials(spec, {}).total == screen.trials
    lost = sum(value is None for value in done.values())
    assert lost > 0 and screen.trials <= source.total <= screen.trials + 2 * lost
    assert sum(2 for _ in done) <= estimate(spec)[0].epochs


def test_a_family_of_fewer_cells_has_a_smaller_population_and_where_nothing_new_is_found_a_member_goes_on() -> None:
    spec = population(families={"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1], "tau": 1}}, nuisance={"lr": 0.1}, datasets=["digits"])
    assert {family: len(configs) for family, configs in first_members(spec).items()} == {"ce": 1, "gds": 2}
    source, seen = PopulationTrials(spec, {}), Counter[str]()
    while (trial := source.next()) is not None:
        seen[trial.cell.family] += 1
        source.tell(trial, Outcome.of(1.0))
    assert source.exhausted and seen["ce"] == 2 * 4


def test_a_population_that_is_lost_altogether_ends() -> None:
    source = PopulationTrials(population(), {})
    count = 0
    while (trial := source.next()) is not None:
        count += 1
        source.tell(trial, Outcome(None))
    assert source.exhausted and count == 2 * 2 * 2 * 8


def test_a_result_from_within_a_segment_is_none() -> None:
    source = PopulationTrials(population(), {})
    trial = source.next()
    assert trial is not None
    source.tell(trial, Outcome.of(99.0, stopped_after=1))
    again = PopulationTrials(population(), {})
    assert again.next() == trial and not source.exhausted


class Told:
    """Notes what it is told has ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def stage_started(self, stage: str, total: int, ended: int) -> None: ...

    def trial_started(self, trial: PlannedTrial) -> None: ...

    def trial_reported(self, trial: PlannedTrial, epoch: int, metrics: dict[str, float]) -> None: ...

    def trial_ended(self, trial: PlannedTrial, status: str, reason: str, metrics: dict[str, float]) -> None:
        self.ended.append((trial.key, reason))


def write_segment(ledger: Ledger, trial: PlannedTrial, folder: Path, score: Score) -> Outcome:
    """What the driver and a worker leave of a segment, with made-up metrics."""
    assert trial.segment is not None
    end, value = trial.segment.end, score(trial, trial.segment.end)
    ledger.start(trial)
    ledger.report(trial.key, [epoch(number, {"val_accuracy": value or 1.0}) for number in range(1, end + 1 if value else end)])
    ledger.end(trial.key, "failed" if value is None else "finished" if end == 8 else "paused")
    if value is not None and end < 8:
        (folder / pause_file("screen", trial.cell.cell_id, trial.replicate, end)).touch()
    return Outcome.of(value, stopped_after=None if end == 8 else end)


def play(spec: StudySpec, folder: Path, most: int, *, score: Score = score, retry: bool = False) -> tuple[list[str], Told]:
    """Go on with a screen by its ledger for so many segments; the keys, and what was told to have ended."""
    folder.mkdir(exist_ok=True)
    told, keys = Told(), list[str]()
    with new_ledger(folder / "ledger.sqlite", spec) as ledger:
        if retry:
            ledger.retry_failed()
        source = trial_source(spec, "screen", ledger, Settlement(ledger, folder, TrialCopies(None, "small"), told))
        while len(keys) < most and (trial := source.next()) is not None:
            keys.append(trial.key)
            source.tell(trial, write_segment(ledger, trial, folder, score))
    return keys, told


@pytest.mark.parametrize("cuts", [[10**6], [70, 70, 70, 10**6]])
def test_the_ledger_holds_all_that_a_screen_goes_on_by_and_who_was_replaced_has_ended(cuts: list[int], tmp_path: Path) -> None:
    spec = population()
    [expected, told] = play(spec, tmp_path / "whole", 10**6)
    parts = [play(spec, tmp_path / "cut", most) for most in cuts]
    assert [key for keys, _ in parts for key in keys] == expected
    assert sorted({*(end for _, some in parts for end in some.ended)}) == sorted(told.ended)
    with Ledger(tmp_path / "cut" / "ledger.sqlite", read_only=True) as ledger:
        statuses = Counter(trial.status for trial in ledger.trials())
        results = ledger.screen_results("val_accuracy")
        assert {*statuses} == {"finished", "stopped", "failed"} and {*statuses} <= {*ENDED}
        assert {trial.reason for trial in ledger.trials() if trial.status == "stopped"} == {
            f"by the population after epoch {end}" for end in (2, 4, 6)
        }
        assert trial_source(spec, "screen", ledger).exhausted
    assert statuses["stopped"] == len(told.ended)
    assert list((tmp_path / "cut").glob("*.pt")) == []
    arms = [arm for arm in confirm_arms(spec, results) if arm.family == "gds" and arm.dataset == "digits"]
    [nominee] = [arm for arm in arms if arm.nominee]
    best = max((r for r in results if r.seeds == 2 and r.dataset == "digits" and r.family == "gds"), key=lambda result: result.value or 0.0)
    assert nominee.config == best.config


def test_checkpoints_stay_until_the_next_generation_is_over(tmp_path: Path) -> None:
    folder, generation = tmp_path / "all", 2 * 2 * 8  # segments
    spec = population(datasets=["digits"])
    for segments, ends in ((generation, {"2.pt"}), (generation - 1, {"2.pt", "4.pt"}), (2, {"4.pt", "6.pt"})):
        play(spec, folder, segments)
        assert {path.name.rpartition(".after-")[2] for path in folder.glob("*.pt")} >= ends
    assert len(list(folder.glob("*.after-2.pt"))) <= generation // 2  # of the family that is a segment behind


def test_a_trial_whose_last_epoch_was_reported_and_its_end_not_is_run_once_more_and_finishes(tmp_path: Path) -> None:
    spec, folder = population(datasets=["digits"]), tmp_path / "cut"
    play(spec, folder, 10**6, score=unscathed)
    with Ledger(folder / "ledger.sqlite") as ledger:
        cut = next(trial.key for trial in ledger.trials() if trial.status == "finished")
        ledger._connection.execute("UPDATE trials SET status = 'running' WHERE key = ?", (cut,))  # so a killed driver leaves it
        ledger.interrupt_running()
        assert not trial_source(spec, "screen", ledger).exhausted
    assert play(spec, folder, 10**6, score=unscathed)[0] == [cut]
    with Ledger(folder / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.trial(cut).status == "finished"
        assert trial_source(spec, "screen", ledger).exhausted


def test_when_failed_trials_are_retried_the_generations_are_as_if_they_had_not_failed(tmp_path: Path) -> None:
    spec = population(datasets=["digits"])
    play(spec, tmp_path / "some", 100)
    play(spec, tmp_path / "some", 10**6, score=unscathed, retry=True)
    play(spec, tmp_path / "none", 10**6, score=unscathed)
    with Ledger(tmp_path / "some" / "ledger.sqlite") as some, Ledger(tmp_path / "none" / "ledger.sqlite") as none:
        assert {trial.status for trial in some.trials()} > {"paused", "finished"}
        end_former_members(some)
        expected, found = ({trial.key: trial.status for trial in ledger.trials()} for ledger in (none, some))
    assert {key: found[key] for key in expected} == expected
    assert {*found.values()} == {"finished", "stopped"}


def test_a_path_is_told_in_words() -> None:
    config = {"family": "gds", "gds.tau": 1.0, "gds.lam.kind": "path", "gds.lam.start": 0.5, "gds.lam.then": "0.25: 0.75, 0.5: 0.6"}
    assert describe(config) == "λ = 0.5, 0.75 from 25%, 0.6 from 50%"
    many = ", ".join(f"0.{place}: {place}.0" for place in range(1, 7))
    assert describe({**config, "gds.lam.then": many}) == "λ = 0.5 → 6 (6 jumps, 0.5 to 6)"
    assert describe({**config, "lr.kind": "path", "lr.start": 0.1, "lr.then": "0.5: 0.2"}).endswith(", lr 0.1, 0.2 from 50%")


def test_the_ce_arm_keeps_its_learning_rates_path() -> None:
    from studies.plan import ScreenResult

    lr = {"lr.kind": "path", "lr.start": 0.1, "lr.then": "0.5: 0.2"}
    ce = {"family": "ce", "ce.label_smoothing.kind": "path", "ce.label_smoothing.start": 0.1, "ce.label_smoothing.then": "0.5: 0.2", **lr}
    gds = {"family": "gds", "gds.lam": 1.0, "gds.tau": 1.0, "gds.hardest": "attached", **lr}
    spec = population(datasets=["digits"])
    for results in ([ScreenResult("digits", ce, 90.0), ScreenResult("digits", gds, 91.0)], [ScreenResult("digits", gds, 91.0)]):
        [arm] = [arm for arm in confirm_arms(spec, results) if arm.family == "ce"]
        assert {name: value for name, value in arm.config.items() if name != "family"} == lr
        assert arm.cell.recipe.lr == Schedule("path", 0.1, then=((0.5, 0.2),))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"screen": {"searcher": "tpe", "pbt": {}}}, "screen: pbt draws its first members by searcher sobol or random, got tpe"),
        ({"screen": {"trials": 9, "pbt": {}}}, "screen: trials must be left out with pbt, whose population says how many there are, got 9"),
        ({"screen": {"asha": {}, "pbt": {}}}, f"{ALONE} asha"),
        ({"screen": {"seeds": 2, "racing": {}, "pbt": {}}}, f"{ALONE} racing"),
        ({"recipe": {"epochs": 7}}, "screen.pbt.interval must be less than recipe.epochs (7) and divide it, got 2"),
        ({"recipe": {"epochs": 2}}, "screen.pbt.interval must be less than recipe.epochs (2) and divide it, got 2"),
        (
            {"families": {"ce": {"label_smoothing": 0}, "gds": {"lam": 1, "tau": 1}}, "nuisance": {"weight_decay": [0, 1e-4]}},
            "screen.pbt needs a knob, a weight or nuisance.lr with several values, for there is nothing that it could change",
        ),
        (
            {"budget": {"trials": 50}},
            "budget.trials does not go with screen.pbt, none of whose members may be missing, got 50; budget.hours and "
            "budget.device_hours do",
        ),
    ],
)  # fmt: skip
def test_what_a_population_does_not_go_with_is_refused(changes: dict[str, Any], sentence: str) -> None:
    if "screen" in changes:
        changes = {"screen": {**changes["screen"], "pbt": {"population": 8, "interval": 2}}}
    with pytest.raises(StudyFileError) as caught:
        population(**changes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "changes", [{"screen": {"seeds": 3, "pbt": {"population": 8, "interval": 2}}}, {"pbt": {"population": 9}}, {"pbt": {"exploit": 0.5}}]
)
def test_a_study_goes_on_with_another_dataset_and_not_with_another_population(changes: dict[str, Any]) -> None:
    assert hindrances(population(), population(**changes))
    assert not hindrances(population(datasets=["digits"]), population())
