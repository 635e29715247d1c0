"""A cell: all that defines a trial but its seeds, as a value that can be checked, written down and named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Literal, get_args

from margin_core.data import DatasetConfig, check_dials, dataset_info
from margin_core.knobs import Knob, Schedule, plain_number
from margin_core.losses import get_family
from margin_core.models import check_model
from margin_core.models.weights import RANDOM
from margin_core.regularizers import get_regularizer
from margin_core.training.recipe import Recipe

Setting = float | str | Schedule
Backbone = Literal["trained", "frozen"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)


def check_frozen(dataset: DatasetConfig, recipe: Recipe) -> None:
    """Raise `ValueError` where images of a dataset would change from step to step, which the features of a frozen backbone do not."""
    if recipe.augment != "none":
        raise ValueError(f"augment must be none with a frozen backbone, whose features are computed once, got {recipe.augment!r}")
    if dataset.pretext is not None:
        raise ValueError(
            f"{dataset.name}: pretext must be left out with a frozen backbone, whose features are those of images as they are, "
            f"got {dataset.pretext!r}"
        )


@dataclass(frozen=True)
class Cell:
    """Dataset, model, family, knob values and nuisance values.

    Args:
        dataset: Which dataset, and its dials.
        model: A model's name.
        family: A loss family's name.
        knobs: The family's knobs (numbers or schedules) and options (names); what is left out has its default.
        regularizers: The weight of each regulariser, a number or a schedule; what is left out has weight 0.
        recipe: How the network is trained.
        weights: What the backbone starts from: ``random`` weights, ``pretrained`` ones, or a file of the data root's folder ``weights``.
        backbone: ``trained``, or ``frozen``: then the head alone is trained, on the backbone's features.

    Example:
        >>> cell = Cell(DatasetConfig("digits"), "mlp-50-20", "gds", {"lam": 1.0}, {}, Recipe(epochs=20))
        >>> Cell.from_dict(cell.to_dict()) == cell
        True
    """

    dataset: DatasetConfig
    model: str
    family: str
    knobs: Mapping[str, Setting]
    regularizers: Mapping[str, float | Schedule]
    recipe: Recipe
    weights: str = RANDOM
    backbone: Backbone = "trained"

    @cached_property
    def cell_id(self) -> str:
        """A short name, fit for files, that equal cells share and that no order of keys changes: ``gds-0f3a99b21c``."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.family[:10]}-{hashlib.sha256(canonical.encode()).hexdigest()[:10]}"

    def check(self) -> None:
        """Check every name and value against the declarations, without loading or building anything.

        Raises:
            ValueError: Naming what is wrong, the value and what is allowed.
        """
        check_dials(self.dataset)
        check_model(self.model, dataset_info(self.dataset.name, self.dataset.size).in_shape, self.weights)
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {self.backbone!r}")
        if self.backbone == "frozen":
            check_frozen(self.dataset, self.recipe)
        family = get_family(self.family)
        self.recipe.check_for(self.family, [name for name, weight in self.regularizers.items() if weight != 0])
        options = [option.name for option in family.options]
        for name, setting in self.knobs.items():
            if isinstance(setting, Schedule) and name in options:
                raise ValueError(f"{family.name}: {name} is a named choice, it cannot follow a schedule")
            if isinstance(setting, Schedule):
                _check_schedule(family.knob(name), setting, family.name)
        # All together, and where some follow a schedule also along the way: a family may ask for more than bounds.
        schedules = [setting for setting in self.knobs.values() if isinstance(setting, Schedule)]
        jumps = {place for schedule in schedules for place, _ in schedule.then}
        for progress in {*jumps, *(percent / 100.0 for percent in range(101))} if schedules else {0.0}:
            family.check({name: _value(setting, progress) for name, setting in self.knobs.items()})
        for name, weight in self.regularizers.items():
            knob = get_regularizer(name).weight
            if isinstance(weight, Schedule):
                _check_schedule(knob, weight, name)
            else:
                knob.check(weight, name)

    def to_dict(self) -> dict[str, object]:
        """The same as plain JSON data; every number of a knob is a float, so that 1 and 1.0 are one cell.

        What came after the recipe is written only where it has not its default, so that no cell changes its name.
        """
        plain: dict[str, object] = {
            "dataset": self.dataset.to_dict(),
            "model": self.model,
            "family": self.family,
            "knobs": {name: _plain(setting) for name, setting in self.knobs.items()},
            "regularizers": {name: _plain(weight) for name, weight in self.regularizers.items()},
            "recipe": self.recipe.to_dict(),
        }
        later = {"weights": (self.weights, RANDOM), "backbone": (self.backbone, "trained")}
        return plain | {name: value for name, (value, default) in later.items() if value != default}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Cell:
        """The cell that `to_dict` wrote; raises `ValueError` on an unknown, missing or misshapen part."""
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        optional = [field.name for field in fields(cls) if field.name not in needed]
        if not set(needed) <= set(data) <= {*needed, *optional}:
            allowed = f"{', '.join(needed)}, and may be {', '.join(optional)}"
            raise ValueError(f"cell: its keys must be {allowed}, got {', '.join(sorted(data))}")
        weights: dict[str, float | Schedule] = {}
        for name, value in _part(data, "regularizers").items():
            weight = _setting(name, value)
            if isinstance(weight, str):
                raise ValueError(f"{name}: a weight must be a number or a schedule, got {weight!r}")
            weights[name] = weight
        return cls(
            dataset=DatasetConfig.from_dict(_part(data, "dataset")),
            model=str(data["model"]),
            family=str(data["family"]),
            knobs={name: _setting(name, value) for name, value in _part(data, "knobs").items()},
            regularizers=weights,
            recipe=Recipe.from_dict(_part(data, "recipe")),
            weights=str(data.get("weights", RANDOM)),
            backbone=data.get("backbone", "trained"),  # type: ignore[arg-type]  # checked by check
        )


def _check_schedule(knob: Knob, schedule: Schedule, owner: str) -> None:
    for value in schedule.values:
        knob.check(value, owner)
    if knob.integer and schedule.kind in ("linear", "cosine", "inverse"):
        raise ValueError(f"{owner}: {knob.name} takes whole numbers only, its schedule must be constant, step or path, got {schedule.kind}")


def _value(setting: Setting, progress: float) -> float | str:
    return setting.value(progress) if isinstance(setting, Schedule) else setting


def _plain(setting: Setting) -> str | float | dict[str, object]:
    if isinstance(setting, str):
        return setting
    return setting.to_dict() if isinstance(setting, Schedule) else plain_number(setting)


def _setting(name: str, value: object) -> Setting:
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, Mapping):
        try:
            return Schedule.from_dict(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    raise ValueError(f"{name} must be a number, a name or a schedule, got {value!r}")


def _part(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = data[key]
    if not isinstance(part, Mapping):
        raise ValueError(f"cell: {key} must be a mapping, got {part!r}")
    return part
