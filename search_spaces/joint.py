"""The joint, conditional space of a study: a loss family with its knobs and options, regularisers, and nuisance values.

`joint_space` compiles the plain data of a study file against the declarations beside each formula, and `decode` reads a
configuration back into the parts that a cell is made of. What may be written for one value is told in `search_spaces.entries`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from margin_core.knobs import Knob, Schedule, ScheduleKind
from margin_core.losses import Family, get_family, list_losses
from margin_core.regularizers import get_regularizer, list_regularizers
from search_spaces.entries import check_keys, is_path, knob_dimension, knob_parameters, mapping, option_dimension
from search_spaces.paths import read_jumps, read_path
from search_spaces.space import Choice, Condition, Dimension, Parameter, Range, Space, Value

NUISANCE = (
    Knob("lr", "lr", default=0.1, low=0.0, high=float("inf"), open_low=True, grid=(0.01, 0.03, 0.1, 0.3), search=(0.001, 1.0), scale="log"),
    Knob("weight_decay", "wd", default=0.0, low=0.0, high=float("inf"), grid=(0.0, 1e-4, 5e-4), search=(0.0, 1e-3)),
)
_NUISANCE = frozenset(knob.name for knob in NUISANCE)


@dataclass(frozen=True)
class Parts:
    """What a configuration says, by the parts of a cell.

    Attributes:
        family: The loss family's name.
        knobs: Its knobs (numbers or schedules) and options (names).
        regularizers: Weights by regulariser.
        nuisance: ``lr``, a number or a path, and ``weight_decay``, where the study gives them.
    """

    family: str
    knobs: dict[str, float | str | Schedule]
    regularizers: dict[str, float | Schedule]
    nuisance: dict[str, float | Schedule]


def joint_space(
    families: Mapping[str, Mapping[str, object] | None],
    regularizers: Mapping[str, Mapping[str, object] | None] | None = None,
    nuisance: Mapping[str, object] | None = None,
) -> Space:
    """Compile a study file's three sections to one space.

    A family's parameters are called ``<family>.<knob>`` and exist only where ``family`` is that family. A knob that is not named
    takes the papers' grid, an option that is not named its default, so that a configuration tells all of the family. A
    regulariser's ``<regulariser>.weight`` goes with every family. Nuisance values that are not named are left to the recipe.

    Args:
        families: For each family what its knobs and options may be; None or an empty mapping for the defaults.
        regularizers: For each regulariser what its ``weight`` may be.
        nuisance: What ``lr`` and ``weight_decay`` may be.

    Raises:
        ValueError: A name is unknown or an entry not allowed; one sentence with the full key, the value and what is allowed.

    Example:
        >>> space = joint_space({"ce": None, "gds": {"lam": [0.5, 1.0], "tau": 1.0}}, {}, {"lr": 0.1})
        >>> space.parameters[0]
        Parameter(name='family', dimension=Choice(values=('ce', 'gds')), when=None)
    """
    families = cast(Mapping[str, Mapping[str, object] | None], mapping("families", families))
    check_keys("families", "loss family", families, list_losses())
    if not families:
        raise ValueError(f"families must name at least one loss family; known: {', '.join(list_losses())}")
    parameters = [Parameter("family", Choice(tuple(families)))]
    for name, values in families.items():
        parameters += _family_parameters(get_family(name), mapping(f"families.{name}", values))
    named = mapping("regularizers", regularizers)
    check_keys("regularizers", "regulariser", named, list_regularizers())
    for name in list_regularizers():
        if name in named:
            parameters += _regularizer_parameters(name, mapping(f"regularizers.{name}", named[name]))
    return Space((*parameters, *_nuisance_parameters(mapping("nuisance", nuisance))))


def decode(config: Mapping[str, Value]) -> Parts:
    """Read a configuration; values are checked by the cell that they go into.

    A constant schedule is read as its start value, for the training is the same.

    Args:
        config: A configuration of a joint space.

    Raises:
        ValueError: ``family`` is missing, or a name belongs to no part.

    Example:
        >>> decode({"family": "gds", "gds.lam": 1.0, "gds.tau": 1.0, "lr": 0.1})
        Parts(family='gds', knobs={'lam': 1.0, 'tau': 1.0}, regularizers={}, nuisance={'lr': 0.1})
    """
    if "family" not in config:
        raise ValueError(f"family is missing; a configuration names one of {', '.join(list_losses())}")
    parts = Parts(str(config["family"]), {}, {}, {})
    for name, value in _gather_schedules(config).items():
        owner, _, knob = name.partition(".")
        if owner == parts.family and knob:
            parts.knobs[knob] = value
        elif owner in list_regularizers() and knob == "weight" and not isinstance(value, str):
            parts.regularizers[owner] = value
        elif name in _NUISANCE and not isinstance(value, str):
            parts.nuisance[name] = value
        elif name != "family":
            raise ValueError(f"{name} is no part of a configuration of the family {parts.family}, got {value!r}")
    return parts


def _family_parameters(family: Family, values: Mapping[str, object]) -> list[Parameter]:
    key, when = f"families.{family.name}", Condition("family", (family.name,))
    check_keys(
        key,
        f"knob or option of {family.name}",
        values,
        [*(knob.name for knob in family.knobs), *(option.name for option in family.options)],
    )
    parameters: list[Parameter] = []
    for knob in family.knobs:
        entry = values.get(knob.name, "grid")
        parameters += knob_parameters(f"{family.name}.{knob.name}", f"{key}.{knob.name}", knob, entry, when)
    for option in family.options:
        dimension = option_dimension(f"{key}.{option.name}", option, values.get(option.name, option.default))
        parameters.append(Parameter(f"{family.name}.{option.name}", dimension, when))
    _check_together(key, family, parameters)
    return parameters


def _check_together(key: str, family: Family, parameters: list[Parameter]) -> None:
    """Check what knobs must hold together, at the corners of what they may be; raises `ValueError` naming ``key``."""
    extremes: dict[str, set[float]] = {knob.name: set() for knob in family.knobs}
    for parameter in parameters:
        knob, _, part = parameter.name.removeprefix(f"{family.name}.").partition(".")
        if knob in extremes and part in ("", "start", "end", "then"):
            extremes[knob] |= _ends(parameter.dimension, jumps=part == "then")
    for corner in itertools.product(*extremes.values()):
        try:
            family.constraint(dict(zip(extremes, corner, strict=True)))
        except ValueError as error:
            raise ValueError(f"{key} has values that do not go together: {error}") from None


def _ends(dimension: Dimension, *, jumps: bool) -> set[float]:
    """The least and the greatest number of a dimension, or those that a path jumps to."""
    if jumps and isinstance(dimension, Choice):
        return {value for text in dimension.values for _, value in read_jumps(text)}
    if isinstance(dimension, Range):
        return {float(dimension.low), float(dimension.high)}
    numbers = [float(value) for value in dimension.values if not isinstance(value, str)]
    return {min(numbers), max(numbers)}


def _regularizer_parameters(name: str, values: Mapping[str, object]) -> list[Parameter]:
    key = f"regularizers.{name}"
    check_keys(key, f"knob of {name}", values, ("weight",))
    return knob_parameters(f"{name}.weight", f"{key}.weight", get_regularizer(name).weight, values.get("weight", "grid"), None)


def _nuisance_parameters(values: Mapping[str, object]) -> list[Parameter]:
    check_keys("nuisance", "nuisance value", values, [knob.name for knob in NUISANCE])
    parameters = []
    for knob in NUISANCE:
        if knob.name in values:
            entry = values[knob.name]
            key = f"nuisance.{knob.name}"
            if knob.name == "lr" and is_path(entry):
                parameters += knob_parameters(knob.name, key, knob, entry, None)
                continue
            if isinstance(entry, Mapping) and "schedule" in entry:
                forms = "a list, a range or a path, not another" if knob.name == "lr" else "a list or a range, not a"
                raise ValueError(f"{key} must be a number, {forms} schedule, got {entry!r}")
            parameters.append(Parameter(knob.name, knob_dimension(key, knob, entry)))
    return parameters


def _gather_schedules(config: Mapping[str, Value]) -> dict[str, float | str | Schedule]:
    """``gds.lam.kind``, ``gds.lam.start``, ... as one schedule called ``gds.lam``; other numbers as floats."""
    gathered: dict[str, float | str | Schedule] = {}
    for name, value in config.items():
        knob, _, part = name.rpartition(".")
        if "." not in knob and knob not in _NUISANCE:
            gathered[name] = value if isinstance(value, str) else float(value)
        elif part == "kind":
            gathered[knob] = _schedule(knob, config)
        elif f"{knob}.kind" not in config:
            raise ValueError(f"{name} is a part of a schedule, but {knob}.kind is missing")
    return gathered


def _schedule(knob: str, config: Mapping[str, Value]) -> float | Schedule:
    kind = cast(ScheduleKind, config[f"{knob}.kind"])
    parts = {"constant": ("start",), "path": ("start", "then")}.get(kind, ("start", "end", "length"))
    for part in parts:
        if f"{knob}.{part}" not in config:
            raise ValueError(f"{knob}.{part} is missing; a {kind} schedule needs {', '.join(parts)}")
    if kind == "path":
        return read_path(config, knob)
    start, *rest = (float(config[f"{knob}.{part}"]) for part in parts)
    return Schedule(kind, start, rest[0], rest[1]) if rest else start
