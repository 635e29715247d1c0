"""A file of published claims: what a paper says of losses and their knobs, as data.

A claim has one of three forms: a value of a knob is the best one (``best``), a setting is better or worse than another (``beats`` or
``loses_to``), or the best value moves from one dataset to another (``moves_to``). Whether it holds is `studies.published.status`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from margin_core.losses import get_family, list_losses
from studies.plain_yaml import StudyFileError, first_fault, parse_yaml, read_text

Model = TypeVar("Model", bound=BaseModel)
Other = float | Literal["ce"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claim(_Section):
    """One claim of a paper.

    Attributes:
        says: The claim in a sentence.
        source: Paper, and where in it.
        dataset: The dataset that it is about, by its name in study files.
        dials: The dials that are turned on it, as in study files.
        metric: What is compared, without the split that it is measured on.
        conditions: What else held in the paper: ``model``, or another knob of the family. A study in which it is otherwise is told of.
        family: The loss family.
        knob: The knob that the claim is about; None where it is about the family as a whole.
        best: The value of the knob that is said to be best.
        value: The value that is said to be better or worse; without one, the setting that the study chose beforehand for the family.
        beats: What it is said to be better than: another value, or ``ce``.
        loses_to: What it is said to be worse than.
        moves_to: The dataset on which the best value is said to be another one.
        direction: Whether it is greater there (``up``) or less (``down``).
    """

    says: str
    source: str
    dataset: str
    dials: dict[str, Any] = Field(default_factory=dict)
    metric: str = "accuracy"
    conditions: dict[str, float | str] = Field(default_factory=dict)
    family: str
    knob: str | None = None
    best: float | None = None
    value: float | None = None
    beats: Other | None = None
    loses_to: Other | None = None
    moves_to: str | None = None
    direction: Literal["up", "down"] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Claim:
        given = [name for name in ("best", "beats", "loses_to", "moves_to") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a claim must have one of best, beats, loses_to and moves_to, got {', '.join(given) or 'none'}")
        if self.family not in list_losses():
            raise ValueError(f"no family is called {self.family!r}; there are {', '.join(list_losses())}")
        family = get_family(self.family)
        knobs = {knob.name for knob in family.knobs}
        if self.knob is not None and self.knob not in knobs:
            raise ValueError(f"{self.family} has no knob {self.knob!r}; it has {', '.join(sorted(knobs)) or 'none'}")
        if unknown := set(self.conditions) - knobs - {option.name for option in family.options} - {"model"}:
            raise ValueError(f"conditions: {min(unknown)!r} is neither model nor a knob or option of {self.family}")
        numbers = [number for number in (self.best, self.value, self.compared_with) if isinstance(number, float)]
        if self.knob is None and (numbers or self.moves_to is not None):
            raise ValueError("a claim about values needs the knob that they are of")
        if self.value is None and isinstance(self.compared_with, float):
            raise ValueError("a claim without a value is about the family as a whole, which is compared with ce")
        if self.direction is not None and self.moves_to is None:
            raise ValueError("direction goes with moves_to alone")
        if self.knob is not None:
            (knob,) = [knob for knob in family.knobs if knob.name == self.knob]
            for number in numbers:
                knob.check(number, self.family)
        return self

    @property
    def favours(self) -> float | None:
        """The value that it speaks for, as the best or as better than another; None where it speaks for none."""
        return self.best if self.best is not None else self.value if self.beats is not None else None

    @property
    def compared_with(self) -> Other | None:
        """The setting that it is held against; None in the forms that have none."""
        return self.beats if self.beats is not None else self.loses_to


class _File(_Section):
    """A whole file: claims, and what they have in common.

    Attributes:
        source: The paper.
        claims: The claims; the ``source`` of one says where in the paper it stands.
        common: Keys that each claim has unless it says otherwise.
    """

    source: str
    claims: list[dict[str, Any]] = Field(min_length=1)
    common: dict[str, Any] = Field(default_factory=dict)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a YAML file.

    Raises:
        StudyFileError: It cannot be read, or a key or value in it is not allowed.
    """
    return _claims(read_text(path), str(path))


def list_claims() -> list[str]:
    """The files of claims that ship with the package, one for each source paper."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _shipped().iterdir() if entry.name.endswith(".yaml"))


@cache
def shipped_claims() -> tuple[Claim, ...]:
    """The claims of the source papers."""
    return tuple(claim for name in list_claims() for claim in _claims((_shipped() / f"{name}.yaml").read_text(encoding="utf-8"), name))


def _claims(text: str, name: str) -> list[Claim]:
    data = parse_yaml(text)
    if not isinstance(data, Mapping):
        raise StudyFileError(f"{name}: a file of claims is a mapping with source and claims")
    file = _checked(_File, dict(data), name)
    claims = []
    for place, entry in enumerate(file.claims):
        where = f"{file.source}, {entry['source']}" if "source" in entry else file.source
        claims.append(_checked(Claim, {**file.common, **entry, "source": where}, f"{name}: claims.{place}"))
    return claims


def _checked(model: type[Model], data: Any, name: str) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise StudyFileError(f"{name}: {first_fault(error)}") from error


def _shipped() -> Any:
    return resources.files("studies") / "presets" / "claims"
