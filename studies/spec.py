"""The study file: what a study asks and how much it may spend, as typed, checked models.

A study file is plain YAML and is wholly checked here, before anything starts; every error names the key, the value and what is
allowed. The joint space itself is compiled by `search_spaces`; stages and trials are laid out by `studies.plan`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from margin_core.data import (
    SOURCES,
    Choice,
    DatasetConfig,
    Imbalance,
    ImbalanceKind,
    Manifold,
    ManifoldKind,
    Merge,
    check_dials,
    dataset_info,
    list_datasets,
    number_of_classes,
)
from margin_core.losses import get_family
from margin_core.models import check_model
from margin_core.training import TASK_METRICS, Backbone, Recipe, Record
from margin_core.training.recipe import Augment, LrSchedule, OptimizerName, Precision, Sharpness
from search_spaces import Space, grid_size, joint_space
from search_spaces.entries import did_you_mean
from studies.choosing import comparable, refuse_test_metric

Searcher = Literal["grid", "sobol", "random", "tpe"]


class StudyFileError(ValueError):
    """A study file or one of its values cannot be used; the message is one sentence."""


class _Section(BaseModel):
    # Strict: no "3" and no yes where a number is meant.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImbalanceSection(_Section):
    """Training classes of unequal size.

    Attributes:
        kind: ``long_tailed`` (sizes fall geometrically over the classes) or ``step`` (the second half of the classes is small).
        ratio: The size of the largest class over that of the smallest.
    """

    kind: ImbalanceKind
    ratio: float = Field(ge=1.0, allow_inf_nan=False)


class ManifoldSection(_Section):
    """What the pictures of the dataset ``manifold`` are drawn by.

    Attributes:
        kind: ``rigid`` (templates shifted and turned) or ``deformable`` (templates bent).
        dimension: The intrinsic dimension of each class: from 1 to 3 if rigid, to 12 if deformable.
        pixel_noise: Standard deviation of the noise on each pixel, in units of that of the pictures.
    """

    kind: ManifoldKind = "deformable"
    dimension: int = 3
    pixel_noise: float = Field(0.0, ge=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_such_a_dimension(self) -> ManifoldSection:
        self.manifold()
        return self

    def manifold(self) -> Manifold:
        """The same as `margin_core` reads it."""
        return Manifold(self.kind, self.dimension, self.pixel_noise)


class DatasetEntry(_Section):
    """A dataset, with the topology dials turned on it.

    Attributes:
        dataset: A name from ``margin-studies datasets``.
        label_noise: Share of the training labels that are wrong, in [0, 1).
        noise: ``symmetric`` (to any other class) or ``nearest`` (to the most similar class).
        label: What the study calls it; by default the name with its dials.
        imbalance: How unequal in size the training classes are.
        images_per_class: Training examples that each class keeps, or the largest one with an imbalance.
        classes: How many classes are kept.
        choose: Which ones: the ``first``, or those that are ``nearest`` to or ``farthest`` from each other.
        clutter: Share of every picture that patches of training pictures cover: 0, or from 1 to 15 sixteenths.
        deform: How strongly every picture is deformed, in [0, 1].
        merge: What the classes are merged into, before any other dial acts: ``superclasses`` or ``groups``.
        manifold: Of the dataset ``manifold``: what its pictures are drawn by.
        size: Pixels of the shorter side of photos; by default the dataset's own.
    """

    dataset: str
    label_noise: float = Field(0.0, ge=0.0, lt=1.0)
    noise: Literal["symmetric", "nearest"] = "symmetric"
    label: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    imbalance: ImbalanceSection | None = None
    images_per_class: int | None = Field(None, ge=1)
    classes: int | None = Field(None, ge=2)
    choose: Choice = "first"
    clutter: float = Field(0.0, ge=0.0, lt=1.0)
    deform: float = Field(0.0, ge=0.0, le=1.0)
    merge: Merge | None = None
    manifold: ManifoldSection | None = None
    size: int | None = Field(None, ge=1)

    def config(self) -> DatasetConfig:
        """The same as `margin_core` reads it."""
        imbalance = None if self.imbalance is None else Imbalance(self.imbalance.kind, self.imbalance.ratio)
        return DatasetConfig(
            self.dataset,
            label_noise=self.label_noise,
            noise=self.noise,
            label=self.label,
            imbalance=imbalance,
            images_per_class=self.images_per_class,
            classes=self.classes,
            choose=self.choose,
            clutter=self.clutter,
            deform=self.deform,
            merge=self.merge,
            manifold=None if self.manifold is None else self.manifold.manifold(),
            size=self.size,
        )


def _dataset_entry(entry: object) -> object:
    return {"dataset": entry} if isinstance(entry, str) else entry


class ModelSection(_Section):
    """The network.

    Attributes:
        name: A name from ``margin-studies models``.
        weights: What its backbone starts from: ``random``, ``pretrained``, or the name of a file of the data root's folder ``weights``.
        backbone: ``trained``, or ``frozen``: then the head alone is trained, on features that are computed once.
    """

    name: str
    weights: str = "random"
    backbone: Backbone = "trained"

    @model_validator(mode="after")
    def _a_frozen_backbone_has_learnt_something(self) -> ModelSection:
        if self.backbone == "frozen" and self.weights == "random":
            raise ValueError("a frozen backbone needs weights, pretrained or a file's name, for it never learns")
        return self

    @property
    def words(self) -> str:
        """What a report says of it."""
        weights = "" if self.weights == "random" else f", weights {self.weights}"
        return f"{self.name}{weights}{', frozen' if self.backbone == 'frozen' else ''}"


def _model_section(model: object) -> object:
    return {"name": model} if isinstance(model, str) else model


class RecipeSection(_Section):
    """How every trial is trained, but for the nuisance values."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(128, ge=1)
    optimizer: OptimizerName = "sgd"
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    lr_schedule: LrSchedule = "cosine"
    clip_norm: float | None = Field(5.0, gt=0.0)
    lr_steps: list[float] = Field(default_factory=list)
    lr_factor: float = 0.1
    warm_up: float = 0.0
    sharpness: Sharpness = "none"
    rho: float | None = None
    eta: float = 0.01
    ema: float | None = None
    mixup: float | None = None
    augment: Augment = "none"
    precision: Precision = "float32"
    accumulate: int = 1
    channels_last: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _is_a_recipe(self) -> RecipeSection:
        self.recipe(lr=0.1, weight_decay=0.0)
        return self

    def recipe(self, *, lr: float, weight_decay: float) -> Recipe:
        """The recipe of one cell."""
        return Recipe(**self.model_dump(), lr=lr, weight_decay=weight_decay)


