"""A screen that learns: each cell once, told honestly, and gone on with after an interruption as it would have."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from search_spaces import Config, Outcome
from studies.plan import PlannedTrial, build_cell, confirm_trials
from studies.running.learning import LearningTrials
from studies.spec import StudySpec
from tests.studies.builders import BETA_SCHEDULE, TWO_DATASETS, WITHOUT_SCREEN, study

RANGES: dict[str, Any] = {
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": {"low": 0, "high": 2}, "tau": 1}, "gradient_decay": {"beta": BETA_SCHEDULE}},
    "regularizers": {},
    "nuisance": {"lr": {"low": 0.01, "high": 1, "scale": "log"}},
    "confirm": None,
}


def tpe(trials: int = 15, seeds: int = 1, **changes: Any) -> StudySpec:
    return study(**{**RANGES, "screen": {"searcher": "tpe", "trials": trials, "seeds": seeds}, **changes})


def quality(trial: PlannedTrial) -> float:
    """Best for gds at lambda 1 and a learning rate of 0.1."""
    config = trial.config
    lam = config.get("gds.lam")
    return (float(lam) * (2.0 - float(lam)) if isinstance(lam, float) else -1.0) - abs(float(config["lr"]) - 0.1)


def drain(source: LearningTrials, at_once: int = 1) -> list[PlannedTrial]:
    """Run a source to its end with ``at_once`` trials under way, which end in the order in which they started."""
    handed: list[PlannedTrial] = []
    running: list[PlannedTrial] = []
    while not source.exhausted or running:
        while len(running) < at_once and (trial := source.next()) is not None:
            handed.append(trial)
            running.append(trial)
        if running:
            trial = running.pop(0)
            source.tell(trial, Outcome.of(quality(trial)))
    assert source.next() is None
    return handed


def told(trials: Iterable[PlannedTrial]) -> dict[str, Outcome]:
    """What a ledger says of trials that ended."""
    return {trial.key: Outcome.of(quality(trial)) for trial in trials}


def history_of(trials: Iterable[PlannedTrial]) -> dict[str, list[Config]]:
    """What a ledger says of trials that started: each dataset's configurations in their order."""
    history: dict[str, dict[str, Config]] = {}
    for trial in trials:
        history.setdefault(trial.dataset, {}).setdefault(trial.cell.cell_id, trial.config)
    return {dataset: list(configs.values()) for dataset, configs in history.items()}


@pytest.mark.parametrize("at_once", [1, 4])
def test_tpe_hands_out_every_trial_of_every_cell_once(at_once: int) -> None:
    spec = tpe(trials=15, seeds=2)
    source = LearningTrials(spec, {}, {})
    handed = drain(source, at_once)
    assert source.total == len(handed) == 30
    assert Counter(trial.key for trial in handed).most_common(1)[0][1] == 1
    assert Counter(Counter(trial.cell.cell_id for trial in handed).values()) == {2: 15}
    assert {trial.replicate for trial in handed} == {1000, 1001}


def test_a_suggestion_has_the_knobs_of_its_family_alone() -> None:
    spec = tpe(trials=30)
    for trial in drain(LearningTrials(spec, {}, {}), at_once=2):
        spec.space().check(trial.config)
        trial.cell.check()
        assert {name.partition(".")[0] for name in trial.config} <= {trial.cell.family, "family", "lr"}


def test_equal_answers_in_equal_order_give_equal_suggestions() -> None:
    spec = tpe()
    assert drain(LearningTrials(spec, {}, {}), 2) == drain(LearningTrials(spec, {}, {}), 2)
    assert drain(LearningTrials(spec, {}, {})) != drain(LearningTrials(tpe(seed=1), {}, {}))


@pytest.mark.parametrize("done", [0, 1, 7, 19, 20])
def test_a_resumed_search_goes_on_to_exactly_its_total(done: int) -> None:
    spec = tpe(trials=10, seeds=2)
    first = drain(LearningTrials(spec, {}, {}))[:done]
    ended = told(first)
    source = LearningTrials(spec, history_of(first), ended)
    assert source.total == 20
    assert source.exhausted == (done == 20)
    rest = drain(source)
    assert len(rest) == 20 - done
    assert not {trial.key for trial in rest} & set(ended)
    assert len({trial.cell.cell_id for trial in [*first, *rest]}) == 10


