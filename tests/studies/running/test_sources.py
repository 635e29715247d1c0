"""Where trials come from: each one once, in order, and after an interruption only those that are missing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from search_spaces import Config
from studies.plan import PlannedTrial, build_cell, confirm_trials, screen_trials
from studies.running.sources import ListedTrials, TpeTrials, TrialSource
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


def drain(source: TrialSource, at_once: int = 1) -> list[PlannedTrial]:
    """Run a source to its end with ``at_once`` trials under way, which end in the order in which they started."""
    handed: list[PlannedTrial] = []
    running: list[PlannedTrial] = []
    while not source.exhausted or running:
        while len(running) < at_once and (trial := source.next()) is not None:
            handed.append(trial)
            running.append(trial)
        if running:
            trial = running.pop(0)
            source.tell(trial, quality(trial))
    assert source.next() is None
    return handed


def history_of(trials: Iterable[PlannedTrial]) -> dict[str, list[Config]]:
    """What a ledger says of trials that started: each dataset's configurations in their order."""
    history: dict[str, dict[str, Config]] = {}
    for trial in trials:
        history.setdefault(trial.dataset, {}).setdefault(trial.cell.cell_id, trial.config)
    return {dataset: list(configs.values()) for dataset, configs in history.items()}


def test_a_list_is_handed_out_in_its_order_and_then_exhausted() -> None:
    planned = screen_trials(study())
    source = ListedTrials(planned)
    assert source.total == len(planned)
    assert drain(source, at_once=3) == planned
    assert source.exhausted


def test_a_list_skips_what_has_ended_and_still_counts_it() -> None:
    planned = screen_trials(study())
    ended = [trial.key for trial in planned[::2]]
    source = ListedTrials(planned, [*ended, "confirm-gds-0000000000-0"])
    assert source.total == len(planned)
    assert drain(source) == planned[1::2]


def test_a_list_that_has_ended_whole_is_exhausted_at_once() -> None:
    planned = screen_trials(study())
    source = ListedTrials(planned, [trial.key for trial in planned])
    assert source.exhausted
    assert source.next() is None


@pytest.mark.parametrize("at_once", [1, 4])
def test_tpe_hands_out_every_trial_of_every_cell_once(at_once: int) -> None:
    spec = tpe(trials=15, seeds=2)
    source = TpeTrials(spec, {}, {})
    handed = drain(source, at_once)
    assert source.total == len(handed) == 30
    assert Counter(trial.key for trial in handed).most_common(1)[0][1] == 1
    assert Counter(Counter(trial.cell.cell_id for trial in handed).values()) == {2: 15}
    assert {trial.replicate for trial in handed} == {1000, 1001}


def test_a_suggestion_has_the_knobs_of_its_family_alone() -> None:
    spec = tpe(trials=30)
    for trial in drain(TpeTrials(spec, {}, {}), at_once=2):
        spec.space().check(trial.config)
        trial.cell.check()
        assert {name.partition(".")[0] for name in trial.config} <= {trial.cell.family, "family", "lr"}


def test_equal_answers_in_equal_order_give_equal_suggestions() -> None:
    spec = tpe()
    assert drain(TpeTrials(spec, {}, {}), 2) == drain(TpeTrials(spec, {}, {}), 2)
    assert drain(TpeTrials(spec, {}, {})) != drain(TpeTrials(tpe(seed=1), {}, {}))


@pytest.mark.parametrize("done", [0, 1, 7, 19, 20])
def test_a_resumed_search_goes_on_to_exactly_its_total(done: int) -> None:
    spec = tpe(trials=10, seeds=2)
    first = drain(TpeTrials(spec, {}, {}))[:done]
    ended = {trial.key: quality(trial) for trial in first}
    source = TpeTrials(spec, history_of(first), ended)
    assert source.total == 20
    assert source.exhausted == (done == 20)
    rest = drain(source)
    assert len(rest) == 20 - done
    assert not {trial.key for trial in rest} & set(ended)
    assert len({trial.cell.cell_id for trial in [*first, *rest]}) == 10


