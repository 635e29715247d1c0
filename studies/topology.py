"""What a study's datasets are like and whether its optima go with it, as plain records: descriptors, trends along dials, relations.

They are gathered by `studies.relating` and `studies.descriptors`; the report, the terminal and ``verdicts.json`` read them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from margin_core.knobs import Knob
from margin_core.topology import Estimate
from studies.analysis import RelationVerdict, TrendVerdict
from studies.dials import Dial

TOLD_APART = 2.0
"""Standard errors of a difference from which one network's word on two datasets counts."""


@dataclass(frozen=True)
class Optimum:
    """Where a family's curve on one dataset has its best point: ``low`` and ``high`` are the ends of its interval."""

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """A quarter of the interval."""
        return (self.high - self.low) / 4.0


@dataclass(frozen=True)
class Described:
    """What the study's datasets are like in the eyes of one network.

    Attributes:
        network: Its name and its weights, in words.
        examples: How many training examples of each dataset were looked at.
        classes: Of how many classes.
        datasets: For each dataset its descriptors by name.
        dimensions: For each dataset its intrinsic dimension by scale, as of `margin_core.topology.Fingerprint`; of none where that was
            not kept yet.
    """

    network: str
    examples: int
    classes: int
    datasets: Mapping[str, Mapping[str, Estimate]]
    dimensions: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        told = {
            dataset: {name: {"value": _number(each.value), "error": _number(each.error)} for name, each in estimates.items()}
            for dataset, estimates in self.datasets.items()
        }
        plain: dict[str, Any] = {"network": self.network, "examples": self.examples, "classes": self.classes, "datasets": told}
        if self.dimensions:
            plain["dimensions"] = {
                dataset: {str(scale): _number(value) for scale, value in curve.items()} for dataset, curve in self.dimensions.items()
            }
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Described:
        """What `to_dict` told."""
        datasets = {
            dataset: {name: Estimate(_float(each["value"]), _float(each["error"])) for name, each in estimates.items()}
            for dataset, estimates in data["datasets"].items()
        }
        dimensions = {
            dataset: {int(scale): _float(value) for scale, value in curve.items()} for dataset, curve in data.get("dimensions", {}).items()
        }
        return cls(str(data["network"]), int(data["examples"]), int(data["classes"]), datasets, dimensions)


@dataclass(frozen=True)
class Trend:
    """Whether a family's best knob value moves along a dial.

    Attributes:
        family: The family's name.
        knob: The knob's declaration.
        tried: The knob values of its curves, rising.
        dial: The dial.
        verdict: What the analysis says.
        optima: The optimum at each level; None where a curve has none.
    """

    family: str
    knob: Knob
    tried: tuple[float, ...]
    dial: Dial
    verdict: TrendVerdict
    optima: tuple[Optimum | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        dial = {"name": self.dial.name, "datasets": list(self.dial.datasets), "levels": list(self.dial.levels)}
        return {"family": self.family, "knob": self.knob.name, "dial": dial, **self.verdict.to_dict()}


@dataclass(frozen=True)
class Relation:
    """Whether a family's best knob value goes with what datasets are like in the eyes of one network; ``network`` is empty without any."""

    family: str
    knob: Knob
    network: str
    verdict: RelationVerdict

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"family": self.family, "knob": self.knob.name, "network": self.network, **self.verdict.to_dict()}


@dataclass(frozen=True)
class Topology:
    """Descriptors and optima of a study.

    Attributes:
        described: One per network.
        optima: For each family, for each dataset with a curve that has one, its optimum.
        trends: One per family and dial.
        relations: One per family and network.
        problem: Why the datasets could not be described, or empty.
    """

    described: tuple[Described, ...] = ()
    optima: Mapping[str, Mapping[str, Optimum]] | None = None
    trends: tuple[Trend, ...] = ()
    relations: tuple[Relation, ...] = ()
    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.described or self.trends or self.problem)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``verdicts.json`` holds under ``topology``."""
        return {
            **({"descriptors": [each.to_dict() for each in self.described]} if self.described else {}),
            **({"networks_disagree_on": list(disagreements(self.described))} if len(self.described) > 1 else {}),
            **({"not_described": self.problem} if self.problem else {}),
            **({"trends": [each.to_dict() for each in self.trends]} if self.trends else {}),
            **({"relations": [each.to_dict() for each in self.relations]} if self.relations else {}),
        }


def disagreements(described: Sequence[Described]) -> list[str]:
    """The descriptors by which two networks put two datasets in opposite orders, each by more than twice the standard error.

    Such a difference says something of the networks, and nothing of the datasets.
    """
    names = list(dict.fromkeys(name for each in described for estimates in each.datasets.values() for name in estimates))
    return [name for name in names if any(_opposed(one, other, name) for one, other in combinations(described, 2))]


def _opposed(one: Described, other: Described, name: str) -> bool:
    shared = [key for key in one.datasets if key in other.datasets]
    return any(_order(one, a, b, name) * _order(other, a, b, name) < 0 for a, b in combinations(shared, 2))


def _order(described: Described, first: str, second: str, name: str) -> int:
    a, b = (described.datasets[key].get(name) for key in (first, second))
    if a is None or b is None:
        return 0
    apart, error = a.value - b.value, TOLD_APART * math.hypot(a.error, b.error)
    return 0 if not abs(apart) > error else 1 if apart > 0.0 else -1


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
