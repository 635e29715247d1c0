"""Population based training: who is replaced by copies of whom, how a copy is changed, and how a configuration tells of a path."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.knobs import Schedule
from search_spaces import Changes, Config, Outcome, Space, changed, decode, grid, joint_space, replacements, schedulable, sobol
from search_spaces.paths import extended, last_value, read_jumps, write_jumps

MOVES = Changes(step=0.1, resample=0.0)
DRAWS = Changes(step=0.1, resample=1.0)
PATH = {"schedule": {"kind": "path", "start": 0.5, "then": [[0.25, 1.5], [0.5, 1]]}}


def space(**gds: object) -> Space:
    families = {"ce": {"label_smoothing": 0}, "gds": {"tau": 1, **gds}}
    return joint_space(families, {"sample_margin": {"weight": [0, 0.1, 0.5]}}, {"lr": {"low": 0.01, "high": 1.0, "scale": "log"}})


def member(where: Space, index: int = 1) -> Config:
    return next(config for number in range(index, 100) if (config := sobol(where, seed=0, index=number))["family"] == "gds")


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=2, max_size=20), st.floats(0.05, 0.5))
def test_the_worst_and_the_lost_are_replaced_by_the_best_of_those_that_are_not(values: list[float | None], exploit: float) -> None:
    outcomes = [Outcome.of(value) for value in values]
    worst, best = replacements(outcomes, exploit, maximize=True)
    lost = {place for place, value in enumerate(values) if value is None}
    assert lost <= {*worst} and not lost & {*best} and not {*worst} & {*best}
    assert len(worst) == max(len(lost), math.floor(len(values) * exploit), 1)
    there = {place: value for place, value in enumerate(values) if value is not None}
    for place in best:
        assert all(there[place] >= there[other] for other in there if other not in best)
    for place in {*worst} - lost:
        assert all(there[place] <= there[other] for other in there if other not in worst)


def test_less_may_be_better_and_equals_keep_their_order() -> None:
    outcomes = [Outcome.of(value) for value in (1.0, 2.0, 1.0, 2.0)]
    assert replacements(outcomes, 0.25, maximize=False) == ([3], [0])
    assert replacements(outcomes, 0.25, maximize=True) == ([2], [1])
    assert replacements([Outcome.of(1.0)], 0.5, maximize=True) == ([], [])


def test_a_value_moves_by_a_step_on_its_own_scale_and_no_further_than_its_range() -> None:
    where = space(lam={"low": 0.0, "high": 3.0})
    config = {**member(where), "gds.lam": 1.0, "lr": 0.1, "sample_margin.weight": 0.1}
    for seed in range(30):
        copy = changed(where, config, 0.5, MOVES, np.random.default_rng(seed))
        assert last_value(copy, "gds.lam") in (0.7, 1.3)
        assert last_value(copy, "lr") in (0.1585, 0.0631)  # a tenth of two decades
        assert last_value(copy, "sample_margin.weight") in (0.0, 0.5)
        assert decode(copy).knobs["lam"] == Schedule("path", 1.0, then=((0.5, float(last_value(copy, "gds.lam"))),))
    edge = {**config, "gds.lam": 3.0, "lr": 0.01}
    ends = {
        (last_value(c, "gds.lam"), last_value(c, "lr"))
        for c in (changed(where, edge, 0.5, MOVES, np.random.default_rng(s)) for s in range(30))
    }
    assert ends == {(lam, lr) for lam in (2.7, 3.0) for lr in (0.01, 0.01585)}


def test_a_value_that_is_drawn_anew_is_anywhere_in_its_range() -> None:
    where = space(lam={"low": 0.0, "high": 3.0})
    copies = [changed(where, member(where), 0.5, DRAWS, np.random.default_rng(seed)) for seed in range(200)]
    values = [float(last_value(copy, "gds.lam")) for copy in copies]
    assert 0.0 <= min(values) < 0.3 and 2.7 < max(values) <= 3.0
    assert {last_value(copy, "sample_margin.weight") for copy in copies} == {0.0, 0.1, 0.5}


def test_whole_numbers_stay_whole() -> None:
    where = joint_space({"l_softmax": {"m": {"low": 1, "high": 4}, "lam": 1}})
    config = {**sobol(where, seed=0, index=0), "l_softmax.m": 2}
    moved = {last_value(changed(where, config, 0.5, MOVES, np.random.default_rng(seed)), "l_softmax.m") for seed in range(20)}
    assert moved == {1.0, 3.0}


def test_options_weight_decay_and_what_has_one_value_stay() -> None:
    where = joint_space(
        {"gds": {"lam": [0, 1, 2], "tau": 1, "hardest": ["attached", "detached"]}}, nuisance={"lr": 0.1, "weight_decay": [0, 1e-4]}
    )
    assert [parameter.name for parameter in schedulable(where)] == ["gds.lam"]
    for config in grid(where):
        copy = changed(where, config, 0.5, DRAWS, np.random.default_rng(1))
        assert {name: value for name, value in copy.items() if "lam" not in name} == {n: v for n, v in config.items() if "lam" not in n}


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(-1e3, 1e3)), min_size=1, max_size=6, unique_by=lambda jump: jump[0]))
def test_jumps_are_written_and_read_to_the_last_bit(jumps: list[tuple[float, float]]) -> None:
    jumps = sorted(jumps)
    assert read_jumps(write_jumps(tuple(jumps))) == tuple(jumps)
    config: Config = {"family": "ce", "lr": 0.1}
    for place, value in jumps:
        config = extended(config, "lr", place, value)
    assert decode({**config}).nuisance["lr"] == Schedule("path", 0.1, then=tuple(jumps))
    assert last_value(config, "lr") == jumps[-1][1]


def test_a_path_may_be_written_in_a_study_file() -> None:
    where = joint_space({"gds": {"lam": PATH, "tau": 1}}, {"sample_margin": {"weight": PATH}}, {"lr": PATH})
    [config] = grid(where)
    parts, path = decode(config), Schedule("path", 0.5, then=((0.25, 1.5), (0.5, 1.0)))
    assert parts.knobs["lam"] == parts.regularizers["sample_margin"] == parts.nuisance["lr"] == path
    assert config["gds.lam.then"] == "0.25: 1.5, 0.5: 1.0"
    assert schedulable(where) == ()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"start": None},
            "families.gds.lam.schedule.start is missing; a path has a start and then pairs of a share of the training and a value",
        ),
        ({"then": [[0.5, -1]]}, "families.gds.lam.schedule.then must be >= 0, got -1.0"),
        ({"start": [0, 1]}, "families.gds.lam.schedule.start must be a number (>= 0), got [0, 1]"),
        ({"length": 0.5}, "families.gds.lam.schedule.length is not a known part of a path; known: kind, start, then"),
        (
            {"then": [[0.5, 1], [0.2, 1]]},
            "families.gds.lam.schedule: schedule then must be pairs of a share of the training, rising, above 0 and below 1, "
            "and the value from there on, got [[0.5, 1], [0.2, 1]]",
        ),
    ],
)
def test_a_path_that_is_none_is_refused(parts: dict[str, object], sentence: str) -> None:
    entry = {"kind": "path", "start": 0.5, "then": [[0.5, 1]], **parts}
    with pytest.raises(ValueError) as caught:
        space(lam={"schedule": {name: value for name, value in entry.items() if value is not None}})
    assert str(caught.value) == sentence
