"""Paths in a configuration: a knob, a weight or the learning rate that jumps from value to value over training.

A configuration is flat, so a path is told by three of its entries: ``gds.lam.kind`` (``path``), ``gds.lam.start`` (the first value) and
``gds.lam.then``, a string of its jumps. What a path is, is told by `margin_core.knobs.Schedule`.
"""

from __future__ import annotations

from collections.abc import Mapping

from margin_core.knobs import Schedule
from search_spaces.space import Config, Value

Jumps = tuple[tuple[float, float], ...]


def write_jumps(jumps: Jumps) -> str:
    """Jumps as a configuration holds them, with every digit.

    Example:
        >>> write_jumps(((0.25, 1.5), (0.5, 1.2)))
        '0.25: 1.5, 0.5: 1.2'
    """
    return ", ".join(f"{place!r}: {value!r}" for place, value in jumps)


def read_jumps(text: object) -> Jumps:
    """The jumps that `write_jumps` wrote; raises `ValueError` where they are none.

    Example:
        >>> read_jumps("0.25: 1.5, 0.5: 1.2")
        ((0.25, 1.5), (0.5, 1.2))
    """
    try:
        pairs = [jump.split(": ") for jump in str(text).split(", ")]
        return tuple((float(place), float(value)) for place, value in pairs)
    except ValueError:
        raise ValueError(f"a path's jumps are written like '0.25: 1.5, 0.5: 1.2', got {text!r}") from None


def last_value(config: Mapping[str, Value], name: str) -> Value:
    """The value that a parameter has at the end of the training.

    Example:
        >>> last_value({"lr": 0.1}, "lr"), last_value({"lr.kind": "path", "lr.start": 0.1, "lr.then": "0.5: 0.2"}, "lr")
        (0.1, 0.2)
    """
    return config[name] if name in config else read_jumps(config[f"{name}.then"])[-1][1]


def extended(config: Mapping[str, Value], name: str, place: float, value: float) -> Config:
    """The configuration in which a parameter, a number or a path that ends before ``place``, jumps to ``value`` there.

    Example:
        >>> once = extended({"lr": 0.1, "seed": 1}, "lr", 0.25, 0.2)
        >>> extended(once, "lr", 0.5, 0.1)
        {'lr.kind': 'path', 'lr.start': 0.1, 'lr.then': '0.25: 0.2, 0.5: 0.1', 'seed': 1}
    """
    before = read_jumps(config[f"{name}.then"]) if f"{name}.then" in config else ()
    start = config[f"{name}.start"] if before else config[name]
    path = {f"{name}.kind": "path", f"{name}.start": start, f"{name}.then": write_jumps((*before, (place, value)))}
    longer: Config = {}
    for key, held in config.items():
        longer |= path if key in (name, f"{name}.kind") else {} if key in path else {key: held}
    return longer


def read_path(config: Mapping[str, Value], name: str) -> Schedule:
    """The path of a parameter, of which a configuration has all entries."""
    return Schedule("path", float(config[f"{name}.start"]), then=read_jumps(config[f"{name}.then"]))