class RecordSection(_Section):
    """What every trial measures beside the metrics of the validation split after each epoch; it changes no trial.

    Attributes:
        train: Measure the training split too.
        test: Measure the test split too, to repeat the figures of papers; no stage looks at it.
        top_k: Top-k accuracies.
        close_enough: Close-enough accuracies, at these distances in probability.
        first_steps: Measure after each of so many first steps too.
        every_steps: Measure after every so many steps too.
        scales: The logs of the network's scale and of those of ``two_scale``.
        confidence: The distribution of the training examples' own probabilities.
        samples: The own probabilities of so many training examples.
        class_counts: How many training examples each class has.
        examples: What the trained network makes of each test example.
    """

    train: bool = False
    test: bool = False
    top_k: list[Annotated[int, Field(ge=2)]] = Field(default_factory=list)
    close_enough: list[Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=list)
    first_steps: int = Field(0, ge=0)
    every_steps: int | None = Field(None, ge=1)
    scales: bool = False
    confidence: bool = False
    samples: int = Field(0, ge=0, le=100)
    class_counts: bool = False
    examples: bool = False

    @field_validator("top_k", "close_enough")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return values

    def record(self) -> Record:
        """The same as a trial reads it; ``examples`` are written when it is over."""
        return Record(**self.model_dump(exclude={"examples"}))


class AshaSection(_Section):
    """Asynchronous successive halving in the screen stage.

    Attributes:
        grace_epochs: Epochs that every trial gets.
        reduction: One in this many trials goes on at each rung.
    """

    grace_epochs: int = Field(1, ge=1)
    reduction: int = Field(3, ge=2)


class ScreenSection(_Section):
    """The search: few seeds, many cells.

    Attributes:
        searcher: ``grid``, ``sobol`` (quasi-random), ``random`` or ``tpe`` (Optuna's conditional TPE).
        trials: Configurations per dataset; the grid searcher takes its whole grid and needs none.
        seeds: Replicates of each configuration.
        asha: Early stopping, or none.
    """

    searcher: Searcher = "sobol"
    trials: int | None = Field(None, ge=1)
    seeds: int = Field(1, ge=1)
    asha: AshaSection | None = None

    @model_validator(mode="after")
    def _trials_fit_the_searcher(self) -> ScreenSection:
        if self.searcher != "grid" and self.trials is None:
            raise ValueError(f"trials must be given with searcher {self.searcher}")
        return self


