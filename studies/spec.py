"""The study file: what a study asks and how much it may spend, as typed, checked models.

A study file is plain YAML and is wholly checked here, before anything starts; every error names the key, the value and what is
allowed. The joint space itself is compiled by `search_spaces`; stages and trials are laid out by `studies.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from margin_core.data import (
    SOURCES,
    check_dials,
    dataset_info,
    list_datasets,
    number_of_classes,
)
from margin_core.losses import get_family
from margin_core.models import check_model
from margin_core.training import TASK_METRICS, check_frozen
from search_spaces import Space, grid, grid_size, joint_space, schedulable
from search_spaces.entries import did_you_mean
from studies.budget import BudgetSection, TrialBudgetSection
from studies.choosing import comparable, refuse_test_metric
from studies.failures import FailuresSection, PolicySection
from studies.plain_yaml import StudyFileError, apply_overrides, parse_yaml, read_text, with_value
from studies.screen_section import HalvingSection, MedianSection, PopulationSection, RacingSection, ScreenSection
from studies.sections import (
    STUDY_NAME,
    ConfirmSection,
    Dataset,
    DatasetEntry,
    FinalTestSection,
    ImbalanceSection,
    ManifoldSection,
    Model,
    ModelSection,
    NetworkSection,
    RecipeSection,
    RecordSection,
    ResourceSection,
    Section,
    ToleranceSection,
    ZoomSection,
)


class StudySpec(Section):
    """A whole study file."""

    name: str = Field(pattern=STUDY_NAME, max_length=80)
    description: str = ""
    seed: int = Field(0, ge=0)
    datasets: list[Dataset] = Field(min_length=1)
    model: Model
    families: dict[str, dict[str, Any] | None] = Field(min_length=1)
    regularizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    nuisance: dict[str, Any] = Field(default_factory=dict)
    recipe: RecipeSection
    record: RecordSection = RecordSection()
    describe: list[NetworkSection] = Field(default_factory=list)
    screen: ScreenSection | None = None
    confirm: ConfirmSection | None = None
    zoom: ZoomSection | None = None
    test: FinalTestSection | None = None
    metric: str = "val_accuracy"
    sesoi: float | None = Field(None, gt=0.0)
    alpha: float = Field(0.05, gt=0.0, lt=0.5)
    strict: bool = False
    runner: Literal["auto", "solo", "fused"] = "auto"
    resources: ResourceSection = ResourceSection()
    tolerance: ToleranceSection = ToleranceSection()
    failures: FailuresSection = FailuresSection()
    budget: BudgetSection = BudgetSection()

    @property
    def maximize(self) -> bool:
        """Whether more of the metric is better."""
        return self.comparable()[self.metric]

    @property
    def objectives(self) -> tuple[tuple[str, bool], ...]:
        """The metrics that the screen's searcher goes by, the study's own first, each with whether more of it is better."""
        known = self.comparable()
        return tuple((name, known[name]) for name in (self.metric, *(self.screen.trade_off if self.screen else ())))

    @property
    def smallest_effect(self) -> float:
        """The smallest effect of interest, in the metric's units (0.2 percentage points of accuracy by default)."""
        return 0.2 if self.sesoi is None else self.sesoi

    @property
    def unvalidated(self) -> list[str]:
        """The datasets of whose examples none validates, as the study calls them."""
        return [entry.config().key for entry in self.datasets if entry.validation == 0.0]

    def comparable(self) -> dict[str, bool]:
        """The metrics that the study could go by, and whether more of each is better."""
        tasks = [TASK_METRICS[dataset_info(entry.dataset).task] for entry in self.datasets]
        return comparable(self.record.record().names("val"), tasks, validated=not self.unvalidated)

    def space(self) -> Space:
        """The joint, conditional space of families, knobs, regularisers and nuisance values."""
        return joint_space(self.families, self.regularizers, self.nuisance)

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As plain data; the usual rule for ties is left out, so that a file that does not name it is recorded as it always was."""
        plain: dict[str, Any] = write(self)
        if not self.strict:
            plain.pop("strict", None)
        return plain

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
        if self.unvalidated and self.metric.startswith("val_"):
            raise ValueError(
                f"metric must be {', '.join(self.comparable())} where no example of a dataset validates, as of {self.unvalidated[0]}, "
                f"got {self.metric!r}"
            )
        if self.metric not in (metrics := self.comparable()):
            raise ValueError(f"metric must be one of {', '.join(metrics)}, got {self.metric!r}{did_you_mean(self.metric, metrics)}")
        if self.metric != "val_accuracy" and self.sesoi is None:
            raise ValueError(f"sesoi must be given with metric {self.metric}: only accuracy has a default (0.2 points)")
        for entry in self.datasets:
            check_dials(entry.config())
            check_model(self.model.name, dataset_info(entry.dataset, entry.size).in_shape, self.model.weights)
            _check_record(self.record, entry)
            self._check_describe(entry)
            if self.model.backbone == "frozen":
                check_frozen(entry.config(), self.recipe.recipe(lr=0.1, weight_decay=0.0))
        for family in self.families:
            self.recipe.recipe(lr=0.1, weight_decay=0.0).check_for(family, list(self.regularizers))
        if self.recipe.precision == "tf32" and self.resources.gpu == 0:
            raise ValueError("recipe.precision: tf32 is of GPUs only, but resources.gpu is 0")
        if self.recipe.processes > 1 and self.resources.gpu not in (0.0, 1.0):
            raise ValueError(f"resources.gpu must be 0 or 1 with recipe.processes {self.recipe.processes}, got {self.resources.gpu:g}")
        self._check_trade_off(metrics)
        if self.screen is not None and self.screen.warm_start == self.name:
            raise ValueError(f"screen.warm_start must be another study than this one, got {self.name!r}")
        space = self.space()
        if self.screen is None or self.screen.searcher == "grid":
            grid_size(space)
        self._check_population(space)
        self._check_confirm()
        return self

    def _check_describe(self, entry: DatasetEntry) -> None:
        if self.describe and entry.pretext is not None:
            raise ValueError(f"describe: what an image shows is not asked with a pretext, got {entry.config().key!r}")
        for place, network in enumerate(self.describe):
            if network in self.describe[:place]:
                raise ValueError(f"describe: {network.name!r} with weights {network.weights!r} is listed twice")
            check_model(network.name, dataset_info(entry.dataset, entry.size).in_shape, network.weights)

    def _check_trade_off(self, metrics: Mapping[str, bool]) -> None:
        others = [name for name in metrics if name != self.metric]
        named = self.screen.trade_off if self.screen else []
        for place, name in enumerate(named):
            refuse_test_metric(name)
            if name in named[:place]:
                raise ValueError(f"screen.trade_off: {name!r} is listed twice")
            if not others:
                raise ValueError(f"screen.trade_off must be left out where no example of a dataset validates, got {name!r}")
            if name not in others:
                raise ValueError(f"screen.trade_off must be of {', '.join(others)}, got {name!r}{did_you_mean(name, others)}")

    def _check_population(self, space: Space) -> None:
        pbt, epochs = self.screen.pbt if self.screen else None, self.recipe.epochs
        if pbt is None:
            return
        if pbt.interval >= epochs or epochs % pbt.interval:
            raise ValueError(f"screen.pbt.interval must be less than recipe.epochs ({epochs}) and divide it, got {pbt.interval}")
        if not schedulable(space):
            raise ValueError(
                "screen.pbt needs a knob, a weight or nuisance.lr with several values, for there is nothing that it could change"
            )
        if self.budget.trials is not None:
            raise ValueError(
                f"budget.trials does not go with screen.pbt, none of whose members may be missing, got {self.budget.trials}; "
                "budget.hours and budget.device_hours do"
            )

    def _check_confirm(self) -> None:
        if self.confirm is None:
            if later := next((name for name in ("zoom", "test") if getattr(self, name) is not None), None):
                raise ValueError(f"{later} needs a confirm section, whose answer it goes by")
            return
        if "ce" not in self.families:
            raise ValueError("families: ce must be among them, for confirm measures every gain against it")
        named = self.confirm.families if isinstance(self.confirm.families, list) else []
        for name in [*named, *self.confirm.values, *self.confirm.surfaces]:
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
        for name, values_of in self.confirm.surfaces.items():
            self._check_surface(name, values_of)
        if self.confirm.tuned == "value":
            self._check_tuned(named or [name for name in self.families if name != "ce"])

    def _check_surface(self, name: str, values_of: Mapping[str, list[float]]) -> None:
        """See that every pair of values of two knobs makes a cell."""
        key, family, there = f"confirm.surfaces.{name}", get_family(name), [knob.name for knob in get_family(name).knobs]
        if len(values_of) != 2 or len(there) < 2 or name == "ce":
            has = f"two of {', '.join(there)}" if len(there) > 1 and name != "ce" else "left out, for the family has no two knobs"
            raise ValueError(f"{key} must be {has}, got {', '.join(values_of) or 'none'}")
        for knob, values in values_of.items():
            if knob not in there:
                raise ValueError(f"{key}.{knob} is no knob of {name}{_suggestion(knob, there)}")
            if len(set(values)) < len(values):
                raise ValueError(f"{key}.{knob}: each value once, got {values!r}")
            for value in values:
                family.knob(knob).check(value, key)
        try:
            joint_space({name: {**(self.families[name] or {}), **values_of}})
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None

    def _check_tuned(self, confirmed: Iterable[str]) -> None:
        """See that the screen tries every value of the curves that are to have nuisance values of their own."""
        if self.screen is None or self.screen.searcher != "grid":
            raise ValueError("confirm.tuned: value needs a screen with searcher grid, which tries every value of a curve")
        configs = list(grid(self.space()))
        for family in confirmed:
            knob, chosen = get_family(family).knobs[0], self.confirm.values.get(family) if self.confirm else None
            screened = {config.get(f"{family}.{knob.name}") for config in configs if config["family"] == family}
            missing = [value for value in sorted(set(chosen or knob.grid)) if value not in screened]
            if missing and family != "ce":
                raise ValueError(f"confirm.tuned: value needs families.{family}.{knob.name} to list {missing[0]:g}, a value of the curve")


def _check_record(record: RecordSection, entry: DatasetEntry) -> None:
    there = number_of_classes(entry.config())
    try:
        if there is not None:  # what only its files tell, the trial checks
            record.record().check(there)
    except ValueError as error:
        raise ValueError(f"record, on {entry.config().key}: {error}") from None


def list_presets() -> list[str]:
    """Names of the studies that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _presets().iterdir() if entry.name.endswith(".yaml"))


