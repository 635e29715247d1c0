"""YAML as plain data: read with one clear sentence on what is wrong, and changed key by key from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pydantic import ValidationError


class StudyFileError(ValueError):
    """A study file or one of its values cannot be used; the message is one sentence."""


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-4`` is a number, as everywhere else, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
            seen.add(str(key.value))
        return dict(super().construct_mapping(node, deep))


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789"))


def parse_yaml(text: str) -> Any:
    """Plain data from YAML text; raises `StudyFileError` with the line of a syntax error."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise StudyFileError(f"not valid YAML{where}: {getattr(error, 'problem', None) or 'cannot be read'}") from error
    except (ValueError, RecursionError) as error:  # a date or a tagged value that is none; brackets without end
        raise StudyFileError(f"not valid YAML: {error}") from error


def read_text(path: Path) -> str:
    """The text of a file that a user named; raises `StudyFileError` where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path} cannot be read as text: {error}") from error


def first_fault(error: ValidationError) -> str:
    """The first of what is wrong with plain data: the key, and what is allowed there."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    return f"{where + ': ' if where else ''}{message}"


def apply_overrides(data: Any, overrides: Iterable[str]) -> Any:
    """``data`` with each ``dotted.key=value`` set; a number in the key is a place in a list."""
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise StudyFileError(f"--set takes key=value, got {override!r}")
        data = with_value(data, key, parse_yaml(text))
    return data


def with_value(data: Any, key: str, value: Any) -> Any:
    """``data`` with ``value`` at a dotted key, in which a number is a place in a list."""
    return _with(data, key.split("."), value, key)


def _with(data: Any, path: list[str], value: Any, key: str) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        if not step.isdigit() or int(step) >= len(data):
            raise StudyFileError(f"--set {key}: {step!r} is not a place in a list of {len(data)}")
        place = int(step)
        return [*data[:place], _with(data[place], rest, value, key), *data[place + 1 :]]
    if data is not None and not isinstance(data, Mapping):
        raise StudyFileError(f"--set {key}: there is a plain value above {step!r}")
    data = dict(data or {})
    return {**data, step: _with(data.get(step), rest, value, key)}