class ConfirmSection(_Section):
    """Whole response curves of the leading families on fresh seeds.

    Attributes:
        families: How many leading families of the screen to confirm, or their names; ``ce`` always comes along.
        seeds: Replicates of each cell, paired across cells.
        values: Knob values of a family's curve; by default the papers' grid of its first knob.
    """

    families: int | list[str] = 3
    seeds: int = Field(5, ge=1)
    values: dict[str, Annotated[list[float], Field(min_length=1)]] = Field(default_factory=dict)

    @field_validator("families", mode="before")
    @classmethod
    def _a_number_or_names(cls, value: object) -> object:
        names = isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
        if not names and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"must be a whole number >= 1 or a list of families, got {value!r}")
        if isinstance(value, list) and (twice := [name for name in value if value.count(name) > 1]):
            raise ValueError(f"{twice[0]!r} is listed twice")
        return value


class ResourceSection(_Section):
    """What one trial takes; fractions share a processor or a GPU among trials."""

    cpu: float = Field(1.0, gt=0.0)
    gpu: float = Field(0.0, ge=0.0)


class ToleranceSection(_Section):
    """When failed trials stop a study.

    A trial fails when it raises or its process dies more often than `retries`; a diverged trial is a result and does not count.

    Attributes:
        failed_share: Greatest share of a stage's trials that may fail.
        consecutive: This many failures in a row, with no success between them, stop the study early: the code is broken.
        retries: How often a trial whose process died is started again, from its checkpoint.
    """

    failed_share: float = Field(0.1, ge=0.0, le=1.0)
    consecutive: int = Field(5, ge=1)
    retries: int = Field(2, ge=0)


class StudySpec(_Section):
    """A whole study file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)
    description: str = ""
    seed: int = Field(0, ge=0)
    datasets: list[Annotated[DatasetEntry, BeforeValidator(_dataset_entry)]] = Field(min_length=1)
    model: Annotated[ModelSection, BeforeValidator(_model_section)]
    families: dict[str, dict[str, Any] | None] = Field(min_length=1)
    regularizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    nuisance: dict[str, Any] = Field(default_factory=dict)
    recipe: RecipeSection
    record: RecordSection = RecordSection()
    screen: ScreenSection | None = None
    confirm: ConfirmSection | None = None
    metric: str = "val_accuracy"
    sesoi: float | None = Field(None, gt=0.0)
    alpha: float = Field(0.05, gt=0.0, lt=0.5)
    resources: ResourceSection = ResourceSection()
    tolerance: ToleranceSection = ToleranceSection()

    @property
    def maximize(self) -> bool:
        """Whether more of the metric is better."""
        return self._comparable()[self.metric]

    @property
    def smallest_effect(self) -> float:
        """The smallest effect of interest, in the metric's units (0.2 percentage points of accuracy by default)."""
        return 0.2 if self.sesoi is None else self.sesoi

    def _comparable(self) -> dict[str, bool]:
        tasks = [TASK_METRICS[dataset_info(entry.dataset).task] for entry in self.datasets]
        return comparable(self.record.record().names("val"), tasks)

    def space(self) -> Space:
        """The joint, conditional space of families, knobs, regularisers and nuisance values."""
        return joint_space(self.families, self.regularizers, self.nuisance)

    @field_validator("metric")
    @classmethod
    def _never_by_the_test_split(cls, value: str) -> str:
        refuse_test_metric(value)
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> StudySpec:
        known = list_datasets()
        for entry in self.datasets:
            if entry.dataset.partition(":")[0] not in SOURCES.names():
                raise ValueError(f"datasets: unknown dataset {entry.dataset!r}{_suggestion(entry.dataset, known)}")
        keys = [entry.config().key for entry in self.datasets]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"datasets: {sorted(twice)[0]!r} is listed twice; give one of them a label")
        if self.screen is None and self.confirm is None:
            raise ValueError("a study needs a screen or a confirm section")
        if self.metric not in (metrics := self._comparable()):
            raise ValueError(f"metric must be one of {', '.join(metrics)}, got {self.metric!r}{did_you_mean(self.metric, metrics)}")
        if self.metric != "val_accuracy" and self.sesoi is None:
            raise ValueError(f"sesoi must be given with metric {self.metric}: only accuracy has a default (0.2 points)")
        for entry in self.datasets:
            check_dials(entry.config())
            check_model(self.model.name, dataset_info(entry.dataset, entry.size).in_shape, self.model.weights)
            _check_record(self.record, entry)
        for family in self.families:
            self.recipe.recipe(lr=0.1, weight_decay=0.0).check_for(family, list(self.regularizers))
        if self.recipe.precision == "tf32" and self.resources.gpu == 0:
            raise ValueError("recipe.precision: tf32 is of GPUs only, but resources.gpu is 0")
        space = self.space()
        if self.screen is None or self.screen.searcher == "grid":
            grid_size(space)
        self._check_confirm()
        return self

    def _check_confirm(self) -> None:
        if self.confirm is None:
            return
        if "ce" not in self.families:
            raise ValueError("families: ce must be among them, for confirm measures every gain against it")
        named = self.confirm.families if isinstance(self.confirm.families, list) else []
        for name in [*named, *self.confirm.values]:
            if name not in self.families:
                raise ValueError(f"confirm: {name!r} is not among the study's families{_suggestion(name, self.families)}")
        for name, values in self.confirm.values.items():
            knobs = get_family(name).knobs
            if not knobs or name == "ce":
                raise ValueError(f"confirm.values.{name}: the family has no curve, got {values!r}")
            for value in values:
                knobs[0].check(value, f"confirm.values.{name}")
        for name, entries in self.families.items():
            knob = get_family(name).knobs[0]
            if curve := sorted(set(self.confirm.values.get(name, knob.grid))):
                try:
                    joint_space({name: {**(entries or {}), knob.name: curve}})
                except ValueError as error:
                    raise ValueError(f"confirm: on the curve of {knob.name}, {error}") from None


