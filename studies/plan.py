"""From a study file to trials: which cells, in which stage, with which seeds.

Everything here is a pure function of the study file and of what earlier stages found, so the preview is a plan that is not run,
a resumed study lays out the same trials again, and the report knows what each trial was for. Running them is left to
`studies.running`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

from margin_core.data import DatasetConfig
from margin_core.knobs import Knob
from margin_core.losses import get_family
from margin_core.training import Cell
from search_spaces import Config, decode, grid, sample_random, sobol
from studies.plain_yaml import StudyFileError
from studies.screen_section import ScreenSection
from studies.sections import ConfirmSection
from studies.spec import StudySpec

Stage = Literal["screen", "confirm", "zoom", "test"]
STAGES: tuple[Stage, ...] = ("screen", "confirm", "zoom", "test")

# How many points are looked at for each member of a population, so that there are enough of every family.
_DRAWS = 10

# Each stage numbers its replicates from a place of its own, so that no seed measures what it helped to choose.
FIRST_REPLICATE: Mapping[Stage, int] = {"confirm": 0, "screen": 1000, "zoom": 2000, "test": 3000}


@dataclass(frozen=True)
class Segment:
    """The part of a trial that is run at a time, where a screen goes by generations.

    Attributes:
        start: The epoch after which it begins.
        end: The epoch after which it pauses, or ends.
        origin: Id of the cell whose trial of the same replicate left a checkpoint after ``start``: its own, or one whose training up to
            there is the same. Without that checkpoint the trial is trained from its beginning, which leads to the same.
    """

    start: int
    end: int
    origin: str


@dataclass(frozen=True)
class PlannedTrial:
    """One replicate that a stage asks for, or a segment of it."""

    stage: Stage
    cell: Cell
    config: Config
    replicate: int
    segment: Segment | None = None

    @property
    def key(self) -> str:
        """The trial's name: unique within a study, and the same whenever it is planned."""
        return f"{self.stage}-{self.cell.cell_id}-{self.replicate}"

    @property
    def dataset(self) -> str:
        """What the study calls the trial's dataset."""
        return self.cell.dataset.key

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it travels to a worker."""
        plain = {"stage": self.stage, "cell": self.cell.to_dict(), "config": self.config, "replicate": self.replicate}
        return plain | ({} if self.segment is None else {"segment": asdict(self.segment)})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlannedTrial:
        """The trial that `to_dict` described."""
        segment = Segment(**data["segment"]) if "segment" in data else None
        return cls(data["stage"], Cell.from_dict(data["cell"]), dict(data["config"]), int(data["replicate"]), segment)


@dataclass(frozen=True)
class ScreenResult:
    """What the screen found of one configuration on one dataset.

    Attributes:
        dataset: What the study calls the dataset.
        config: The configuration.
        value: Mean of the metric over the replicates that ran to their end, or, where there is none, over those that were stopped early;
            None where none ended well.
        seeds: How many replicates ran to their end. A configuration with fewer of them ranks behind all that have more.
    """

    dataset: str
    config: Config
    value: float | None
    seeds: int = 1

    @property
    def family(self) -> str:
        """The configuration's family."""
        return str(self.config["family"])


@dataclass(frozen=True)
class Arm:
    """A cell that a stage after the screen measures, and what for.

    Attributes:
        dataset: What the study calls the dataset.
        family: The loss family.
        value: The value of the family's first knob; None for the ``ce`` arm, where that knob is a schedule, and in the test stage.
        nominee: Whether an earlier stage chose this cell, before the seeds that now measure it.
        config: The configuration.
        cell: The cell.
        pair: The values of both knobs, of a cell that is on a surface and on no curve.
    """

    dataset: str
    family: str
    value: float | None
    nominee: bool
    config: Config
    cell: Cell
    pair: tuple[float, float] | None = None


def build_cell(spec: StudySpec, dataset: DatasetConfig, config: Config) -> Cell:
    """The cell that ``config`` names on ``dataset``."""
    parts = decode(config)
    decay = parts.nuisance.get("weight_decay", 0.0)
    assert isinstance(decay, float)  # the learning rate alone may follow a path
    return Cell(
        dataset=dataset,
        model=spec.model.name,
        family=parts.family,
        knobs=dict(parts.knobs),
        regularizers=dict(parts.regularizers),
        recipe=spec.recipe.recipe(lr=parts.nuisance.get("lr", 0.1), weight_decay=decay),
        weights=spec.model.weights,
        backbone=spec.model.backbone,
    )


