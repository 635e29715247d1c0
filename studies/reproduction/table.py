"""A table of a paper as a file: the study that repeats it, what the paper's cells say, and what it claims by them.

The files lie beside the presets, one for each table or figure. Figures that a family's declaration reports already are not written down
again: a file names their row and column there. Running a table is left to `studies.reproduction.runs`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from margin_core.data import check_dataset
from margin_core.losses import get_family, list_losses
from margin_core.models import find_weights_of
from margin_core.papers import Reported
from margin_core.regularizers import get_regularizer
from studies.plain_yaml import StudyFileError, apply_overrides, first_fault, parse_yaml
from studies.plan import build_cell, screen_configs
from studies.reproduction.rule import Claimed
from studies.spec import StudySpec, study_from

Place = tuple[str, str]
Setting = float | str


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeclaredSection(_Section):
    """Where families and regularisers report the paper's table.

    Attributes:
        by: In whose declarations its parts are, in the order in which they are looked through.
        table: How its source ends: ``table 1``.
    """

    by: list[str] = Field(min_length=1)
    table: str

    def figure(self, place: Place) -> float:
        """The figure in the first of the declared parts that has its row and column; raises `ValueError` where none has."""
        for name in self.by:
            reported = self._reported(name)
            row = _after([name, *(row[0] for row in reported.rows)], place[0])
            column = _after(reported.columns, place[1])
            if row and column is not None:
                text = reported.rows[row - 1][column]
                if not re.fullmatch(r"[+-]?[0-9.]+°?", text):
                    raise ValueError(f"declared: {place!r} of {reported.source} is {text!r}, which is no figure")
                return float(text.removesuffix("°"))
        raise ValueError(f"declared: {self.table} of {', '.join(self.by)} has no {place!r}")

    def _reported(self, name: str) -> Reported:
        owner = get_family(name) if name in list_losses() else get_regularizer(name)
        for reported in owner.reported:
            if reported.source.endswith(self.table):
                return reported
        raise ValueError(f"declared: {name} reports no {self.table!r}")


class ArmSection(_Section):
    """A setting that is measured, with the paper's figures of it; one row of what is printed.

    Attributes:
        name: What the paper calls it.
        where: Values that its configuration has, and no other of the part: ``{family: cos_face, cos_face.s: 10}``.
        part: The part of the study that it is in, where there is more than one.
        dataset: What the study calls its dataset, where there is more than one.
        paper: The paper's figures by our metric's name.
        declared: For each metric the row and the column of the figure in the declared table; ``a / b`` is the first b after a, and a row
            may begin with who declares it: ``arc_face / s = 20``.
    """

    name: str
    where: dict[str, Setting]
    part: str = ""
    dataset: str | None = None
    paper: dict[str, float] = Field(default_factory=dict)
    declared: dict[str, Place] = Field(default_factory=dict)


class ClaimSection(_Section):
    """What the paper says of pairs of arms: that the first has more or less of each metric than the second.

    By default the paper's difference is that of its own figures of the two arms.

    Attributes:
        says: The claim in a sentence.
        metrics: The metrics that it is about; ``train_accuracy@1-20`` is the mean over what was measured after these steps.
        pairs: The arms; each pair and metric is one claim.
        difference: The paper's difference, where it prints no figures of the arms.
        declared: Where that difference stands in the declared table.
        direction: ``more`` or ``less``, where the paper gives no figure.
        within: How far apart the arms are at most, where the paper says that they are the same.
    """

    says: str
    metrics: list[str] = Field(min_length=1)
    pairs: list[tuple[str, str]] = Field(min_length=1)
    difference: float | None = None
    declared: Place | None = None
    direction: Literal["more", "less"] | None = None
    within: float | None = None


@dataclass(frozen=True)
class Claim:
    """One claim: of two arms, in one metric."""

    says: str
    metric: str
    of: str
    less: str
    claimed: Claimed


class Table(_Section):
    """A whole file.

    Attributes:
        name: The file's name.
        title: What is shown.
        source: Paper, and table or figure.
        runs: How many runs each figure of the paper is the mean of; 1 where it does not say.
        declared: Where its figures are declared already.
        uncertain: What the paper leaves open or our protocol does otherwise, in sentences.
        missing: What cannot be had or done yet; where there is any, the table is not run.
        study: A study file without its name; a grid screen, each of whose cells is an arm.
        parts: Top-level keys that differ between several studies of one table, by the part's name.
        quick: Changes that shorten it, as ``--set`` takes them.
        metrics: What is printed, in order.
        arms: The settings.
        claims: What the paper claims.
    """

    name: str
    title: str
    source: str
    runs: int = Field(1, ge=1)
    declared: DeclaredSection | None = None
    uncertain: list[str] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)
    study: dict[str, Any] | None = None
    parts: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], dict[str, Any]] = Field(default_factory=dict)
    quick: list[str] = Field(default_factory=list)
    metrics: list[str] = Field(min_length=1)
    arms: list[ArmSection] = Field(min_length=1)
    claims: list[ClaimSection] = Field(default_factory=list)

    @model_validator(mode="after")
    def _hangs_together(self) -> Table:
        if self.study is None and not self.missing:
            raise ValueError("a table without a study must say what is missing")
        names = [arm.name for arm in self.arms]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"arms: {twice[0]!r} is listed twice")
        for claim in self.claims:
            for name in (name for pair in claim.pairs for name in pair):
                if name not in names:
                    raise ValueError(f"claims: there is no arm {name!r}")
        self.all_claims()
        return self

    def figure(self, arm: str, metric: str) -> float | None:
        """The paper's figure of an arm; None where it prints none."""
        (section,) = [section for section in self.arms if section.name == arm]
        if metric in section.declared:
            return self._declared(section.declared[metric])
        return section.paper.get(metric)

    def all_claims(self) -> list[Claim]:
        """Each claim about two arms and one metric."""
        return [
            Claim(section.says, metric, of, less, self._claimed(section, metric, of, less))
            for section in self.claims
            for of, less in section.pairs
            for metric in section.metrics
        ]

    def _claimed(self, section: ClaimSection, metric: str, of: str, less: str) -> Claimed:
        if section.within is not None:
            return Claimed(within=section.within, runs=self.runs)
        if section.direction is not None:
            return Claimed(direction=1 if section.direction == "more" else -1, runs=self.runs)
        difference = self._declared(section.declared) if section.declared else section.difference
        if difference is None:
            first, second = self.figure(of, metric), self.figure(less, metric)
            if first is None or second is None:
                raise ValueError(f"claims: the paper prints no {metric} of both {of!r} and {less!r}; say difference, direction or within")
            difference = round(first - second, 6)
        return Claimed(difference=difference, runs=self.runs)

    def _declared(self, place: Place) -> float:
        if self.declared is None:
            raise ValueError(f"declared: {place!r} is a place in a table, but the file names none")
        return self.declared.figure(place)

    def specs(self, *, quick: bool = False, seeds: int | None = None, overrides: Sequence[str] = ()) -> dict[str, StudySpec]:
        """The studies that repeat the table, by part; the part of a table with one study is called by the empty name.

        Args:
            quick: Shortened, as the file says.
            seeds: Replicates of each arm; by default as the file says.
            overrides: What is changed of each study besides, as ``--set`` takes it; each choice of changes is a study of its own.

        Raises:
            StudyFileError: Where the table has no study, or one that is not allowed.
        """
        if self.study is None:
            raise StudyFileError(f"{self.name} has no study: it needs {'; '.join(self.missing)}")
        if any(override.partition("=")[0] == "name" for override in overrides):
            raise StudyFileError(f"{self.name} names its studies itself, so --set takes no name")
        called = f"{self.name}{'-quick' if quick else ''}{f'-seeds{seeds}' if seeds else ''}"
        if overrides:
            called += f"-set{hashlib.sha256(chr(0).join(sorted(overrides)).encode()).hexdigest()[:8]}"
        changed = [*(self.quick if quick else ()), *([f"screen.seeds={seeds}"] if seeds else ()), *overrides]
        specs = {}
        for part, changes in (self.parts or {"": {}}).items():
            data: Any = {
                "name": f"{called}.{part}" if part else called,
                "description": f"{self.title} ({self.source})",
                **self.study,
                **changes,
            }
            specs[part] = study_from(apply_overrides(data, changed))
        return specs

    def cells(self, specs: Mapping[str, StudySpec]) -> dict[str, tuple[str, str]]:
        """For each arm the part that it is in and the id of its cell.

        Raises:
            StudyFileError: Where an arm is no cell of its part, or may be several.
        """
        planned = {
            part: {
                build_cell(spec, entry.config(), config).cell_id: (entry.config().key, config)
                for config in screen_configs(spec)
                for entry in spec.datasets
            }
            for part, spec in specs.items()
        }
        found = {}
        for arm in self.arms:
            ids = {
                cell_id
                for cell_id, (dataset, config) in planned[arm.part].items()
                if arm.dataset in (None, dataset) and all(config.get(name) == value for name, value in arm.where.items())
            }
            if len(ids) != 1:
                raise StudyFileError(f"{self.name}: the arm {arm.name!r} must be one cell of its study, it is {len(ids)}")
            found[arm.name] = (arm.part, ids.pop())
        return found


