"""How much the stages of a study ask for, as far as that is known before it runs.

What the trials are is `studies.plan`'s; what they would take of time, `studies.estimate`'s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from search_spaces import grid_size, replaced
from studies.plan import Stage, confirmed_arms, curve_values, first_members, race_rounds, screen_configs
from studies.screen_section import ScreenSection
from studies.spec import StudySpec


@dataclass(frozen=True)
class StageSize:
    """How much a stage asks for, as far as it is known before it runs.

    Attributes:
        stage: The stage.
        cells: Its cells.
        trials: Its trials.
        at_most: Whether there may be fewer.
        trainings: How many whole trainings its trials come to: as many as trials, but where one trial goes on from another's checkpoint.
    """

    stage: Stage
    cells: int
    trials: int
    at_most: bool
    trainings: int


def stage_sizes(spec: StudySpec) -> list[StageSize]:
    """How many cells and trials each stage asks for; the confirm stage's are an upper bound until the screen has run.

    Raises:
        StudyFileError: There is no screen to choose a value that the study leaves open.
    """
    sizes = []
    if spec.screen is not None:
        sizes.append(_screen_size(spec, spec.screen))
    if spec.confirm is not None and spec.screen is None:
        arms = len(confirmed_arms(spec))
        sizes.append(_size("confirm", arms, spec.confirm.seeds, at_most=False))
    elif spec.confirm is not None:
        wanted = spec.confirm.families
        families = [family for family in spec.families if family != "ce"]
        curves = sorted((len(curve_values(spec, family)) + 1 for family in families), reverse=True)
        lengths = curves[:wanted] if isinstance(wanted, int) else [len(curve_values(spec, name)) + 1 for name in wanted if name != "ce"]
        pairs = sum(prod(map(len, values_of.values())) for values_of in spec.confirm.surfaces.values())
        cells = (1 + sum(lengths) + pairs) * len(spec.datasets)
        sizes.append(_size("confirm", cells, spec.confirm.seeds))
    if spec.zoom is not None:
        cells = (1 + spec.zoom.families * spec.zoom.points) * len(spec.datasets)
        sizes.append(_size("zoom", cells, spec.zoom.seeds))
    if spec.test is not None:
        cells = 2 * len(spec.datasets)
        sizes.append(_size("test", cells, spec.test.seeds))
    return sizes


def _size(stage: Stage, cells: int, seeds: int, *, at_most: bool = True) -> StageSize:
    return StageSize(stage, cells, cells * seeds, at_most, trainings=cells * seeds)


def _screen_size(spec: StudySpec, screen: ScreenSection) -> StageSize:
    datasets = len(spec.datasets)
    if screen.pbt is not None:
        sizes = [len(configs) for configs in first_members(spec).values()]
        later = len(screen.pbt.ends(spec.recipe.epochs)) - 1
        cells = datasets * sum(size + later * replaced(size, screen.pbt.exploit) for size in sizes)
        return StageSize("screen", cells, cells * screen.seeds, at_most=False, trainings=datasets * sum(sizes) * screen.seeds)
    cells = datasets * (grid_size(spec.space()) if screen.searcher == "grid" else screen.trials or 0)
    if screen.racing is None:
        return _size("screen", cells, screen.seeds, at_most=screen.searcher != "grid")
    trials = _trials_of_races(spec, screen)
    return StageSize("screen", cells, trials, at_most=screen.searcher != "grid", trainings=trials)


def _trials_of_races(spec: StudySpec, screen: ScreenSection) -> int:
    distinct = {tuple(sorted(config.items(), key=str)) for config in screen_configs(spec)}
    families = Counter(str(dict(config)["family"]) for config in distinct)
    rounds = [race for cells in families.values() for race in race_rounds(cells, screen)]
    return len(spec.datasets) * sum(cells * (seeds - before) for cells, before, seeds in rounds)
