"""Importance: what is known to matter stands first, and nothing is said of too little."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from search_spaces import Choice, Condition, Config, Parameter, Range, Space, sample_random
from search_spaces.importance import Importance, importance
from search_spaces.optuna_model import distribution

SPACE = Space(
    (
        Parameter("family", Choice(("ce", "gds"))),
        Parameter("gds.lam", Range(0.0, 3.0), Condition("family", ("gds",))),
        Parameter("lr", Range(0.001, 1.0, scale="log")),
        Parameter("weight_decay", Range(0.0, 0.1)),
    )
)

WIDE = Space(
    (
        *SPACE.parameters,
        Parameter("depth", Range(1, 8, integer=True)),
        Parameter("width", Range(4, 512, scale="log", integer=True)),
        Parameter("batch", Choice((32, 64, 128))),
        Parameter("momentum", Choice((0.9,))),
    )
)


def screened(score: dict[str, float], n: int = 200) -> tuple[list[Config], list[float]]:
    configs = [sample_random(SPACE, seed=0, index=index) for index in range(n)]
    values = [
        score.get("lr", 0.0) * -abs(np.log(float(config["lr"])) - np.log(0.1))
        + score.get("gds", 0.0) * (config["family"] == "gds")
        - score.get("lam", 0.0) * abs(float(config.get("gds.lam", 3.0)) - 1.0)
        for config in configs
    ]
    return configs, [float(value) for value in values]


def first(score: dict[str, float]) -> Importance:
    return importance(SPACE, *screened(score), draws=20)[0]


def test_the_parameter_that_alone_decides_stands_first() -> None:
    assert first({"lr": 1.0}).name == "lr"
    assert first({"lr": 1.0}).low > 0.5


def test_a_knob_that_one_family_has_is_judged_where_it_exists() -> None:
    found = importance(SPACE, *screened({"gds": 3.0, "lam": 3.0}), draws=20)
    shares = {entry.name: entry.share for entry in found}
    assert shares["gds.lam"] > max(shares["lr"], shares["weight_decay"])
    configs, _ = screened({})
    assert {entry.name: entry.configs for entry in found}["gds.lam"] == sum("gds.lam" in config for config in configs)


def test_less_is_better_where_the_study_says_so() -> None:
    configs, values = screened({"lr": 1.0})
    better, worse = (
        importance(SPACE, configs, [-value for value in values], maximize=False, draws=0),
        importance(SPACE, configs, values, draws=0),
    )
    assert better == worse


def test_shares_add_up_and_lie_within_their_whiskers() -> None:
    found = importance(SPACE, *screened({"lr": 1.0, "gds": 0.5}), draws=20)
    assert sum(entry.share for entry in found) == pytest.approx(1.0)
    assert all(0.0 <= entry.low <= entry.share <= entry.high <= 1.0 for entry in found)
    assert found == importance(SPACE, *screened({"lr": 1.0, "gds": 0.5}), draws=20)


def test_nothing_is_said_of_fewer_than_five_good_configurations() -> None:
    assert importance(SPACE, *screened({"lr": 1.0}, n=49)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"values": [1.0]}, "configs and values must be of one length, got 200 and 1"),
        ({"values": [float("nan")] * 200}, "values must be finite"),
        ({"quantile": 1.0}, r"quantile must be in \(0, 1\), got 1.0"),
    ],
)
def test_what_cannot_be_judged_is_refused(change: dict[str, object], told: str) -> None:
    configs, values = screened({"lr": 1.0})
    with pytest.raises(ValueError, match=told):
        importance(SPACE, **{"configs": configs, "values": values, **change})  # type: ignore[arg-type]


def by_optuna(space: Space, configs: list[Config], costs: list[float]) -> dict[str, float]:
    """The shares by Optuna's own evaluator, which holds its trials one by one."""
    study = optuna.create_study()
    for config, cost in zip(configs, costs, strict=True):
        known = {parameter.name: distribution(parameter.dimension) for parameter in space.parameters if parameter.name in config}
        study.add_trial(optuna.trial.create_trial(params=dict(config), distributions=known, value=cost))
    found = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1).evaluate(study)
    return {name: value / sum(found.values()) for name, value in found.items()}


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("score", [{"lr": 1.0}, {"gds": 1.0, "lam": 3.0}, {"depth": 1.0}])
def test_the_shares_are_those_of_optuna(score: dict[str, float], n: int) -> None:
    configs, costs = [sample_random(WIDE, seed=0, index=index) for index in range(n)], []
    for config in configs:
        rate = score.get("lr", 0.0) * abs(np.log(float(config["lr"])) - np.log(0.1))
        knob = score.get("lam", 0.0) * abs(float(config.get("gds.lam", 3.0)) - 1.0)
        costs.append(
            float(rate + knob - score.get("gds", 0.0) * (config["family"] == "gds") + score.get("depth", 0.0) * float(config["depth"]))
        )
    drawn = np.random.default_rng(0).integers(n, size=n).tolist()  # a draw holds a configuration several times
    for places in (range(n), drawn):
        ours = importance(WIDE, [configs[place] for place in places], [costs[place] for place in places], maximize=False, draws=0)
        theirs = by_optuna(WIDE, [configs[place] for place in places], [costs[place] for place in places])
        assert {each.name: each.share for each in ours} == pytest.approx({each.name: theirs[each.name] for each in ours}, rel=1e-9)
        assert set(theirs) - {each.name for each in ours} == {"momentum"}  # it has one value
