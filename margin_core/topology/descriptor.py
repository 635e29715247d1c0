"""What a descriptor of a dataset is: a number of its features and classes, with a name, a meaning and a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from margin_core.topology.sample import Sample

Role = Literal["primary", "exploratory"]


@dataclass(frozen=True)
class Estimate:
    """A descriptor's value and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Descriptor:
    """A number that tells datasets apart.

    Args:
        name: As in tables and files.
        title: As on pictures.
        role: ``primary`` for the four that were chosen before any study was looked at, ``exploratory`` for all others.
        meaning: What a larger value says, in one sentence.
        source: Where it is from.
        measure: The number, of a sample.
    """

    name: str
    title: str
    role: Role
    meaning: str
    source: str
    measure: Callable[[Sample], float]