def one_of_each(spec: StudySpec) -> dict[str, Config]:
    """A configuration of each family."""
    space = spec.space()
    configs = [sobol(space, seed=spec.seed, index=index) for index in range(len(spec.families))]  # families take turns
    return {str(config["family"]): config for config in configs}


def screen_configs(spec: StudySpec) -> Iterator[Config]:
    """The screen's configurations, the same for every dataset (grid, Sobol and random searchers)."""
    screen = _screen(spec)
    space = spec.space()
    if screen.searcher == "grid":
        yield from grid(space)
        return
    yield from _drawn(spec, screen.trials or 0)


def _drawn(spec: StudySpec, count: int) -> Iterator[Config]:
    space, draw = spec.space(), sobol if _screen(spec).searcher == "sobol" else sample_random
    return (draw(space, seed=spec.seed, index=index) for index in range(count))


def first_members(spec: StudySpec) -> dict[str, list[Config]]:
    """The configurations that each family's population begins with, on every dataset: as many as are asked for, or as there are."""
    pbt, dataset = _screen(spec).pbt, spec.datasets[0].config()
    assert pbt is not None
    members: dict[str, dict[str, Config]] = {family: {} for family in spec.families}
    for config in _drawn(spec, _DRAWS * pbt.population * len(members)):
        mine = members[str(config["family"])]
        if len(mine) < pbt.population:
            mine.setdefault(build_cell(spec, dataset, config).cell_id, config)
        elif all(len(some) == pbt.population for some in members.values()):
            break
    return {family: list(some.values()) for family, some in members.items()}


def screen_trials(spec: StudySpec) -> list[PlannedTrial]:
    """Every trial of a screen that does not learn from its own results, each once."""
    planned: dict[str, PlannedTrial] = {}
    for config in screen_configs(spec):
        for entry in spec.datasets:
            for trial in screen_replicates(spec, entry.config(), config):
                planned.setdefault(trial.key, trial)
    return list(planned.values())


def screen_replicates(spec: StudySpec, dataset: DatasetConfig, config: Config) -> list[PlannedTrial]:
    """The trials of one screened configuration on one dataset."""
    cell = build_cell(spec, dataset, config)
    return [PlannedTrial("screen", cell, config, FIRST_REPLICATE["screen"] + seed) for seed in range(_screen(spec).seeds)]


def race_rounds(cells: int, screen: ScreenSection) -> list[tuple[int, int, int]]:
    """The rounds of a race of ``cells``: how many cells each has, and with how many seeds it begins and ends.

    Example:
        >>> race_rounds(6, ScreenSection(searcher="grid", seeds=5, racing={"first": 1, "keep": 0.5}))
        [(6, 0, 1), (3, 1, 2), (2, 2, 4), (1, 4, 5)]
    """
    assert screen.racing is not None
    rounds = [(cells, 0, screen.racing.first)]
    while rounds[-1][2] < screen.seeds:
        before, _, seeds = rounds[-1]
        rounds.append((max(1, math.ceil(before * screen.racing.keep)), seeds, min(2 * seeds, screen.seeds)))
    return rounds


def leading_families(spec: StudySpec, results: Sequence[ScreenResult]) -> list[str]:
    """The families to confirm: those named, or the best by their mean rank over datasets in the screen (``ce`` apart)."""
    confirm = _confirm(spec)
    candidates = [family for family in spec.families if family != "ce"]
    if isinstance(confirm.families, list):
        return [family for family in confirm.families if family != "ce"]
    if spec.screen is None:
        return candidates[: confirm.families]
    ranks: dict[str, list[int]] = {family: [] for family in candidates}
    maximize = spec.maximize
    for entry in spec.datasets:
        best = {family: _best(spec, results, entry.config().key, family) for family in candidates}
        order = sorted((family for family in candidates if best[family]), key=lambda family: _badness(maximize, best[family]))
        for family in candidates:
            ranks[family].append(order.index(family) if family in order else len(candidates))
    tried = [family for family in candidates if any(rank < len(candidates) for rank in ranks[family])]
    return sorted(tried, key=lambda family: (sum(ranks[family]), candidates.index(family)))[: confirm.families]


