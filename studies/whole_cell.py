"""A cell with every key written out, for files that outlive the release that wrote them.

A cell's own plain form leaves out what has its default, so that no cell changes its name as keys are added. A file that is to train the
same when a default has changed needs every key; and to name the same cell until then, it says which ones the study had left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from margin_core.data import DatasetConfig, Manifold, dataset_info
from margin_core.losses import get_family
from margin_core.training import Cell, Recipe, Record


def every_key(part: Cell | DatasetConfig | Recipe | Record) -> dict[str, Any]:
    """Plain data with every field of ``part``, which its constructor or ``from_dict`` reads.

    Example:
        >>> every_key(Record(train=True))["top_k"], every_key(Recipe(epochs=3))["precision"]
        ([], 'float32')
    """
    written = part.to_dict()
    plain = {field.name: written.get(field.name, getattr(part, field.name)) for field in fields(part)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def whole_cell(cell: Cell) -> dict[str, Any]:
    """Plain data with every key of the cell, of its dataset and recipe, and every knob and option of its family.

    A regulariser that is not there has weight 0.
    """
    defaults, plain = _defaults(cell), every_key(cell)
    dataset = {name: value for name, value in every_key(cell.dataset).items() if value is not None}
    return {
        **plain,
        "dataset": every_key(cell.dataset) | defaults["dataset"] | dataset,
        "knobs": defaults["knobs"] | plain["knobs"],
        "recipe": every_key(cell.recipe),
    }


def left_out(cell: Cell) -> list[str]:
    """Which keys of `whole_cell` the cell itself leaves to a default: ``knobs.tau``."""
    given = {"dataset": every_key(cell.dataset), "knobs": cell.knobs}
    return [f"{part}.{name}" for part, names in _defaults(cell).items() for name in names if given[part].get(name) is None]


def read_whole_cell(data: Mapping[str, Any], omitted: Collection[str]) -> Cell:
    """The cell of which ``data`` has every key, named as before where the ``omitted`` ones still have their default.

    Raises:
        ValueError: On an unknown, missing or misshapen part, or an unknown dataset or family.
    """
    cell = Cell.from_dict(data)
    defaults = _defaults(cell)
    knobs = {name: value for name, value in cell.knobs.items() if f"knobs.{name}" not in omitted or value != defaults["knobs"].get(name)}
    plain = every_key(cell.dataset)
    dataset: dict[str, Any] = {
        name: None for name, value in defaults["dataset"].items() if f"dataset.{name}" in omitted and plain[name] == value
    }
    return replace(cell, knobs=knobs, dataset=replace(cell.dataset, **dataset))


def _defaults(cell: Cell) -> dict[str, dict[str, Any]]:
    """What the dataset and the family take where a cell says nothing, as plain data."""
    source, family = dataset_info(cell.dataset.name), get_family(cell.family)
    dataset: dict[str, Any] = {}
    if source.resize is not None and source.in_shape is not None:
        dataset["size"] = source.in_shape[2]
    if cell.dataset.name == "manifold":
        dataset["manifold"] = Manifold().to_dict()
    knobs, options = family.check({})
    return {"dataset": dataset, "knobs": knobs | options}