def test_a_search_resumed_with_whole_cells_goes_on_as_it_would_have() -> None:
    spec = tpe(trials=14)
    straight = drain(LearningTrials(spec, {}, {}))
    for done in (3, 11, 13):
        first = straight[:done]
        resumed = LearningTrials(spec, history_of(first), told(first))
        assert drain(resumed) == straight[done:]


def test_what_was_interrupted_is_handed_out_before_anything_new() -> None:
    spec = tpe(trials=10, seeds=2)
    source = LearningTrials(spec, {}, {})
    started = [trial for _ in range(5) if (trial := source.next()) is not None]
    source = LearningTrials(spec, history_of(started), {started[0].key: Outcome.of(1.0), started[2].key: Outcome(None)})
    again = [source.next() for _ in range(4)]
    assert [trial.key for trial in again if trial] == [started[1].key, started[3].key, started[4].key, started[4].key[:-1] + "1"]


FINITE: dict[str, Any] = {"families": {"ce": {"label_smoothing": [0, 0.1]}, "gds": {"lam": [0, 1]}}, "nuisance": {"lr": [0.1, 0.2]}}


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_small_space_is_measured_whole_and_no_cell_twice(at_once: int) -> None:
    spec = tpe(trials=20, seeds=2, **FINITE)
    source = LearningTrials(spec, {}, {})
    handed = drain(source, at_once)
    assert Counter(Counter(trial.cell.cell_id for trial in handed).values()) == {2: 8}
    assert source.total == 16
    resumed = LearningTrials(spec, history_of(handed), told(handed))
    assert resumed.exhausted
    assert resumed.total == 16