def needs(table: Table, data_root: Path | None = None) -> str:
    """What a table needs that is not here, in words; empty where it can be run on this machine."""
    wanted = list(table.missing)
    specs = list(table.specs().values()) if table.study is not None else []
    for dataset in sorted({entry.dataset for spec in specs for entry in spec.datasets}):
        try:
            check_dataset(dataset, data_root)
        except (ValueError, OSError):
            wanted.append(f"the dataset {dataset}")
    networks = [(spec.model.name, spec.model.weights) for spec in specs]
    networks += [(network.name, network.weights) for spec in specs for network in spec.describe]
    for name, weights in dict.fromkeys(networks) if not wanted else ():  # a server may have to be asked
        try:
            find_weights_of(name, weights, data_root)
        except (ValueError, OSError):
            wanted.append(f"the weights {weights} of {name}")
    if any(spec.resources.gpu > 0 for spec in specs) and not _gpu():
        wanted.append("a GPU")
    return "; ".join(wanted)


def list_tables() -> list[str]:
    """The names of all tables."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _files().iterdir() if entry.name.endswith(".yaml"))


def read_table(name: str) -> Table:
    """The table of a name.

    Raises:
        StudyFileError: Where there is none, or its file has a key or value that is not allowed.
    """
    if name not in list_tables():
        raise StudyFileError(f"no table is called {name!r}; there are {', '.join(list_tables())}")
    return table_from({"name": name, **parse_yaml((_files() / f"{name}.yaml").read_text(encoding="utf-8"))})


def table_from(data: Mapping[str, Any]) -> Table:
    """Check plain data as a table; raises `StudyFileError` with one sentence."""
    try:
        return Table.model_validate(dict(data))
    except ValidationError as error:
        raise StudyFileError(f"{data.get('name', 'a table')}: {first_fault(error)}") from error


def _after(labels: Sequence[str], path: str) -> int | None:
    """The place of a label; of ``a / b`` the first b after a; None where there is none."""
    place = -1
    for label in path.split(" / "):
        if label not in labels[place + 1 :]:
            return None
        place = labels.index(label, place + 1)
    return place


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _files() -> Any:
    return resources.files("studies") / "presets" / "reproductions"
