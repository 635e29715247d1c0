"""What was run otherwise than a table's whole protocol, and whether it was less of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from margin_core.data import VALIDATION
from studies.spec import StudySpec

Protocol = Literal["whole", "shortened", "changed"]

# Keys of a study file that change nothing in what a trial is.
_NO_PROTOCOL = (
    *("name", "description", "seed", "record", "describe", "metric", "sesoi", "alpha", "strict"),
    *("runner", "resources", "tolerance", "failures", "budget"),
)
# What there can be less of; where the file says nothing it is all that there is.
_AMOUNTS = ("epochs", "images_per_class", "classes")


@dataclass(frozen=True)
class Change:
    """A key of the study file that was run otherwise.

    Attributes:
        words: How, as ``epochs 5 instead of 100``.
        less: Whether it is fewer epochs or examples.
    """

    words: str
    less: bool


def find_changes(ran: StudySpec, whole: StudySpec) -> list[Change]:
    """What of the protocol was run otherwise; the number of seeds is no part of it, nor is what trials measure beside their training.

    A key is called by its last part where that is enough, and by its whole path where the file has several of that name.
    """
    left, right = (_flat(spec.model_dump(mode="json", exclude=set(_NO_PROTOCOL))) for spec in (ran, whole))
    keys = {**left, **right}
    names = Counter(_last(key) for key in keys)
    return [
        _change(_last(key) if names[_last(key)] == 1 else key, left.get(key), right.get(key))
        for key in keys
        if left.get(key) != right.get(key) and key != "screen.seeds"
    ]


def protocol_of(changes: Collection[Change]) -> Protocol:
    """``shortened`` where there is less of something, ``changed`` where it is otherwise in nothing but other ways."""
    if not changes:
        return "whole"
    return "shortened" if any(change.less for change in changes) else "changed"


def _change(called: str, ran: object, whole: object) -> Change:
    amount = _last(called) in _AMOUNTS
    nothing = "all" if amount else "none"
    words = f"{called} {nothing if ran is None else ran} instead of {nothing if whole is None else whole}"
    fewer_train = _last(called) == "validation" and _share(ran) > _share(whole)
    return Change(words, less=fewer_train or (amount and _amount(ran) < _amount(whole)))


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) else VALIDATION


def _amount(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("inf")


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _flat(data: object, path: str = "") -> dict[str, object]:
    """Values by their path, such as ``recipe.epochs`` and ``datasets[1].images_per_class``; a list of plain values is one of them."""
    if isinstance(data, dict):
        return {key: value for name, part in data.items() for key, value in _flat(part, f"{path}.{name}" if path else str(name)).items()}
    if isinstance(data, list) and any(isinstance(item, dict) for item in data):
        return {key: value for place, item in enumerate(data) for key, value in _flat(item, f"{path}[{place}]").items()}
    return {path: data}
