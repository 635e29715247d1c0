"""What a person may write for one value in a study file, compiled to parameters.

A knob's entry is a number (fixed), a list of numbers, a range (``low``, ``high``), ``"grid"`` (the papers' values), ``"search"``
(the declared range) or a schedule whose parts are such entries themselves. Bounds, grids and scales come from the knob's
declaration. Which knobs there are is left to `search_spaces.joint`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from margin_core.knobs import SCHEDULE_KINDS, Knob, Option, Schedule
from search_spaces.paths import write_jumps
from search_spaces.space import Choice, Condition, Dimension, Parameter, Range

LENGTH = Knob("length", "t", default=0.5, low=0.0, high=1.0, open_low=True, grid=(0.5,), search=(0.1, 1.0))
KIND = Option("kind", SCHEDULE_KINDS, default="linear")
FORMS = ', "grid", "search", a list of numbers, a range (low, high)'
RANGE_PARTS = ("low", "high", "scale", "integer")
CHANGING = tuple(kind for kind in SCHEDULE_KINDS if kind != "constant")


def knob_parameters(name: str, key: str, knob: Knob, entry: object, when: Condition | None) -> list[Parameter]:
    """The parameters of one knob: a single one, or those of its schedule.

    Args:
        name: What the configuration calls the knob, e.g. ``gds.lam``.
        key: Where the entry stands in the study file, for errors, e.g. ``families.gds.lam``.
        knob: The knob's declaration.
        entry: What the study file says.
        when: Where the knob exists (None: always).

    Raises:
        ValueError: The entry is not one that is allowed; the message names ``key``, the value and what is allowed.
    """
    if isinstance(entry, Mapping) and "schedule" in entry:
        check_keys(key, "part of a schedule's entry", entry, ("schedule",))
        return _schedule_parameters(name, f"{key}.schedule", knob, mapping(f"{key}.schedule", entry["schedule"]), when)
    if isinstance(entry, Mapping):
        check_keys(key, "part of a range or a schedule", entry, (*RANGE_PARTS, "schedule"))
    return [Parameter(name, knob_dimension(key, knob, entry, forms=f"{FORMS}, a schedule"), when)]


def knob_dimension(key: str, knob: Knob, entry: object, *, forms: str = FORMS) -> Dimension:
    """The values that ``entry`` gives a knob; raises `ValueError` naming ``key``, the value and what is allowed (``forms``)."""
    if isinstance(entry, Mapping):
        return _range(key, knob, entry)
    if isinstance(entry, (list, tuple)):
        return _choice(key, [_number(key, knob, value) for value in entry])
    if entry == "grid":
        return _choice(key, knob.grid or (knob.default,))
    if entry == "search":
        return _range(key, knob, {"low": knob.search[0], "high": knob.search[1]})
    return Choice((_number(key, knob, entry, forms),))


def option_dimension(key: str, option: Option, entry: object) -> Choice:
    """The values that ``entry``, a name or a list of names, gives an option; raises `ValueError` as `knob_dimension` does."""
    values = entry if isinstance(entry, (list, tuple)) else [entry]
    for value in values:
        if value not in option.choices:
            hint = did_you_mean(value, option.choices)
            raise ValueError(f"{key} must be one of {', '.join(option.choices)} or a list of them, got {value!r}{hint}")
    return _choice(key, [str(value) for value in values])


def is_path(entry: object) -> bool:
    """Whether an entry is a schedule of the kind ``path``."""
    schedule = entry.get("schedule") if isinstance(entry, Mapping) else None
    return isinstance(schedule, Mapping) and schedule.get("kind") == "path"


def mapping(key: str, entry: object) -> Mapping[str, object]:
    """``entry`` as a mapping (None: an empty one); raises `ValueError` naming ``key`` and the value."""
    if entry is None:
        return {}
    if not isinstance(entry, Mapping):
        raise ValueError(f"{key} must be a mapping of names to values, got {entry!r}")
    return entry


def check_keys(key: str, noun: str, entry: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise `ValueError` for the first key of ``entry`` that is not ``known``, naming those that are."""
    known = list(known)
    for name in entry:
        if name not in known:
            listed = f"known: {', '.join(known)}" if known else "there is none"
            raise ValueError(f"{key}.{name} is not a known {noun}{did_you_mean(name, known)}; {listed}")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`` (did you mean 'lam'?)`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _schedule_parameters(name: str, key: str, knob: Knob, entry: Mapping[str, object], when: Condition | None) -> list[Parameter]:
    if entry.get("kind") == "path":
        return _path_parameters(name, key, knob, entry, when)
    check_keys(key, "part of a schedule", entry, ("kind", "start", "end", "length"))
    if "kind" not in entry:
        raise ValueError(f"{key}.kind is missing; it must be path, or one of {', '.join(KIND.choices)} or a list of them")
    kind = option_dimension(f"{key}.kind", KIND, entry["kind"])
    parameters = [
        Parameter(f"{name}.kind", kind, when),
        Parameter(f"{name}.start", knob_dimension(f"{key}.start", knob, entry.get("start", "grid")), when),
    ]
    changing = Condition(f"{name}.kind", tuple(value for value in kind.values if value in CHANGING))
    if changing.values:
        end = knob_dimension(f"{key}.end", knob, entry.get("end", "grid"))
        for part, values in (("start", parameters[1].dimension), ("end", end)) if "inverse" in kind.values else ():
            if (lowest := values.low if isinstance(values, Range) else min(map(float, values.values))) <= 0.0:
                raise ValueError(f"{key}.{part} must be > 0 with kind inverse, got {lowest!r}")
        length = knob_dimension(f"{key}.length", LENGTH, entry.get("length", LENGTH.default))
        return [*parameters, Parameter(f"{name}.end", end, changing), Parameter(f"{name}.length", length, changing)]
    for part in ("end", "length"):
        if part in entry:
            raise ValueError(f"{key}.{part} is never used: kind is always constant, got {entry[part]!r}")
    return parameters


def _path_parameters(name: str, key: str, knob: Knob, entry: Mapping[str, object], when: Condition | None) -> list[Parameter]:
    """The parameters of a path, each of which has the one value that was written."""
    check_keys(key, "part of a path", entry, ("kind", "start", "then"))
    if missing := [part for part in ("start", "then") if part not in entry]:
        raise ValueError(f"{key}.{missing[0]} is missing; a path has a start and then pairs of a share of the training and a value")
    start = _number(f"{key}.start", knob, entry["start"])
    try:
        path = Schedule("path", start, then=entry["then"])  # type: ignore[arg-type]  # checked there
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    for value in path.values:
        _number(f"{key}.then", knob, value)
    parts: dict[str, float | str] = {"kind": "path", "start": start, "then": write_jumps(path.then)}
    return [Parameter(f"{name}.{part}", Choice((value,)), when) for part, value in parts.items()]


def _number(key: str, knob: Knob, value: object, forms: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = did_you_mean(value, ("grid", "search")) if forms else ""
        raise ValueError(f"{key} must be a number ({knob.allowed}){forms}, got {value!r}{hint}")
    try:
        return knob.check(value, key)
    except ValueError:
        raise ValueError(f"{key} must be {knob.allowed}, got {value!r}") from None


def _choice(key: str, values: Sequence[float | str]) -> Choice:
    try:
        return Choice(tuple(values))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _range(key: str, knob: Knob, entry: Mapping[str, object]) -> Range:
    check_keys(key, "part of a range", entry, RANGE_PARTS)
    for bound in ("low", "high"):
        if bound not in entry:
            raise ValueError(f"{key}.{bound} is missing; a range needs low and high")
    low, high = (_number(f"{key}.{bound}", knob, entry[bound]) for bound in ("low", "high"))
    integer = entry.get("integer", knob.integer)
    if not isinstance(integer, bool) or (knob.integer and not integer):
        raise ValueError(f"{key}.integer must be {'true' if knob.integer else 'true or false'}, got {integer!r}")
    scale = entry.get("scale", knob.scale)
    if scale != "linear" and scale != "log":
        raise ValueError(f"{key}.scale must be one of linear, log, got {scale!r}")
    try:
        return Range(low, high, scale, integer)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