def test_a_search_resumed_with_whole_cells_goes_on_as_it_would_have() -> None:
    spec = tpe(trials=14)
    straight = drain(TpeTrials(spec, {}, {}))
    for done in (3, 11, 13):
        first = straight[:done]
        resumed = TpeTrials(spec, history_of(first), {trial.key: quality(trial) for trial in first})
        assert drain(resumed) == straight[done:]


def test_what_was_interrupted_is_handed_out_before_anything_new() -> None:
    spec = tpe(trials=10, seeds=2)
    source = TpeTrials(spec, {}, {})
    started = [trial for _ in range(5) if (trial := source.next()) is not None]
    source = TpeTrials(spec, history_of(started), {started[0].key: 1.0, started[2].key: None})
    again = [source.next() for _ in range(4)]
    assert [trial.key for trial in again if trial] == [started[1].key, started[3].key, started[4].key, started[4].key[:-1] + "1"]


FINITE: dict[str, Any] = {"families": {"ce": {"label_smoothing": [0, 0.1]}, "gds": {"lam": [0, 1]}}, "nuisance": {"lr": [0.1, 0.2]}}


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_small_space_is_measured_whole_and_no_cell_twice(at_once: int) -> None:
    spec = tpe(trials=20, seeds=2, **FINITE)
    source = TpeTrials(spec, {}, {})
    handed = drain(source, at_once)
    assert Counter(Counter(trial.cell.cell_id for trial in handed).values()) == {2: 8}
    assert source.total == 16
    resumed = TpeTrials(spec, history_of(handed), {trial.key: quality(trial) for trial in handed})
    assert resumed.exhausted
    assert resumed.total == 16


