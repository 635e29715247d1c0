"""What every searcher must hold to, over the families that the package has. A new searcher passes by being listed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice

import pytest

from margin_core.knobs import Schedule
from margin_core.losses import get_family, list_losses
from margin_core.regularizers import get_regularizer, list_regularizers
from search_spaces import (
    METHODS,
    Choice,
    Config,
    Learner,
    Method,
    Outcome,
    Space,
    decode,
    grid,
    grid_size,
    joint_space,
    sample_random,
    sobol,
)


def list_grid(space: Space, seed: int, count: int) -> list[Config]:
    # Spread over the whole grid, which goes family by family.
    return list(islice(grid(space), 0, None, max(1, grid_size(space) // count)))[:count]


def draw_sobol(space: Space, seed: int, count: int) -> list[Config]:
    return [sobol(space, seed=seed, index=index) for index in range(count)]


def draw_random(space: Space, seed: int, count: int) -> list[Config]:
    return [sample_random(space, seed=seed, index=index) for index in range(count)]


def learn(method: Method, space: Space, seed: int, count: int) -> list[Config]:
    learner = Learner(space, method, seed=seed)
    configs: list[Config] = []
    for number in range(count):
        config = learner.ask(number)
        assert config is not None
        learner.begin(number, config)
        learner.tell(number, Outcome.of(90.0 - abs(float(config.get("gds.lam", 2.0)) - 1.0) - float(config["lr"])))
        configs.append(config)
    return configs


Searcher = Callable[[Space, int, int], list[Config]]
SEARCHERS: dict[str, Searcher] = {
    "grid": list_grid,
    "sobol": draw_sobol,
    "random": draw_random,
    **{method: partial(learn, method) for method in METHODS},
}
NEEDS_LISTS = {"grid"}

WARM_UP = {"schedule": {"kind": ["constant", "linear", "cosine", "inverse", "step"], "start": [0.01, 0.1], "end": 1.0}}
FINITE = joint_space(
    {**dict.fromkeys(list_losses()), "gradient_decay": {"beta": WARM_UP}},
    dict.fromkeys(list_regularizers()),
    {"lr": [0.03, 0.1], "weight_decay": 5e-4},
)
CONTINUOUS = joint_space(
    {name: {knob.name: "search" for knob in get_family(name).knobs} for name in list_losses()},
    {name: {"weight": "search"} for name in list_regularizers()},
    {"lr": "search", "weight_decay": {"low": 1e-6, "high": 1e-2, "scale": "log"}},
)
CASES = [(name, space) for name in SEARCHERS for space in ("finite", "continuous") if space == "finite" or name not in NEEDS_LISTS]
SPACES = {"finite": FINITE, "continuous": CONTINUOUS}
SEED, COUNT = 11, 32

cases = pytest.mark.parametrize(("searcher", "kind"), CASES)


def search(searcher: str, kind: str, seed: int = SEED) -> list[Config]:
    return SEARCHERS[searcher](SPACES[kind], seed, COUNT)


@cases
def test_a_configuration_has_exactly_the_parameters_that_exist(searcher, kind):
    configs = search(searcher, kind)
    assert len(configs) == COUNT
    for config in configs:
        SPACES[kind].check(config)
        owners = {name.partition(".")[0] for name in config if "." in name}
        assert owners <= {config["family"], *list_regularizers()}


@cases
def test_a_configuration_decodes_to_a_whole_family_within_its_bounds(searcher, kind):
    for config in search(searcher, kind):
        parts = decode(config)
        family = get_family(parts.family)
        assert set(parts.knobs) == {part.name for part in (*family.knobs, *family.options)}
        bounding = {name: value.values if isinstance(value, Schedule) else (value,) for name, value in parts.knobs.items()}
        for place in (0, -1):
            family.check({name: values[place] for name, values in bounding.items()})
        assert set(parts.regularizers) == set(list_regularizers())
        for name, weight in parts.regularizers.items():
            get_regularizer(name).weight.check(weight, name)
        assert parts.nuisance["lr"] > 0 and parts.nuisance["weight_decay"] >= 0


@cases
def test_a_configuration_survives_json(searcher, kind):
    for config in search(searcher, kind):
        assert json.loads(json.dumps(config)) == config


@cases
def test_the_same_seed_gives_the_same_configurations(searcher, kind):
    assert search(searcher, kind) == search(searcher, kind)


@pytest.mark.parametrize(("searcher", "kind"), [case for case in CASES if case[0] != "grid"])
def test_another_seed_gives_other_configurations(searcher, kind):
    assert search(searcher, kind) != search(searcher, kind, seed=SEED + 1)


def test_another_process_with_another_hash_seed_gives_the_same_configurations():
    here = {f"{searcher} {kind}": search(searcher, kind) for searcher, kind in CASES}
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize("searcher", sorted(NEEDS_LISTS))
def test_a_searcher_that_needs_lists_says_which_parameter_is_a_range(searcher):
    first = next(parameter.name for parameter in CONTINUOUS.parameters if not isinstance(parameter.dimension, Choice))
    with pytest.raises(ValueError, match=rf"^{first} has no grid: it is the range "):
        search(searcher, "continuous")


if __name__ == "__main__":
    print(json.dumps({f"{searcher} {kind}": search(searcher, kind) for searcher, kind in CASES}))
