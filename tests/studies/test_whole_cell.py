"""A cell with every key: complete, read back to the same cell, and the same training where defaults have changed since."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import yaml

from margin_core.data import DatasetConfig, Imbalance, Manifold, list_datasets
from margin_core.knobs import Schedule
from margin_core.losses import FAMILIES, get_family, list_losses
from margin_core.training import Cell, Recipe, Record
from studies.whole_cell import every_key, left_out, read_whole_cell, whole_cell

PLAIN = Cell(DatasetConfig("digits"), "mlp-8", "gds", {"lam": 2.0}, {"sample_margin": 0.1}, Recipe(3))
CELLS = {
    "plain": PLAIN,
    "every dial": replace(
        PLAIN,
        dataset=DatasetConfig("cub", label_noise=0.1, imbalance=Imbalance("step", 10), images_per_class=9, size=32, validation=0.3),
        recipe=Recipe(4, lr_schedule="step", lr_steps=[0.5, 3], warm_up=0.1, sharpness="sam", rho=0.05, ema=0.9, precision="tf32"),
        weights="pretrained",
        backbone="frozen",
    ),
    "schedules": replace(
        PLAIN,
        knobs={"lam": Schedule("linear", start=0.1, end=2.0, length=0.5), "hardest": "detached"},
        recipe=Recipe(3, lr=Schedule("path", start=0.1, then=((0.5, 0.01),))),
    ),
    "a made-up dataset": replace(PLAIN, dataset=DatasetConfig("manifold", manifold=Manifold("rigid", 2))),
    "the default of a made-up dataset": replace(PLAIN, dataset=DatasetConfig("manifold")),
    "photos": replace(PLAIN, dataset=DatasetConfig("cub")),
}


def again(cell: Cell) -> Cell:
    """The cell out of YAML."""
    return read_whole_cell(yaml.safe_load(yaml.safe_dump(whole_cell(cell))), left_out(cell))


@pytest.mark.parametrize("name", CELLS)
def test_every_key_is_there_and_the_cell_that_is_read_back_has_the_same_id(name: str) -> None:
    cell = CELLS[name]
    plain, family = whole_cell(cell), get_family(cell.family)
    assert list(plain) == [field.name for field in fields(Cell)]
    assert set(plain["dataset"]) == {field.name for field in fields(DatasetConfig)}
    assert set(plain["recipe"]) == {field.name for field in fields(Recipe)}
    assert set(plain["knobs"]) == {choice.name for choice in (*family.knobs, *family.options)}
    assert again(cell) == cell
    assert again(cell).cell_id == cell.cell_id


@pytest.mark.parametrize("family", list_losses())
def test_a_family_s_defaults_are_written_and_left_out_again(family: str) -> None:
    cell = replace(PLAIN, family=family, knobs={})
    knobs, options = get_family(family).check({})
    assert whole_cell(cell)["knobs"] == knobs | options
    assert again(cell).knobs == {}


def test_what_a_study_gave_at_its_default_stays_given() -> None:
    given = replace(PLAIN, knobs={"lam": 2.0, "tau": 1.0})
    assert left_out(given) == ["knobs.hardest"]
    assert again(given).cell_id == given.cell_id != PLAIN.cell_id


@pytest.mark.parametrize("name", [name for name in list_datasets() if "<" not in name])
def test_the_size_of_photos_is_written_where_there_is_one_to_choose(name: str) -> None:
    cell = replace(PLAIN, dataset=DatasetConfig(name))
    assert (whole_cell(cell)["dataset"]["size"] is not None) == ("dataset.size" in left_out(cell))
    assert again(cell) == cell


def test_a_default_that_has_changed_since_trains_what_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, omitted = whole_cell(PLAIN), left_out(PLAIN)
    gds = get_family("gds")
    changed = replace(gds, options=tuple(replace(option, default="detached") for option in gds.options))
    monkeypatch.setattr(FAMILIES, "find", lambda name: changed)
    assert read_whole_cell(plain, omitted).knobs == {"lam": 2.0, "hardest": "attached"}


def test_a_record_is_whole_too() -> None:
    record = Record(train=True, top_k=(3,), every_steps=10)
    plain: dict[str, Any] = yaml.safe_load(yaml.safe_dump(every_key(record)))
    assert set(plain) == {field.name for field in fields(Record)}
    assert Record(**plain) == record