def confirm_arms(spec: StudySpec, results: Sequence[ScreenResult] = ()) -> list[Arm]:
    """The cells of the confirm stage: for each dataset the ``ce`` arm, and each leading family's curve with the screen's choice.

    A family's other knobs and the nuisance values are those of its best configuration in the screen of that dataset; with ``tuned: value``
    each value of its curve has those of the best configuration with that value.
    """
    families = leading_families(spec, results)
    arms = []
    for entry in spec.datasets:
        dataset = entry.config()
        for family in ["ce", *families]:
            base = _base(spec, results, dataset.key, family)
            if base is not None:
                arms += _family_arms(spec, dataset, family, base, _tuned_values(spec, results, dataset.key, family))
    return arms


def surface_arms(spec: StudySpec, results: Sequence[ScreenResult] = ()) -> list[Arm]:
    """The cells of every surface on each dataset, pair by pair; the other values are those of the family's best screened configuration."""
    arms = []
    for entry in spec.datasets:
        dataset = entry.config()
        for family, values_of in _confirm(spec).surfaces.items():
            base = _base(spec, results, dataset.key, family, free=tuple(values_of))
            names = [f"{family}.{knob}" for knob in values_of]
            rest = _without(base or {}, names)
            first, second = map(sorted, values_of.values())
            for one, other in product(first, second) if base is not None else ():
                config = {**rest, names[0]: float(one), names[1]: float(other)}
                arms.append(Arm(dataset.key, family, None, False, config, build_cell(spec, dataset, config), (float(one), float(other))))
    return arms


def confirmed_arms(spec: StudySpec, results: Sequence[ScreenResult] = ()) -> list[Arm]:
    """Every cell of the confirm stage, each once: those of curves, and those that are on a surface alone."""
    return with_pairs(confirm_arms(spec, results), surface_arms(spec, results))


def with_pairs(curves: Sequence[Arm], pairs: Sequence[Arm]) -> list[Arm]:
    """The cells of curves, and those of surfaces that are on none."""
    there = {arm.cell.cell_id for arm in curves}
    return [*curves, *(arm for arm in pairs if arm.cell.cell_id not in there)]


def confirm_trials(spec: StudySpec, results: Sequence[ScreenResult] = ()) -> list[PlannedTrial]:
    """The trials of the confirm stage."""
    return arm_trials(spec, "confirm", confirmed_arms(spec, results))


def arm_trials(spec: StudySpec, stage: Stage, arms: Sequence[Arm]) -> list[PlannedTrial]:
    """The trials of a stage after the screen, seed by seed, so that a study cut short has whole paired blocks."""
    section = {"confirm": spec.confirm, "zoom": spec.zoom, "test": spec.test}[stage]
    seeds = range(section.seeds if section else 0)
    return [PlannedTrial(stage, arm.cell, arm.config, FIRST_REPLICATE[stage] + seed) for seed in seeds for arm in arms]


def response_knob(family: str) -> Knob | None:
    """The knob that a family's curve is drawn over: the first one it declares (none for ``ce``)."""
    knobs = get_family(family).knobs
    return knobs[0] if knobs and family != "ce" else None


def curve_values(spec: StudySpec, family: str) -> list[float]:
    """The values of a family's response curve: those the study names, or the papers' grid."""
    knob = response_knob(family)
    if knob is None:
        return []
    return sorted({float(value) for value in _confirm(spec).values.get(family, knob.grid)})


def curve_arm(spec: StudySpec, dataset: DatasetConfig, family: str, base: Config, value: float, *, nominee: bool) -> Arm:
    """The point of a family's curve at ``value``, all else being that of ``base``."""
    knob = response_knob(family)
    assert knob is not None
    name = f"{family}.{knob.name}"
    config = {**_without(base, [name]), name: value}
    return Arm(dataset.key, family, value, nominee, config, build_cell(spec, dataset, config))


def _family_arms(spec: StudySpec, dataset: DatasetConfig, family: str, base: Config, tuned: Mapping[float, Config]) -> list[Arm]:
    knob = response_knob(family)
    if knob is None:
        config = _plain(base) if family == "ce" else base
        return [Arm(dataset.key, family, None, False, config, build_cell(spec, dataset, config))]
    name = f"{family}.{knob.name}"
    screened = spec.screen is not None
    values = set(curve_values(spec, family))
    arms = []
    chosen = base[f"{name}.start"] if base.get(f"{name}.kind") == "constant" else base.get(name)
    if screened and isinstance(chosen, (int, float)):
        values.add(float(chosen))
    elif screened:
        arms.append(Arm(dataset.key, family, None, True, base, build_cell(spec, dataset, base)))
    # A value of which the screen lost every configuration takes what suits its family.
    return arms + [
        curve_arm(spec, dataset, family, tuned.get(value, base), value, nominee=screened and value == chosen) for value in sorted(values)
    ]


