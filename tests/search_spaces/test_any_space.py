"""What holds of every conditional space, however it was declared: Hypothesis builds them."""

from __future__ import annotations

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from search_spaces import Choice, Condition, Config, Parameter, Range, Space, arms, grid, grid_size, sample_random, sobol

SEEDS = st.integers(0, 2**40)
INDICES = st.integers(0, 5000)

choices = st.lists(st.one_of(st.integers(-3, 3), st.sampled_from("abcd"), st.floats(-2, 2)), min_size=1, max_size=4, unique=True).map(
    lambda values: Choice(tuple(values))
)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    """Linear and logarithmic intervals of numbers and of whole numbers, wide and hair-thin."""
    scale = draw(st.sampled_from(("linear", "log")))
    if draw(st.booleans()):
        low = draw(st.integers(1 if scale == "log" else -20, 20))
        return Range(low, low + draw(st.integers(1, 1000)), scale=scale, integer=True)
    number = st.floats(1e-8 if scale == "log" else -1e8, 1e8)
    low, high = sorted((draw(number), draw(number)))
    assume(low < high)
    return Range(low, high, scale=scale)


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False) -> Space:
    """Up to seven parameters, each of which may depend on any earlier choice, so that conditions nest."""
    parameters: list[Parameter] = []
    for place in range(draw(st.integers(1, 7))):
        parents = [parameter for parameter in parameters if isinstance(parameter.dimension, Choice)]
        when = None
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            assert isinstance(parent.dimension, Choice)
            allowed = draw(st.lists(st.sampled_from(parent.dimension.values), min_size=1, unique=True))
            when = Condition(parent.name, tuple(allowed))
        dimension = draw(choices if finite else st.one_of(choices, ranges()))
        parameters.append(Parameter(f"p{place}", dimension, when))
    return Space(tuple(parameters))


def active_names(space: Space, config: Config) -> set[str]:
    """The definition, written apart from the package: a parameter exists where its whole line of ancestors allows it."""
    declared = {parameter.name: parameter for parameter in space.parameters}

    def is_active(parameter: Parameter) -> bool:
        when = parameter.when
        return when is None or (is_active(declared[when.parent]) and config[when.parent] in when.values)

    return {name for name, parameter in declared.items() if is_active(parameter)}


def assert_belongs(space: Space, config: Config) -> None:
    assert set(config) == active_names(space, config)
    dimensions = {parameter.name: parameter.dimension for parameter in space.parameters}
    for name, value in config.items():
        dimension = dimensions[name]
        if isinstance(dimension, Choice):
            assert value in dimension.values
        else:
            assert isinstance(value, int if dimension.integer else float)
            assert dimension.low <= value <= dimension.high
    space.check(config)


@given(spaces(), SEEDS, INDICES)
def test_a_drawn_configuration_has_exactly_the_parameters_that_exist_with_allowed_values(space: Space, seed: int, index: int) -> None:
    assert_belongs(space, sobol(space, seed=seed, index=index))
    assert_belongs(space, sample_random(space, seed=seed, index=index))


@given(spaces(), SEEDS, INDICES)
def test_a_configuration_is_of_exactly_one_arm_and_has_all_that_is_free_there(space: Space, seed: int, index: int) -> None:
    config = sample_random(space, seed=seed, index=index)
    [arm] = [arm for arm in arms(space) if {**config, **arm.fixed} == config]
    free = {parameter.name: config[parameter.name] for parameter in arm.free}
    assert {*arm.fixed, *free} == set(config)
    assert arm.config(free) == config


@given(spaces(finite=True))
def test_the_arms_of_a_finite_space_add_up_to_its_grid(space: Space) -> None:
    assert sum(arm.size for arm in arms(space)) == grid_size(space)


@given(spaces(finite=True))
def test_a_grid_lists_what_the_full_product_leaves_when_parameters_that_do_not_exist_are_dropped(space: Space) -> None:
    names = [parameter.name for parameter in space.parameters]
    values = [parameter.dimension.values for parameter in space.parameters if isinstance(parameter.dimension, Choice)]
    expected = set()
    for combination in itertools.product(*values):
        config = dict(zip(names, combination, strict=True))
        active = active_names(space, config)
        expected.add(tuple((name, value) for name, value in config.items() if name in active))
    listed = [tuple(config.items()) for config in grid(space)]
    assert len(listed) == len(set(listed)) == grid_size(space)
    assert set(listed) == expected


@given(spaces(finite=True))
def test_a_grid_comes_in_the_same_order_each_time_with_the_first_parameter_slowest(space: Space) -> None:
    listed = list(grid(space))
    assert listed == list(grid(space))
    first = space.parameters[0]
    assert isinstance(first.dimension, Choice)
    assert [value for value, _ in itertools.groupby(config[first.name] for config in listed)] == list(first.dimension.values)


@given(spaces(), SEEDS, st.integers(1, 40))
def test_the_values_of_the_first_choice_take_turns_in_a_sobol_sequence(space: Space, seed: int, count: int) -> None:
    first = space.parameters[0]
    assume(isinstance(first.dimension, Choice))
    assert isinstance(first.dimension, Choice)
    drawn = [sobol(space, seed=seed, index=index)[first.name] for index in range(count)]
    counts = [drawn.count(value) for value in first.dimension.values]
    assert max(counts) - min(counts) <= 1


@given(spaces(), SEEDS, st.permutations(range(12)))
def test_a_draw_does_not_depend_on_the_draws_before_it(space: Space, seed: int, order: list[int]) -> None:
    for draw in (sobol, sample_random):
        in_order = [draw(space, seed=seed, index=index) for index in range(12)]
        assert {index: draw(space, seed=seed, index=index) for index in order} == dict(enumerate(in_order))


@given(spaces(), SEEDS, INDICES)
def test_leaving_out_or_adding_a_parameter_is_found(space: Space, seed: int, index: int) -> None:
    config = sample_random(space, seed=seed, index=index)
    for wrong in (dict(list(config.items())[1:]), {**config, "other": 1.0}, {**config, next(iter(config)): "no such value"}):
        try:
            space.check(wrong)
        except ValueError:
            continue
        raise AssertionError(f"{wrong} passed")
