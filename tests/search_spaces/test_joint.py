"""The joint space of a study file: what each entry compiles to, what is refused and how it is said, and reading back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.knobs import SCHEDULE_KINDS, Schedule
from margin_core.losses import get_family, list_losses
from margin_core.regularizers import get_regularizer, list_regularizers
from search_spaces import Choice, Condition, Parts, Range, Space, decode, grid, grid_size, joint_space, sobol

BETA = get_family("gradient_decay").knob("beta")


def dimensions(space: Space) -> dict[str, Choice | Range]:
    return {parameter.name: parameter.dimension for parameter in space.parameters}


def test_all_families_and_regularisers_compile_with_their_defaults():
    space = joint_space(dict.fromkeys(list_losses()), {name: {} for name in list_regularizers()}, {"lr": 0.1})
    found = dimensions(space)
    assert found["family"] == Choice(tuple(list_losses()))
    for name in list_losses():
        family = get_family(name)
        for knob in family.knobs:
            assert found[f"{name}.{knob.name}"] == Choice(knob.grid)
        for option in family.options:
            assert found[f"{name}.{option.name}"] == Choice((option.default,))
    for name in list_regularizers():
        assert found[f"{name}.weight"] == Choice(get_regularizer(name).weight.grid)
    assert grid_size(space) == len(list(grid(space)))


def test_all_families_and_regularisers_compile_with_their_declared_ranges():
    families = {name: {knob.name: "search" for knob in get_family(name).knobs} for name in list_losses()}
    found = dimensions(
        joint_space(families, {name: {"weight": "search"} for name in list_regularizers()}, {"lr": "search", "weight_decay": "search"})
    )
    for name in list_losses():
        for knob in get_family(name).knobs:
            assert found[f"{name}.{knob.name}"] == Range(*knob.search, scale=knob.scale, integer=knob.integer)


def test_parameters_of_a_family_exist_in_that_family_alone_and_the_rest_always():
    space = joint_space({"ce": None, "gds": {}}, {"sample_margin": {"weight": [0, 0.5]}}, {"lr": 0.1, "weight_decay": 0})
    conditions = {parameter.name: parameter.when for parameter in space.parameters}
    assert conditions["gds.lam"] == conditions["gds.hardest"] == Condition("family", ("gds",))
    assert conditions["sample_margin.weight"] is conditions["lr"] is conditions["weight_decay"] is conditions["family"] is None


@pytest.mark.parametrize(
    ("entry", "dimension"),
    [
        (1, Choice((1.0,))),
        (0.5, Choice((0.5,))),
        ([2, 0.5], Choice((2.0, 0.5))),
        ("grid", Choice(BETA.grid)),
        ("search", Range(*BETA.search, scale="log")),
        ({"low": 0.01, "high": 1}, Range(0.01, 1.0, scale="log")),
        ({"low": 0.01, "high": 1, "scale": "linear"}, Range(0.01, 1.0)),
        ({"low": 1, "high": 8, "integer": True}, Range(1.0, 8.0, scale="log", integer=True)),
    ],
)
def test_an_entry_compiles_to_its_dimension(entry, dimension):
    assert dimensions(joint_space({"gradient_decay": {"beta": entry}}))["gradient_decay.beta"] == dimension


def test_an_option_may_be_fixed_or_listed():
    for entry, values in (("detached", ("detached",)), (["detached", "attached"], ("detached", "attached"))):
        assert dimensions(joint_space({"gds": {"hardest": entry}}))["gds.hardest"] == Choice(values)


def test_a_learning_rate_range_is_logarithmic_and_a_weight_decay_may_be_nought():
    found = dimensions(joint_space({"ce": None}, None, {"lr": {"low": 0.01, "high": 1.0}, "weight_decay": [0, 5e-4]}))
    assert found["lr"] == Range(0.01, 1.0, scale="log")
    assert found["weight_decay"] == Choice((0.0, 5e-4))


def test_the_order_of_nuisance_values_and_regularisers_in_the_file_changes_nothing():
    one = joint_space({"ce": None}, {"sample_margin": None, "zero_centroid": None}, {"lr": "search", "weight_decay": "search"})
    other = joint_space({"ce": None}, {"zero_centroid": None, "sample_margin": None}, {"weight_decay": "search", "lr": "search"})
    assert one == other


def test_a_schedule_takes_the_papers_grid_and_half_of_training_where_nothing_is_said():
    found = dimensions(joint_space({"gradient_decay": {"beta": {"schedule": {"kind": ["constant", "linear"]}}}}))
    assert found["gradient_decay.beta.kind"] == Choice(("constant", "linear"))
    assert found["gradient_decay.beta.start"] == found["gradient_decay.beta.end"] == Choice(BETA.grid)
    assert found["gradient_decay.beta.length"] == Choice((0.5,))
    assert "gradient_decay.beta" not in found


def test_a_schedule_that_is_always_constant_has_neither_end_nor_length():
    space = joint_space({"gradient_decay": {"beta": {"schedule": {"kind": "constant", "start": 2}}, "tau": 1}})
    assert list(grid(space)) == [
        {"family": "gradient_decay", "gradient_decay.beta.kind": "constant", "gradient_decay.beta.start": 2.0, "gradient_decay.tau": 1.0}
    ]


def test_a_regularisers_weight_may_be_a_schedule_in_any_family():
    warm_up = {"weight": {"schedule": {"kind": "linear", "start": 0, "end": 0.5, "length": [0.25, 1]}}}
    configs = list(grid(joint_space({"ce": {"label_smoothing": 0}}, {"sample_margin": warm_up}, {"lr": 0.1})))
    assert [decode(config).regularizers for config in configs] == [
        {"sample_margin": Schedule("linear", 0.0, 0.5, 0.25)},
        {"sample_margin": Schedule("linear", 0.0, 0.5, 1.0)},
    ]


FORMS = '"grid", "search", a list of numbers, a range (low, high), a schedule'
GDS = "known: lam, tau, hardest"
SCHEDULE = {"kind": "linear", "start": 0.01, "end": 1.0}


def beta(**schedule: object) -> dict[str, object]:
    return {"gradient_decay": {"beta": {"schedule": {**SCHEDULE, **schedule}}}}


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (["ce"], "families must be a mapping of names to values, got ['ce']"),
        ({"gds": [0.5]}, "families.gds must be a mapping of names to values, got [0.5]"),
        ({"gds": {"lamb": 1}}, f"families.gds.lamb is not a known knob or option of gds (did you mean 'lam'?); {GDS}"),
        ({"gds": {"zeta": 1}}, f"families.gds.zeta is not a known knob or option of gds; {GDS}"),
        ({"gds": {"lam": -1}}, "families.gds.lam must be >= 0, got -1"),
        ({"gds": {"lam": [0.5, -1]}}, "families.gds.lam must be >= 0, got -1"),
        ({"gds": {"lam": float("nan")}}, "families.gds.lam must be >= 0, got nan"),
        ({"gds": {"lam": []}}, "families.gds.lam: a choice needs at least one value"),
        ({"gds": {"lam": [1, 1.0]}}, "families.gds.lam: a choice's values must differ, got 1.0 twice"),
        ({"gds": {"lam": "1e-3"}}, f"families.gds.lam must be a number (>= 0), {FORMS}, got '1e-3'"),
        ({"gds": {"lam": "serach"}}, f"families.gds.lam must be a number (>= 0), {FORMS}, got 'serach' (did you mean 'search'?)"),
        ({"gds": {"lam": True}}, f"families.gds.lam must be a number (>= 0), {FORMS}, got True"),
        ({"gds": {"lam": None}}, f"families.gds.lam must be a number (>= 0), {FORMS}, got None"),
        ({"gds": {"lam": {"low": 1}}}, "families.gds.lam.high is missing; a range needs low and high"),
        ({"gds": {"lam": [0.5, "grid"]}}, "families.gds.lam must be a number (>= 0), got 'grid'"),
        ({"gds": {"lam": {"low": "0.1", "high": 1}}}, "families.gds.lam.low must be a number (>= 0), got '0.1'"),
        ({"gds": {"lam": {"low": -1, "high": 1}}}, "families.gds.lam.low must be >= 0, got -1"),
        ({"gds": {"lam": {"low": 2, "high": 1}}}, "families.gds.lam: a range needs finite low < high, got low=2.0, high=1.0"),
        (
            {"gds": {"lam": {"low": 0, "high": 1, "step": 0.1}}},
            "families.gds.lam.step is not a known part of a range or a schedule; known: low, high, scale, integer, schedule",
        ),
        (
            {"gds": {"lam": {"shedule": {}}}},
            "families.gds.lam.shedule is not a known part of a range or a schedule (did you mean 'schedule'?);"
            " known: low, high, scale, integer, schedule",
        ),
        (
            {"gds": {"lam": {"schedule": {"kind": "step"}, "low": 1}}},
            "families.gds.lam.low is not a known part of a schedule's entry; known: schedule",
        ),
        ({"gds": {"lam": {"low": 0, "high": 1, "scale": "log"}}}, "families.gds.lam: a range with scale log needs low > 0, got 0.0"),
        ({"gds": {"lam": {"low": 0, "high": 1, "scale": "ln"}}}, "families.gds.lam.scale must be one of linear, log, got 'ln'"),
        ({"gds": {"lam": {"low": 0, "high": 1, "integer": "yes"}}}, "families.gds.lam.integer must be true or false, got 'yes'"),
        (
            {"gds": {"hardest": "atached"}},
            "families.gds.hardest must be one of attached, detached or a list of them, got 'atached' (did you mean 'attached'?)",
        ),
        ({"gds": {"hardest": {"low": 0}}}, "families.gds.hardest must be one of attached, detached or a list of them, got {'low': 0}"),
        (beta(start=0), "families.gradient_decay.beta.schedule.start must be > 0, got 0"),
        (beta(end={"low": -1, "high": 1}), "families.gradient_decay.beta.schedule.end.low must be > 0, got -1"),
        (beta(length=0), "families.gradient_decay.beta.schedule.length must be in (0, 1], got 0"),
        (beta(length=[0.5, 1.5]), "families.gradient_decay.beta.schedule.length must be in (0, 1], got 1.5"),
        (
            beta(kind="cosin"),
            "families.gradient_decay.beta.schedule.kind must be one of constant, linear, cosine, inverse, step or a list of"
            " them, got 'cosin' (did you mean 'cosine'?)",
        ),
        (
            {"sphere_face": {"lam": {"schedule": {"kind": ["linear", "inverse"], "start": 10, "end": [1, 0]}}}},
            "families.sphere_face.lam.schedule.end must be > 0 with kind inverse, got 0.0",
        ),
        (
            {"sphere_face": {"lam": {"schedule": {"kind": "inverse", "start": {"low": 0, "high": 10}, "end": 1}}}},
            "families.sphere_face.lam.schedule.start must be > 0 with kind inverse, got 0.0",
        ),
        (beta(kind="constant"), "families.gradient_decay.beta.schedule.end is never used: kind is always constant, got 1.0"),
        (
            beta(from_=1),
            "families.gradient_decay.beta.schedule.from_ is not a known part of a schedule; known: kind, start, end, length",
        ),
        (
            {"gradient_decay": {"beta": {"schedule": {"start": 1}}}},
            "families.gradient_decay.beta.schedule.kind is missing; it must be path, or one of constant, linear, cosine, inverse, step or"
            " a list of them",
        ),
        (
            {"gradient_decay": {"beta": {"schedule": "linear"}}},
            "families.gradient_decay.beta.schedule must be a mapping of names to values, got 'linear'",
        ),
    ],
)
def test_a_wrong_family_entry_is_refused_in_one_sentence(families, message):
    with pytest.raises(ValueError) as caught:
        joint_space(families)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("regularizers", "nuisance", "message"),
    [
        (
            {"sample_margin": {"wieght": 1}},
            {},
            "regularizers.sample_margin.wieght is not a known knob of sample_margin (did you mean 'weight'?); known: weight",
        ),
        ({"sample_margin": {"weight": -1}}, {}, "regularizers.sample_margin.weight must be >= 0, got -1"),
        ({"sample_margin": 0.5}, {}, "regularizers.sample_margin must be a mapping of names to values, got 0.5"),
        ({}, {"lr": "fast"}, 'nuisance.lr must be a number (> 0), "grid", "search", a list of numbers, a range (low, high), got \'fast\''),
        ({}, {"lr": 0}, "nuisance.lr must be > 0, got 0"),
        ({}, {"lr": {"low": 0, "high": 1}}, "nuisance.lr.low must be > 0, got 0"),
        (
            {},
            {"lr": {"schedule": {"kind": "cosine"}}},
            "nuisance.lr must be a number, a list, a range or a path, not another schedule, got {'schedule': {'kind': 'cosine'}}",
        ),
        ({}, {"weight_decay": -1e-4}, "nuisance.weight_decay must be >= 0, got -0.0001"),
        ({}, {"momentum": 0.9}, "nuisance.momentum is not a known nuisance value; known: lr, weight_decay"),
    ],
)
def test_a_wrong_regulariser_or_nuisance_entry_is_refused_in_one_sentence(regularizers, nuisance, message):
    with pytest.raises(ValueError) as caught:
        joint_space({"ce": None}, regularizers, nuisance)
    assert str(caught.value) == message


def test_an_unknown_family_or_regulariser_names_the_known_ones():
    with pytest.raises(ValueError) as caught:
        joint_space({"gdss": None})
    assert str(caught.value) == f"families.gdss is not a known loss family (did you mean 'gds'?); known: {', '.join(list_losses())}"
    with pytest.raises(ValueError) as caught:
        joint_space({"ce": None}, {"margin": None})
    assert str(caught.value).endswith(f"; known: {', '.join(list_regularizers())}")
    with pytest.raises(ValueError) as caught:
        joint_space({})
    assert str(caught.value) == f"families must name at least one loss family; known: {', '.join(list_losses())}"


def test_decoding_parts_a_configuration():
    config = {
        "family": "gradient_decay",
        "gradient_decay.beta.kind": "linear",
        "gradient_decay.beta.start": 0.001,
        "gradient_decay.beta.end": 0.01,
        "gradient_decay.beta.length": 0.5,
        "gradient_decay.tau": 1,
        "sample_margin.weight": 0.5,
        "lr": 0.1,
        "weight_decay": 0,
    }
    warm_up = Schedule("linear", 0.001, 0.01, 0.5)
    assert decode(config) == Parts(
        "gradient_decay", {"beta": warm_up, "tau": 1.0}, {"sample_margin": 0.5}, {"lr": 0.1, "weight_decay": 0.0}
    )


def test_a_constant_schedule_is_read_as_its_value():
    config = {"family": "gradient_decay", "gradient_decay.beta.kind": "constant", "gradient_decay.beta.start": 2.0}
    assert decode(config).knobs == {"beta": 2.0}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"family": "gds", "ce.label_smoothing": 0.1}, "ce.label_smoothing is no part of a configuration of the family gds, got 0.1"),
        ({"family": "gds", "momentum": 0.9}, "momentum is no part of a configuration of the family gds, got 0.9"),
        ({"family": "gds", "lr": "fast"}, "lr is no part of a configuration of the family gds, got 'fast'"),
        ({"family": "gds", "gds.lam.start": 0.1}, "gds.lam.start is a part of a schedule, but gds.lam.kind is missing"),
        (
            {"family": "gds", "gds.lam.kind": "step", "gds.lam.start": 0.1},
            "gds.lam.end is missing; a step schedule needs start, end, length",
        ),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(config, message):
    with pytest.raises(ValueError) as caught:
        decode(config)
    assert str(caught.value) == message


def test_a_configuration_without_a_family_is_refused():
    with pytest.raises(ValueError, match=r"^family is missing; a configuration names one of ce, "):
        decode({"lr": 0.1})


betas = st.floats(1e-3, 10.0)


@given(
    kinds=st.lists(st.sampled_from(SCHEDULE_KINDS), min_size=1, unique=True),
    start=st.lists(betas, min_size=1, max_size=3, unique=True),
    end=st.tuples(betas, betas).filter(lambda pair: pair[0] < pair[1]),
    seed=st.integers(0, 10),
    index=st.integers(0, 100),
)
def test_a_schedule_drawn_from_any_entry_stays_within_the_entry(kinds, start, end, seed, index):
    low, high = end
    entry = {"kind": kinds, "start": start}
    if set(kinds) != {"constant"}:
        entry |= {"end": {"low": low, "high": high}, "length": {"low": 0.1, "high": 1.0}}
    space = joint_space({"ce": None, "gradient_decay": {"beta": {"schedule": entry}}})
    drawn = decode(sobol(space, seed=seed, index=2 * index + 1)).knobs["beta"]
    if isinstance(drawn, Schedule):
        assert drawn.kind in kinds and drawn.start in start
        assert low <= drawn.end <= high and 0.1 <= drawn.length <= 1.0
    else:
        assert "constant" in kinds and drawn in start