def _tuned_values(spec: StudySpec, results: Sequence[ScreenResult], dataset: str, family: str) -> dict[float, Config]:
    """The best configuration of each value of a family's curve, where each is to have its own."""
    knob = response_knob(family)
    if _confirm(spec).tuned == "family" or knob is None:
        return {}
    mine = [result for result in results if result.dataset == dataset and result.family == family]
    by_value: dict[float, list[ScreenResult]] = {}
    for result in mine:
        if isinstance(value := result.config.get(f"{family}.{knob.name}"), (int, float)):
            by_value.setdefault(float(value), []).append(result)
    best = {value: _best(spec, tried, dataset, family) for value, tried in by_value.items()}
    return {value: result.config for value, result in best.items() if result is not None}


def _without(config: Config, names: Sequence[str]) -> Config:
    """The configuration without some parameters, nor the parts of their schedules."""
    return {key: held for key, held in config.items() if not any(key == name or key.startswith(f"{name}.") for name in names)}


def _plain(config: Config) -> Config:
    """Cross-entropy and nothing else: what every gain is measured against, at its own best nuisance values."""
    # A schedule's parts have two dots but those of the learning rate, which is no part of the loss.
    kept = {name: value for name, value in config.items() if name.count(".") < 2}
    return {name: 0.0 if name == "ce.label_smoothing" or name.endswith(".weight") else value for name, value in kept.items()}


def _base(
    spec: StudySpec, results: Sequence[ScreenResult], dataset: str, family: str, free: tuple[str, ...] | None = None
) -> Config | None:
    """What a family's cells share; without a screen all but the ``free`` knobs, by default the curve's own."""
    if spec.screen is not None:
        best = _best(spec, results, dataset, family)
        if best is None and family == "ce":
            return _nuisance_alone(spec, results, dataset)
        return best.config if best else None
    # The curve's own knob, or the label smoothing that the ce arm is without.
    names = [f"{family}.{knob}" for knob in free or [knob.name for knob in get_family(family).knobs[:1]]]
    configs: list[Config] = []
    for config in grid(spec.space()):
        rest = _without(config, names)
        if config["family"] == family and rest not in configs:
            configs.append(rest)
    if len(configs) > 1:
        loose = sorted(key for key in configs[0] if any(config.get(key) != configs[0][key] for config in configs))
        raise StudyFileError(f"without a screen section, {family} needs one value for each of {', '.join(loose)}")
    return configs[0] if configs else None


def _nuisance_alone(spec: StudySpec, results: Sequence[ScreenResult], dataset: str) -> Config | None:
    """The ``ce`` arm where no ``ce`` trial of the screen ended well: it takes the nuisance values of the best configuration."""
    mine = [result for result in results if result.dataset == dataset and result.value is not None]
    maximize = spec.maximize
    best = min(mine, key=lambda result: _badness(maximize, result), default=None)
    nuisance = {name: value for name, value in (best.config if best else {}).items() if name.partition(".")[0] in ("lr", "weight_decay")}
    return {"family": "ce", **nuisance} if best else None


def _best(spec: StudySpec, results: Sequence[ScreenResult], dataset: str, family: str) -> ScreenResult | None:
    mine = [result for result in results if result.dataset == dataset and result.family == family and result.value is not None]
    maximize = spec.maximize  # looks its metric up: once, for there may be thousands of results
    return min(mine, key=lambda result: _badness(maximize, result), default=None)


def _badness(maximize: bool, result: ScreenResult | None) -> tuple[int, float]:
    if result is None or result.value is None or math.isnan(result.value):
        return 1, math.inf
    return -result.seeds, -result.value if maximize else result.value


def _screen(spec: StudySpec) -> ScreenSection:
    if spec.screen is None:
        raise ValueError(f"study {spec.name} has no screen stage")
    return spec.screen


def _confirm(spec: StudySpec) -> ConfirmSection:
    if spec.confirm is None:
        raise ValueError(f"study {spec.name} has no confirm stage")
    return spec.confirm
