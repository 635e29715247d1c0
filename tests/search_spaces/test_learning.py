"""Searchers that learn, over a conditional space: what they ask for, by what they were told, and that nothing else matters."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from search_spaces import METHODS, Choice, Condition, Config, Learner, Method, Outcome, Parameter, Range, Space
from search_spaces.optuna_model import MOST

GDS, DECAY = Condition("family", ("gds",)), Condition("family", ("gradient_decay",))
SPACE = Space(
    (
        Parameter("family", Choice(("ce", "gds", "gradient_decay"))),
        Parameter("gds.lam", Range(0.0, 4.0), GDS),
        Parameter("gds.tau", Choice((2.0, 0.5, 1.0)), GDS),
        Parameter("gradient_decay.beta", Range(0.001, 1.0, scale="log"), DECAY),
        Parameter("gradient_decay.m", Range(1, 8, integer=True), DECAY),
        Parameter("lr", Range(0.01, 1.0, scale="log")),
    )
)
LINE = Space((Parameter("x", Range(0.0, 4.0)), Parameter("y", Range(0.0, 4.0))))

COUNTS = {"tpe": 32, "gp": 12, "cma_es": 84}  # the Gaussian process is dear

Score = Callable[[Config], float | None]
methods = pytest.mark.parametrize("method", METHODS)


def accuracy(config: Config) -> float:
    """A smooth accuracy that prefers gds at lam 1."""
    at_best = {"ce": 90.0, "gds": 93.0, "gradient_decay": 91.0}[str(config["family"])]
    away = (float(config.get("gds.lam", 1.0)) - 1.0) ** 2 + math.log10(float(config["lr"]) / 0.1) ** 2
    return at_best - away - float(config.get("gradient_decay.beta", 0.0))


def near_three(config: Config) -> float:
    """Best at x = 3, y = 1."""
    return -((float(config["x"]) - 3.0) ** 2) - (float(config["y"]) - 1.0) ** 2


def search(learner: Learner, count: int, score: Score | None = None, given: list[Config] | None = None) -> list[Config]:
    """Search with one worker, who tells what the learner waits for, or everything; the first configurations may be given."""
    score = score or (lambda config: accuracy(config) if "family" in config else near_three(config))
    configs: list[Config] = []
    told = 0
    for number in range(count):
        ended = learner.waits_for(number) if learner.in_batches else number
        while told < ended:
            learner.tell(told, Outcome.of(score(configs[told])))
            told += 1
        config = given[number] if given and number < len(given) else learner.ask(number)
        assert config is not None
        learner.begin(number, config)
        configs.append(config)
    return configs


@methods
def test_equal_seeds_and_outcomes_give_equal_suggestions_and_another_seed_others(method: Method) -> None:
    count = COUNTS[method]
    first = search(Learner(LINE, method, seed=3), count)
    assert first == search(Learner(LINE, method, seed=3), count)
    assert first != search(Learner(LINE, method, seed=4), count)


@methods
@pytest.mark.parametrize("batch", [None, 4])
def test_a_search_that_is_given_what_it_has_asked_for_goes_on_as_if_it_had_asked(method: Method, batch: int | None) -> None:
    space, count = (LINE if method == "gp" else SPACE), COUNTS[method]
    straight = search(Learner(space, method, seed=7, batch=batch), count)
    for begun in (count // 2, count - 1):
        assert search(Learner(space, method, seed=7, batch=batch), count, given=straight[:begun]) == straight


@pytest.mark.parametrize(("method", "count", "batch"), [("tpe", 40, None), ("tpe", 60, 5), ("gp", 12, None), ("cma_es", 84, None)])
def test_later_suggestions_are_better_than_earlier_ones(method: Method, count: int, batch: int | None) -> None:
    worth = [near_three(config) for config in search(Learner(LINE, method, seed=0, batch=batch), count)]
    quarter = count // 4
    assert sum(worth[-quarter:]) / quarter > sum(worth[:quarter]) / quarter + 0.5
    assert max(worth) > -0.2


@methods
def test_less_is_better_where_it_is_said_so(method: Method) -> None:
    less = search(Learner(LINE, method, seed=0, maximize=(False,)), COUNTS[method], lambda config: -near_three(config))
    assert less == search(Learner(LINE, method, seed=0), COUNTS[method])


def test_tpe_asks_for_the_best_family_most_and_the_others_give_families_their_turns() -> None:
    counts = {method: Counter(config["family"] for config in search(Learner(SPACE, method, seed=0), 18)) for method in METHODS}
    assert counts["tpe"]["gds"] > 9
    assert counts["gp"] == counts["cma_es"] == {"ce": 6, "gds": 6, "gradient_decay": 6}


@methods
def test_a_family_that_has_nothing_new_is_left_out_and_in_the_end_nothing_is_asked_for(method: Method) -> None:
    space = Space((Parameter("family", Choice(("ce", "gds"))), Parameter("gds.lam", Choice((0.0, 0.5, 1.0)), GDS)))
    learner = Learner(space, method, seed=0)
    seen: list[Config] = []
    while len(seen) < 4:
        drawn = (learner.ask(len(seen), attempt) for attempt in range(100))
        seen.append(next(config for config in drawn if config is not None and config not in seen))
        learner.begin(len(seen) - 1, seen[-1])
    assert learner.ask(4) is None


@methods
def test_a_space_of_single_configurations_is_asked_for_each_of_them(method: Method) -> None:
    space = Space((Parameter("family", Choice(("ce", "gds"))), Parameter("lr", Choice((0.1,)))))
    assert search(Learner(space, method, seed=0), 2, lambda config: 1.0) == [{"family": name, "lr": 0.1} for name in ("ce", "gds")]


def test_what_is_pending_is_not_asked_for_again() -> None:
    for method in METHODS:
        learner, configs = Learner(SPACE, method, seed=0), []
        for number in range(20):
            config = learner.ask(number)
            assert config is not None
            learner.begin(number, config)
            configs.append(config)
        assert all(config not in configs[:place] for place, config in enumerate(configs))


@methods
def test_what_was_lost_teaches_nothing_that_would_stop_the_search(method: Method) -> None:
    configs = search(Learner(LINE, method, seed=0), 14, lambda config: None if float(config["x"]) < 2.0 else near_three(config))
    assert len(configs) == 14


def test_an_outcome_that_was_cut_short_ranks_behind_a_whole_one_however_good_it_looks() -> None:
    def asked(stopped_after: int | None) -> float:
        learner = Learner(LINE, "tpe", seed=0)
        for place in range(40):
            x = place / 10.0
            cut = x < 2.0  # twice as good, but after a short training
            learner.recall({"x": x, "y": 1.0}, Outcome.of(50.0 if cut else x, stopped_after=stopped_after if cut else None))
        xs = []
        for number in range(20):
            config = learner.ask(number)
            assert config is not None
            xs.append(float(config["x"]))
        return sum(xs) / len(xs)

    assert asked(1) > 2.5 > asked(None)


def test_batches_wait_for_all_batches_but_the_last_and_populations_for_all() -> None:
    assert [Learner(SPACE, "tpe", seed=0, batch=4).waits_for(number) for number in (0, 3, 4, 7, 8, 11, 12)] == [0, 0, 0, 0, 4, 4, 8]
    assert [Learner(SPACE, "tpe", seed=0).waits_for(number) for number in (0, 100)] == [0, 0]
    # Three families, each with a population of 4 + 3 ln 3.
    assert [Learner(SPACE, "cma_es", seed=0).waits_for(number) for number in (0, 20, 21, 41, 42)] == [0, 0, 21, 21, 42]
    assert Learner(SPACE, "cma_es", seed=0, batch=64).waits_for(66) == 66


def test_a_long_history_is_thinned_and_the_best_of_it_stays_known() -> None:
    learner = Learner(LINE, "tpe", seed=0)
    for place in range(20 * MOST):
        config: Config = {"x": (place % 40) / 10.0, "y": (place // 40 % 40) / 10.0}
        learner.recall(config, Outcome.of(near_three(config)))
    asked = [learner.ask(number) for number in range(10)]
    assert sum(near_three(config) for config in asked if config is not None) / 10 > -0.5


def test_names_without_an_order_have_an_evolution_of_their_own() -> None:
    space = Space((Parameter("mode", Choice(("a", "b"))), Parameter("x", Range(0.0, 1.0)), Parameter("n", Choice((3, 1, 2)))))
    configs = search(Learner(space, "cma_es", seed=0), 48, lambda config: float(config["x"]) * (1 if config["mode"] == "a" else -1))
    late = {mode: [float(config["x"]) for config in configs[24:] if config["mode"] == mode] for mode in ("a", "b")}
    assert len(late["a"]) == len(late["b"]) == 12
    assert sum(late["a"]) > sum(late["b"]) + 3.0


@methods
def test_what_an_earlier_study_knows_is_gone_by_from_the_first_suggestion(method: Method) -> None:
    learner = Learner(LINE, method, seed=0)
    for x in range(9):
        for y in range(9):
            config: Config = {"x": x / 2.0, "y": y / 2.0}
            learner.recall(config, Outcome.of(near_three(config)))
    warm = sum(near_three(config) for config in search(learner, 8))
    cold = sum(near_three(config) for config in search(Learner(LINE, method, seed=0), 8))
    assert warm > cold + 3.0


def test_several_values_are_traded_off_along_their_front() -> None:
    learner = Learner(LINE, "tpe", seed=0, maximize=(True, False))
    configs: list[Config] = []
    for number in range(80):
        config = learner.ask(number)
        assert config is not None
        learner.begin(number, config)
        x, y = float(config["x"]), float(config["y"])
        learner.tell(number, Outcome.of(x - (y - 1.0) ** 2, x + (y - 1.0) ** 2))  # only y = 1 is on the front, with any x
        configs.append(config)
    late = configs[40:]
    assert sum(abs(float(config["y"]) - 1.0) < 0.5 for config in late) > len(late) / 2
    assert max(float(config["x"]) for config in late) - min(float(config["x"]) for config in late) > 2.0


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^batch must be >= 1, got 0$"):
        Learner(SPACE, "tpe", seed=0, batch=0)
    with pytest.raises(ValueError, match=r"^method must be tpe for several values, got 'gp'$"):
        Learner(SPACE, "gp", seed=0, maximize=(True, True))
    with pytest.raises(ValueError, match=r"^config is of no arm of the space, got \{'family': 'focal'\}$"):
        Learner(SPACE, "tpe", seed=0).recall({"family": "focal"}, Outcome.of(1.0))


def test_neither_optuna_nor_cmaes_is_imported_before_it_is_asked_for() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    check = "import sys, search_spaces; assert not {'optuna', 'cmaes'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", check], env=environment, check=True)
