"""Whether a study may go on with a changed study file.

A study goes on where all that was measured means the same under the new file, so that only what is missing has to be run. Any other
change would mix two studies in one ledger. Here are the differences and which of them forbid it; `studies.claim` records or refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from studies.difference import Difference
from studies.plain_yaml import StudyFileError
from studies.plan import build_cell, confirmed_arms, curve_values, screen_configs
from studies.spec import StudySpec

_SPACE = ("families", "regularizers", "nuisance")
_COUNTS = ("screen.trials", "screen.seeds", "confirm.seeds", "zoom.families", "zoom.seeds", "test.seeds")
_JUDGED_BY = (
    "description",
    "describe",
    "alpha",
    "sesoi",
    "strict",
    "tolerance",
    "failures",
    "budget",
    "runner",
)  # read anew whenever the study is judged or run
_RUN_BY = (
    "description",
    "describe",
    "tolerance",
    "failures",
    "budget",
    "resources",
    "runner",
)  # say nothing of what is measured or how it is judged
_LATER = ("confirm", "zoom", "test")
_SECTIONS = ("screen", *_LATER)


def differences(was: StudySpec, now: StudySpec) -> list[Difference]:
    """Every difference between two study files but their names, key by key."""
    before, after = _leaves(was), _leaves(now)
    keys = [*before, *(key for key in after if key not in before)]
    return [Difference(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)] + [*_orders(was, now)]


def hindrances(was: StudySpec, now: StudySpec) -> list[Difference]:
    """The differences for which a study of ``was`` cannot go on as ``now``: with them, measured cells would mean something else.

    Whatever is not known to be harmless hinders. More seeds, more values on a curve, more datasets and a longer screen only add trials;
    values or families more only do where the screen is a grid, or where there is none.
    """
    found = differences(was, now)
    space = not any(difference.key.partition(".")[0] in _SPACE for difference in found) or _space_grows(was, now)
    curves = _curves_grow(was, now)
    return [difference for difference in found if not _only_adds(difference, was, now, space=space, curves=curves)]


def extends(found: Iterable[Difference]) -> bool:
    """Whether some of the differences between two study files ask for more to be measured, or for another judgement of it."""
    return any(difference.key.partition(".")[0] not in _RUN_BY for difference in found)


def processor(spec: StudySpec) -> tuple[int, str]:
    """The threads and the device of a study's trials, on which the last digits of their numbers depend."""
    return max(1, int(spec.resources.cpu)), "cuda" if spec.resources.gpu > 0 else "cpu"


def _only_adds(difference: Difference, was: StudySpec, now: StudySpec, *, space: bool, curves: bool) -> bool:
    key, section = difference.key, difference.key.partition(".")[0]
    if section in _JUDGED_BY:
        return True
    if section == "resources":
        return processor(was) == processor(now)
    if section == "datasets":
        return difference.was is None
    if section in _SPACE:
        return space
    if section in _LATER and getattr(was, section) is None:
        return True
    if section in _SECTIONS and (getattr(was, section) is None or getattr(now, section) is None):
        return False
    if key == "screen.trials" and was.screen is not None and was.screen.searcher == "grid":
        return True
    if key == "screen.seeds" and was.screen is not None and was.screen.pbt is not None:
        return False  # members that were replaced might have been kept
    if key in _COUNTS:
        return difference.now is not None and (difference.was is None or difference.now > difference.was)
    if key == "confirm.families":
        return space and _families_grow(was, now)
    if key.startswith("confirm.surfaces"):
        return difference.was is None or (difference.now is not None and set(difference.was) <= set(difference.now))
    return key.startswith("confirm.values") and curves


def _space_grows(was: StudySpec, now: StudySpec) -> bool:
    """Whether every cell of the former space is asked for by the new one."""
    if was.screen is not None and was.screen.searcher != "grid":
        return was.space() == now.space()  # another space has other points, and an order of its own
    if (now.screen is None) != (was.screen is None) or (now.screen is not None and now.screen.searcher != "grid"):
        return False
    alike = {"datasets": was.datasets[:1], "model": was.model, "recipe": was.recipe}
    before, after = was.model_copy(update=alike), now.model_copy(update=alike)
    if was.screen is not None:
        return _grid_ids(before) <= _grid_ids(after)
    try:
        return _arm_ids(before) <= _arm_ids(after)
    except StudyFileError:  # without a screen the new file leaves a value open, which the preflight tells
        return False


def _grid_ids(spec: StudySpec) -> set[str]:
    return {build_cell(spec, spec.datasets[0].config(), config).cell_id for config in screen_configs(spec)}


def _arm_ids(spec: StudySpec) -> set[str]:
    return set() if spec.confirm is None else {arm.cell.cell_id for arm in confirmed_arms(spec)}


def _curves_grow(was: StudySpec, now: StudySpec) -> bool:
    if was.confirm is None or now.confirm is None:
        return now.confirm is not None
    shared = [family for family in was.families if family in now.families and family != "ce"]
    return all(set(curve_values(was, family)) <= set(curve_values(now, family)) for family in shared)


def _families_grow(was: StudySpec, now: StudySpec) -> bool:
    before = was.confirm.families if was.confirm else 0
    after = now.confirm.families if now.confirm else 0
    if isinstance(before, list) and isinstance(after, list):
        return set(before) <= set(after)
    return isinstance(before, int) and isinstance(after, int) and before <= after


def _leaves(spec: StudySpec) -> dict[str, Any]:
    data = spec.model_dump(mode="json", exclude={"name", "datasets", "families"}) | {"strict": spec.strict}
    datasets = {f"datasets.{entry.config().key}": entry.model_dump(mode="json", exclude_defaults=True) for entry in spec.datasets}
    families = {f"families.{name}": entries or {} for name, entries in spec.families.items()}
    return dict(_flat(data, "")) | datasets | families


def _flat(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _orders(was: StudySpec, now: StudySpec) -> Iterator[Difference]:
    """Sections whose names stand in another order, for the searchers take them in the file's."""
    for section in _SPACE:
        before, after = getattr(was, section), getattr(now, section)
        kept, again = [name for name in before if name in after], [name for name in after if name in before]
        if kept != again:
            yield Difference(section, kept, again)