def _check_record(record: RecordSection, entry: DatasetEntry) -> None:
    there = number_of_classes(entry.config())
    try:
        if there is not None:  # what only its files tell, the trial checks
            record.record().check(there)
    except ValueError as error:
        raise ValueError(f"record, on {entry.config().key}: {error}") from None


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


def list_presets() -> list[str]:
    """Names of the studies that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _presets().iterdir() if entry.name.endswith(".yaml"))


def read_study(source: str, overrides: Iterable[str] = ()) -> StudySpec:
    """Read a preset by name or a study file by path, with ``key=value`` overrides.

    Raises:
        StudyFileError: The file is missing, is not YAML, or has a key or value that is not allowed.
    """
    path = Path(source)
    if source in list_presets():
        text = (_presets() / f"{source}.yaml").read_text()
    elif path.is_file():
        text = read_text(path)
    else:
        raise StudyFileError(
            f"no preset and no file is called {source!r}{_suggestion(source, list_presets())}; presets: {', '.join(list_presets())}"
        )
    return study_from(apply_overrides(parse_yaml(text), overrides))


def study_from(data: object) -> StudySpec:
    """Check plain data as a study; raises `StudyFileError` with one sentence."""
    if not isinstance(data, Mapping):
        raise StudyFileError(f"a study file is a mapping of keys to values, got {type(data).__name__}")
    try:
        return StudySpec.model_validate(dict(data))
    except ValidationError as error:
        raise StudyFileError(_sentence(error)) from error


def apply_overrides(data: Any, overrides: Iterable[str]) -> Any:
    """``data`` with each ``dotted.key=value`` set; a number in the key is a place in a list."""
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise StudyFileError(f"--set takes key=value, got {override!r}")
        data = _with(data, key.split("."), parse_yaml(text), key)
    return data


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


def _sentence(error: ValidationError) -> str:
    errors = error.errors()
    # A misspelt key is told before the missing one that it was meant to be.
    first = next((entry for entry in errors if entry["type"] == "extra_forbidden"), errors[0])
    location = [str(part) for part in first["loc"] if part not in ("int", "list[str]")]
    where = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}{_suggestion(location[-1], _keys_at(location[:-1]))}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing"
    message = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"].removeprefix("Input ")
    if first["type"] in ("dict_type", "model_type"):
        message = "must be a mapping of keys to values"
    got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
    return f"{where + ': ' if where else ''}{message}{got}"


def _keys_at(location: list[str]) -> list[str]:
    section: type[BaseModel] = StudySpec
    sections: dict[str, type[BaseModel]] = {
        "datasets": DatasetEntry,
        "imbalance": ImbalanceSection,
        "manifold": ManifoldSection,
        "model": ModelSection,
        "recipe": RecipeSection,
        "record": RecordSection,
        "screen": ScreenSection,
        "asha": AshaSection,
        "confirm": ConfirmSection,
        "resources": ResourceSection,
        "tolerance": ToleranceSection,
    }
    for part in location:
        section = sections.get(part, section)
    return list(section.model_fields)


def _suggestion(word: str, known: Iterable[str]) -> str:
    known = list(known)
    return did_you_mean(word, known) or (f" (known: {', '.join(known)})" if known else "")


def _presets() -> Any:
    return resources.files("studies") / "presets"


__all__ = [
    "StudyFileError",
    "StudySpec",
    "apply_overrides",
    "list_presets",
    "parse_yaml",
    "read_study",
    "read_text",
    "study_from",
]