def test_a_best_cell_that_stands_alone_does_not_hold_the_search_up() -> None:
    # There is one ce cell, and it is by far the best: TPE asks for it again and again.
    spec = tpe(trials=25, families={"ce": {"label_smoothing": 0}, "gds": {"lam": {"low": 0, "high": 2}, "tau": 1}}, nuisance={"lr": 0.1})
    source = LearningTrials(spec, {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, Outcome.of(99.0 if trial.cell.family == "ce" else 1.0))
    assert Counter(trial.cell.cell_id for trial in handed).most_common(1)[0][1] == 1
    assert len(handed) == source.total == 25


def test_a_range_that_holds_few_numbers_ends_the_search_early() -> None:
    spec = tpe(trials=9, families={"ce": {"label_smoothing": 0}}, nuisance={"lr": {"low": 1, "high": 2, "integer": True}})
    source = LearningTrials(spec, {}, {})
    assert len(drain(source)) == source.total == 2
    assert source.exhausted


def test_a_lost_trial_teaches_nothing_and_a_lost_cell_is_not_asked_for_again() -> None:
    spec = tpe(trials=25)
    source = LearningTrials(spec, {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, Outcome.of(None if trial.cell.family == "gds" else quality(trial)))
    assert len({trial.cell.cell_id for trial in handed}) == len(handed) == 25
    ended = {trial.key: Outcome.of(None if trial.cell.family == "gds" else quality(trial)) for trial in handed}
    assert LearningTrials(spec, history_of(handed), ended).exhausted


def test_every_trial_lost_still_ends_the_search() -> None:
    source = LearningTrials(tpe(trials=12), {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, Outcome.of(None))
    assert len(handed) == 12


def test_a_cell_counts_by_the_mean_of_the_seeds_that_ended_well() -> None:
    def after(values: Mapping[int, float | None]) -> list[Config]:
        spec = tpe(trials=14, seeds=2)
        source = LearningTrials(spec, {}, {})
        configs = []
        while (trial := source.next()) is not None:
            configs.append(trial.config)
            source.tell(trial, Outcome.of(quality(trial) if len(configs) <= 24 else values[trial.replicate]))
        return configs

    # The thirteenth cell's mean is 3 in all three, so the fourteenth is the same.
    assert after({1000: 2.0, 1001: 4.0}) == after({1000: 3.0, 1001: 3.0}) == after({1000: None, 1001: 3.0})


def test_results_that_come_twice_or_of_a_stranger_change_nothing() -> None:
    spec = tpe(trials=12)
    plain, noisy = LearningTrials(spec, {}, {}), LearningTrials(spec, {}, {})
    stranger = confirm_trials(study(**WITHOUT_SCREEN))[0]
    while (trial := plain.next()) is not None:
        assert noisy.next() == trial
        plain.tell(trial, Outcome.of(quality(trial)))
        noisy.tell(trial, Outcome.of(quality(trial)))
        noisy.tell(trial, Outcome.of(-100.0))
        noisy.tell(stranger, Outcome.of(100.0))


def test_several_datasets_are_kept_level() -> None:
    spec = tpe(trials=8, seeds=2, datasets=TWO_DATASETS)
    source = LearningTrials(spec, {}, {})
    counts: Counter[str] = Counter()
    for trial in drain(source, at_once=3):
        counts[trial.dataset] += 1
        assert abs(counts["digits"] - counts["noisy"]) <= 1
    assert counts == {"digits": 16, "noisy": 16}
    assert source.total == 32


def test_a_resumed_search_first_brings_the_dataset_up_that_is_behind() -> None:
    spec = tpe(trials=8, datasets=TWO_DATASETS)
    all_of_them = drain(LearningTrials(spec, {}, {}))
    first = [trial for trial in all_of_them if trial.dataset == "digits"][:5] + [
        trial for trial in all_of_them if trial.dataset == "noisy"
    ][:2]
    source = LearningTrials(spec, history_of(first), told(first))
    rest = drain(source)
    assert [trial.dataset for trial in rest[:3]] == ["noisy"] * 3
    assert Counter(trial.dataset for trial in [*first, *rest]) == {"digits": 8, "noisy": 8}


def test_each_dataset_has_a_search_of_its_own() -> None:
    spec = tpe(trials=12, datasets=TWO_DATASETS)
    configs: dict[str, list[Config]] = {"digits": [], "noisy": []}
    for trial in drain(LearningTrials(spec, {}, {})):
        configs[trial.dataset].append(trial.config)
    assert configs["digits"] != configs["noisy"]


@pytest.mark.parametrize(("metric", "sign"), [("val_accuracy", 1.0), ("val_nll", -1.0)])
def test_the_search_goes_where_the_metric_is_better(metric: str, sign: float) -> None:
    spec = tpe(trials=40, metric=metric, sesoi=0.1, families={"gds": {"lam": {"low": 0, "high": 2}, "tau": 1}}, nuisance={"lr": 0.1})
    source = LearningTrials(spec, {}, {})
    values = []
    while (trial := source.next()) is not None:
        lam = float(trial.config["gds.lam"])
        values.append(lam)
        source.tell(trial, Outcome.of(sign * -((lam - 1.6) ** 2)))
    late = values[20:]
    assert sum(abs(lam - 1.6) < 0.3 for lam in late) > len(late) / 2


def test_trials_may_end_in_any_order() -> None:
    spec = tpe(trials=12, seeds=3)
    source, order = LearningTrials(spec, {}, {}), random.Random(0)
    running: list[PlannedTrial] = []
    handed = 0
    while not source.exhausted or running:
        while len(running) < 5 and (trial := source.next()) is not None:
            running.append(trial)
            handed += 1
        trial = running.pop(order.randrange(len(running)))
        source.tell(trial, Outcome.of(quality(trial)))
    assert handed == 36


def test_a_handed_out_trial_is_the_cell_of_its_configuration() -> None:
    spec = tpe(trials=6, datasets=TWO_DATASETS)
    datasets = {entry.config().key: entry.config() for entry in spec.datasets}
    for trial in drain(LearningTrials(spec, {}, {})):
        assert trial.cell == build_cell(spec, datasets[trial.dataset], trial.config)
        assert trial.stage == "screen"


def run_in_disorder(spec: StudySpec, workers: int, shuffle: int, stop_after: int = 10**6) -> tuple[dict[str, list[Config]], set[str]]:
    """Run a search with so many workers, whose trials end in an order of their own: what was suggested, and what has ended."""
    noted: dict[str, list[Config]] = {}

    def note(dataset: str, number: int, config: Config) -> None:
        assert number == len(noted.setdefault(dataset, []))
        noted[dataset].append(config)

    source, order = LearningTrials(spec, {}, {}, note=note), random.Random(shuffle)
    running: list[PlannedTrial] = []
    ended: set[str] = set()
    while len(ended) < stop_after:
        while len(running) < workers and (trial := source.next()) is not None:
            running.append(trial)
        if not running:
            break
        trial = running.pop(order.randrange(len(running)))
        source.tell(trial, Outcome.of(quality(trial)))
        ended.add(trial.key)
    return noted, ended


IN_BATCHES = [("tpe", 4, 24), ("gp", 4, 12), ("cma_es", None, 40)]


@pytest.mark.parametrize(("searcher", "batch", "trials"), IN_BATCHES)
def test_with_batches_the_same_is_suggested_whatever_the_workers_and_the_order_of_results(
    searcher: str, batch: int | None, trials: int
) -> None:
    spec = tpe(datasets=TWO_DATASETS, screen={"searcher": searcher, "trials": trials, "seeds": 2, "batch": batch})
    alone, ended = run_in_disorder(spec, 1, 0)
    assert {dataset: len(configs) for dataset, configs in alone.items()} == {"digits": trials, "noisy": trials}
    assert len(ended) == 4 * trials
    for workers, shuffle in ((3, 1), (16, 2), (100, 3)):
        assert run_in_disorder(spec, workers, shuffle) == (alone, ended)


@pytest.mark.parametrize(("searcher", "batch", "trials"), IN_BATCHES)
def test_a_search_in_batches_that_was_interrupted_goes_on_to_the_same_end(searcher: str, batch: int | None, trials: int) -> None:
    spec = tpe(screen={"searcher": searcher, "trials": trials, "batch": batch})
    straight, ended = run_in_disorder(spec, 1, 0)
    for stop_after in (0, 1, trials // 2, trials - 1):
        noted, part = run_in_disorder(spec, 5, stop_after, stop_after)
        outcomes = {key: outcome for key, outcome in told(drain(LearningTrials(spec, straight, {}))).items() if key in part}
        again: list[Config] = []
        source = LearningTrials(spec, noted, outcomes, note=lambda dataset, number, config: again.append(config))  # noqa: B023
        rest = drain(source, at_once=2)
        assert noted.get("digits", []) + again == straight["digits"]
        assert {trial.key for trial in rest} | part == ended


def test_more_seeds_for_a_search_in_batches_keep_its_cells() -> None:
    before = drain(LearningTrials(tpe(screen={"searcher": "tpe", "trials": 12, "batch": 3}), {}, {}))
    larger = tpe(screen={"searcher": "tpe", "trials": 15, "batch": 3, "seeds": 2})
    source = LearningTrials(larger, history_of(before), told(before))
    rest = drain(source, at_once=4)
    assert len(rest) == 12 + 6
    assert len({trial.cell.cell_id for trial in [*before, *rest]}) == 15


def test_a_cell_of_which_a_replicate_was_stopped_is_told_as_stopped() -> None:
    def last(outcomes: Mapping[int, Outcome]) -> Config:
        source = LearningTrials(tpe(trials=14, seeds=2), {}, {})
        handed: list[PlannedTrial] = []
        while (trial := source.next()) is not None:
            handed.append(trial)
            source.tell(trial, Outcome.of(quality(trial)) if len(handed) <= 24 else outcomes[trial.replicate])
        return handed[-1].config

    stopped = Outcome.of(3.0, stopped_after=2)
    whole = Outcome.of(3.0)
    later = Outcome.of(5.0, stopped_after=4)
    assert last({1000: stopped, 1001: whole}) == last({1000: stopped, 1001: stopped}) == last({1000: stopped, 1001: later})