def read_study(source: str, overrides: Iterable[str] = (), *, quick: bool = False) -> StudySpec:
    """Read a preset by name or a study file by path, with ``key=value`` overrides.

    Args:
        source: The name or the path.
        overrides: What is changed of it.
        quick: Whether to read its short form: what the file changes under ``quick`` is changed first, and the name ends in ``-quick``.

    Raises:
        StudyFileError: The file is missing, is not YAML, has a key or value that is not allowed, or has no short form.
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
    return study_from(apply_overrides(_form(source, parse_yaml(text), quick), overrides))


def _form(source: str, data: Any, quick: bool) -> Any:
    """A file's study without what it says of its short form, or that form."""
    if not isinstance(data, Mapping) or "quick" not in data:
        if quick:
            raise StudyFileError(f"{source} has no short form: it has no key quick")
        return data
    form = {key: value for key, value in data.items() if key != "quick"}
    if not isinstance(changes := data["quick"], Mapping) or not changes:
        raise StudyFileError(f"quick must be a mapping of dotted keys to values, got {changes!r}")
    if quick:
        form["name"] = f"{form.get('name')}-quick"
        for key, value in changes.items():
            form = with_value(form, str(key), value)
    return form


def study_from(data: object) -> StudySpec:
    """Check plain data as a study; raises `StudyFileError` with one sentence."""
    if not isinstance(data, Mapping):
        raise StudyFileError(f"a study file is a mapping of keys to values, got {type(data).__name__}")
    try:
        return StudySpec.model_validate(dict(data))
    except ValidationError as error:
        raise StudyFileError(_sentence(error)) from error


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
        "describe": NetworkSection,
        "recipe": RecipeSection,
        "record": RecordSection,
        "screen": ScreenSection,
        "asha": HalvingSection,
        "hyperband": HalvingSection,
        "median": MedianSection,
        "racing": RacingSection,
        "pbt": PopulationSection,
        "confirm": ConfirmSection,
        "zoom": ZoomSection,
        "test": FinalTestSection,
        "resources": ResourceSection,
        "tolerance": ToleranceSection,
        "failures": FailuresSection,
        "budget": BudgetSection,
        "trial": TrialBudgetSection,
        **dict.fromkeys(FailuresSection.model_fields, PolicySection),
    }
    for part in location:
        section = sections.get(part, section)
    return list(section.model_fields)


def _suggestion(word: str, known: Iterable[str]) -> str:
    known = list(known)
    return did_you_mean(word, known) or (f" (known: {', '.join(known)})" if known else "")


def _presets() -> Any:
    return resources.files("studies") / "presets"