def test_a_best_cell_that_stands_alone_does_not_hold_the_search_up() -> None:
    # There is one ce cell, and it is by far the best: TPE asks for it again and again.
    spec = tpe(trials=25, families={"ce": {"label_smoothing": 0}, "gds": {"lam": {"low": 0, "high": 2}, "tau": 1}}, nuisance={"lr": 0.1})
    source = TpeTrials(spec, {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, 99.0 if trial.cell.family == "ce" else 1.0)
    assert Counter(trial.cell.cell_id for trial in handed).most_common(1)[0][1] == 1
    assert len(handed) == source.total == 25


def test_a_range_that_holds_few_numbers_ends_the_search_early() -> None:
    spec = tpe(trials=9, families={"ce": {"label_smoothing": 0}}, nuisance={"lr": {"low": 1, "high": 2, "integer": True}})
    source = TpeTrials(spec, {}, {})
    assert len(drain(source)) == source.total == 2
    assert source.exhausted


def test_a_lost_trial_teaches_nothing_and_a_lost_cell_is_not_asked_for_again() -> None:
    spec = tpe(trials=25)
    source = TpeTrials(spec, {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, None if trial.cell.family == "gds" else quality(trial))
    assert len({trial.cell.cell_id for trial in handed}) == len(handed) == 25
    told = {trial.key: None if trial.cell.family == "gds" else quality(trial) for trial in handed}
    assert TpeTrials(spec, history_of(handed), told).exhausted


def test_every_trial_lost_still_ends_the_search() -> None:
    source = TpeTrials(tpe(trials=12), {}, {})
    handed = []
    while (trial := source.next()) is not None:
        handed.append(trial)
        source.tell(trial, None)
    assert len(handed) == 12


def test_a_cell_counts_by_the_mean_of_the_seeds_that_ended_well() -> None:
    def after(values: Mapping[int, float | None]) -> list[Config]:
        spec = tpe(trials=14, seeds=2)
        source = TpeTrials(spec, {}, {})
        configs = []
        while (trial := source.next()) is not None:
            configs.append(trial.config)
            source.tell(trial, quality(trial) if len(configs) <= 24 else values[trial.replicate])
        return configs

    # The thirteenth cell's mean is 3 in all three, so the fourteenth is the same.
    assert after({1000: 2.0, 1001: 4.0}) == after({1000: 3.0, 1001: 3.0}) == after({1000: None, 1001: 3.0})


def test_results_that_come_twice_or_of_a_stranger_change_nothing() -> None:
    spec = tpe(trials=12)
    plain, noisy = TpeTrials(spec, {}, {}), TpeTrials(spec, {}, {})
    stranger = confirm_trials(study(**WITHOUT_SCREEN))[0]
    while (trial := plain.next()) is not None:
        assert noisy.next() == trial
        plain.tell(trial, quality(trial))
        noisy.tell(trial, quality(trial))
        noisy.tell(trial, -100.0)
        noisy.tell(stranger, 100.0)


def test_several_datasets_are_kept_level() -> None:
    spec = tpe(trials=8, seeds=2, datasets=TWO_DATASETS)
    source = TpeTrials(spec, {}, {})
    counts: Counter[str] = Counter()
    for trial in drain(source, at_once=3):
        counts[trial.dataset] += 1
        assert abs(counts["digits"] - counts["noisy"]) <= 1
    assert counts == {"digits": 16, "noisy": 16}
    assert source.total == 32


def test_a_resumed_search_first_brings_the_dataset_up_that_is_behind() -> None:
    spec = tpe(trials=8, datasets=TWO_DATASETS)
    all_of_them = drain(TpeTrials(spec, {}, {}))
    first = [trial for trial in all_of_them if trial.dataset == "digits"][:5] + [
        trial for trial in all_of_them if trial.dataset == "noisy"
    ][:2]
    source = TpeTrials(spec, history_of(first), {trial.key: quality(trial) for trial in first})
    rest = drain(source)
    assert [trial.dataset for trial in rest[:3]] == ["noisy"] * 3
    assert Counter(trial.dataset for trial in [*first, *rest]) == {"digits": 8, "noisy": 8}


def test_each_dataset_has_a_search_of_its_own() -> None:
    spec = tpe(trials=12, datasets=TWO_DATASETS)
    configs: dict[str, list[Config]] = {"digits": [], "noisy": []}
    for trial in drain(TpeTrials(spec, {}, {})):
        configs[trial.dataset].append(trial.config)
    assert configs["digits"] != configs["noisy"]


@pytest.mark.parametrize(("metric", "sign"), [("val_accuracy", 1.0), ("val_nll", -1.0)])
def test_the_search_goes_where_the_metric_is_better(metric: str, sign: float) -> None:
    spec = tpe(trials=40, metric=metric, sesoi=0.1, families={"gds": {"lam": {"low": 0, "high": 2}, "tau": 1}}, nuisance={"lr": 0.1})
    source = TpeTrials(spec, {}, {})
    values = []
    while (trial := source.next()) is not None:
        lam = float(trial.config["gds.lam"])
        values.append(lam)
        source.tell(trial, sign * -((lam - 1.6) ** 2))
    late = values[20:]
    assert sum(abs(lam - 1.6) < 0.3 for lam in late) > len(late) / 2


def test_trials_may_end_in_any_order() -> None:
    spec = tpe(trials=12, seeds=3)
    source, order = TpeTrials(spec, {}, {}), random.Random(0)
    running: list[PlannedTrial] = []
    handed = 0
    while not source.exhausted or running:
        while len(running) < 5 and (trial := source.next()) is not None:
            running.append(trial)
            handed += 1
        trial = running.pop(order.randrange(len(running)))
        source.tell(trial, quality(trial))
    assert handed == 36


def test_a_handed_out_trial_is_the_cell_of_its_configuration() -> None:
    spec = tpe(trials=6, datasets=TWO_DATASETS)
    datasets = {entry.config().key: entry.config() for entry in spec.datasets}
    for trial in drain(TpeTrials(spec, {}, {})):
        assert trial.cell == build_cell(spec, datasets[trial.dataset], trial.config)
        assert trial.stage == "screen"
