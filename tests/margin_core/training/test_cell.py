"""Cells: written and read back, named, and checked."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.data import DatasetConfig
from margin_core.knobs import SCHEDULE_KINDS, Schedule
from margin_core.losses import list_losses
from margin_core.regularizers import list_regularizers
from margin_core.training import Cell, Recipe

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5)
lengths = st.floats(0.01, 1.0)
kinds = st.sampled_from([kind for kind in SCHEDULE_KINDS if kind != "inverse"])
schedules = st.builds(Schedule, kinds, numbers, numbers, lengths) | st.builds(
    Schedule, st.just("inverse"), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), lengths
)
datasets = st.builds(
    DatasetConfig,
    st.sampled_from(["digits", "mnist"]),
    st.floats(0.0, 1.0, exclude_max=True),
    st.sampled_from(["symmetric", "nearest"]),
    st.none() | st.text(st.characters(exclude_characters="/."), min_size=1),
)
recipes = st.builds(
    Recipe,
    epochs=st.integers(1, 200),
    batch_size=st.integers(1, 512),
    optimizer=st.sampled_from(["sgd", "adamw"]),
    lr=st.floats(1e-6, 10.0),
    weight_decay=st.just(0) | st.floats(0.0, 0.1),
    momentum=st.floats(0.0, 0.99),
    lr_schedule=st.sampled_from(["cosine", "constant"]),
    clip_norm=st.none() | st.floats(0.1, 10.0),
)
cells = st.builds(
    Cell,
    dataset=datasets,
    model=st.sampled_from(["mlp-50-20", "lenet5"]),
    family=st.sampled_from(list_losses()),
    knobs=st.dictionaries(st.text(max_size=5), numbers | schedules | st.text(max_size=5), max_size=3),
    regularizers=st.dictionaries(st.sampled_from(list_regularizers()), numbers | schedules),
    recipe=recipes,
    weights=st.sampled_from(["random", "pretrained", "own-0123456789ab.safetensors"]),
    backbone=st.sampled_from(["trained", "frozen"]),
)
PLAIN = Cell(DatasetConfig("digits"), "mlp-50-20", "gds", {"lam": 1.0, "tau": 2.0}, {"sample_margin": 0.5}, Recipe(epochs=2))


def test_a_cell_keeps_the_id_that_it_had_before_weights_could_be_named() -> None:
    assert PLAIN.cell_id == "gds-bc5013dc2f"
    assert sorted(PLAIN.to_dict()) == ["dataset", "family", "knobs", "model", "recipe", "regularizers"]
    assert dataclasses.replace(PLAIN, weights="pretrained").cell_id != PLAIN.cell_id
    assert dataclasses.replace(PLAIN, backbone="frozen").cell_id != PLAIN.cell_id
    with pytest.raises(ValueError, match="backbone must be one of trained, frozen, got 'thawed'"):
        dataclasses.replace(PLAIN, backbone="thawed").check()  # type: ignore[arg-type]


@given(cells)
def test_a_cell_survives_writing_as_json(cell: Cell) -> None:
    again = Cell.from_dict(json.loads(json.dumps(cell.to_dict())))
    assert again == cell
    assert again.cell_id == cell.cell_id


@given(cells)
def test_a_cell_id_does_not_depend_on_the_order_of_keys(cell: Cell) -> None:
    turned = dataclasses.replace(cell, knobs=dict(reversed(cell.knobs.items())), regularizers=dict(reversed(cell.regularizers.items())))
    assert turned.cell_id == cell.cell_id
    assert Cell.from_dict(dict(reversed(cell.to_dict().items()))).cell_id == cell.cell_id


@given(cells, cells)
def test_cells_share_an_id_only_where_they_are_equal(one: Cell, other: Cell) -> None:
    assert (one.cell_id == other.cell_id) == (one == other)


def test_a_cell_id_is_short_and_starts_with_the_family() -> None:
    family, _, digest = PLAIN.cell_id.rpartition("-")
    assert family == "gds"
    assert len(digest) == 10
    assert dataclasses.replace(PLAIN, family="gradient_decay").cell_id.startswith("gradient_d-")


def test_equal_numbers_give_equal_ids() -> None:
    for knobs in ({"lam": 1, "tau": 2}, {"tau": 2.0, "lam": 1.0}):
        assert dataclasses.replace(PLAIN, knobs=knobs).cell_id == PLAIN.cell_id
    zero = dataclasses.replace(PLAIN, knobs={"lam": 0.0})
    assert dataclasses.replace(PLAIN, knobs={"lam": -0.0}).cell_id == zero.cell_id


def test_a_cell_id_is_the_same_in_every_process() -> None:
    script = f"""
import json
from margin_core.training import Cell
print(Cell.from_dict(json.loads({json.dumps(PLAIN.to_dict())!r})).cell_id)
"""
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment).stdout
        assert printed.strip() == PLAIN.cell_id


@pytest.mark.parametrize("family", list_losses())
def test_a_cell_with_defaults_is_good_for_every_family(family: str) -> None:
    Cell(DatasetConfig("digits"), "mlp-50-20", family, {}, dict.fromkeys(list_regularizers(), 0.1), Recipe(epochs=1)).check()


def test_knobs_that_must_hold_together_are_checked_together_along_their_schedules() -> None:
    both = {"alpha1": Schedule("linear", 1.0, 2.0), "alpha2": Schedule("linear", 0.5, 1.5)}
    Cell(DatasetConfig("digits"), "mlp-50-20", "gm_softmax", {"alpha1": 2.0, "alpha2": 1.5}, {}, Recipe(epochs=1)).check()
    Cell(DatasetConfig("digits"), "mlp-50-20", "gm_softmax", both, {}, Recipe(epochs=1)).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": Recipe(epochs=1, mixup=0.2)}, "with mixup the family must be one of ce, norm_face, linear in the label, got 'gds'"),
        ({"dataset": DatasetConfig("digits", classes=11)}, "digits: classes must be at most 10, the number of its classes, got 11"),
        ({"dataset": DatasetConfig("digit")}, "dataset must be one of digits, mnist, "),
        ({"model": "mlp"}, "model must be one of mlp-<width>"),
        ({"model": "lenet5"}, "lenet5 needs images of at least 12x12 pixels, got 8x8"),
        ({"family": "gsd"}, "'gsd'"),
        ({"knobs": {"lam": -1.0}}, "gds: lam must be"),
        ({"knobs": {"lambda": 1.0}}, "gds: unknown knob 'lambda'"),
        ({"knobs": {"lam": "high"}}, "gds: lam must be a number"),
        ({"knobs": {"lam": float("nan")}}, "gds: lam must be"),
        ({"knobs": {"lam": True}}, "gds: lam must be a number"),
        ({"knobs": {"lam": Schedule("linear", 1.0, -1.0)}}, "gds: lam must be"),
        ({"knobs": {"hardest": "softly"}}, "gds: hardest must be one of attached, detached, got 'softly'"),
        ({"knobs": {"hardest": Schedule("constant", 1.0)}}, "gds: hardest is a named choice, it cannot follow a schedule"),
        ({"family": "gm_softmax", "knobs": {"alpha1": 1.2, "alpha2": 1.5}}, "gm_softmax: alpha1 must be >= 0.5 and alpha2 <= alpha1"),
        ({"family": "gm_softmax", "knobs": {"alpha2": Schedule("cosine", 0.0, 1.5)}}, "gm_softmax: alpha1 must be >= 0.5 and alpha2 <="),
        ({"family": "ldam", "knobs": {"class_counts": 3.0}}, "ldam: unknown knob 'class_counts'"),
        ({"family": "l_softmax", "knobs": {"m": 1.5}}, "l_softmax: m must be a whole number >= 1, got 1.5"),
        ({"regularizers": {"margin": 0.5}}, "'margin'"),
        ({"regularizers": {"sample_margin": -0.5}}, "sample_margin: weight must be"),
        ({"regularizers": {"sample_margin": Schedule("step", 0.0, float("inf"))}}, "sample_margin: weight must be"),
    ],
)
def test_a_bad_part_is_named_before_anything_is_built(changes: dict[str, object], message: str) -> None:
    PLAIN.check()
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(PLAIN, **changes).check()  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "ce"}, "cell: its keys must be dataset, model, family, knobs, regularizers, recipe, and may be weights, backbone, got"),
        ({"knobs": 1.0}, "cell: knobs must be a mapping, got 1.0"),
        ({"knobs": {"lam": [1.0]}}, "lam must be a number, a name or a schedule, got [1.0]"),
        (
            {"knobs": {"lam": {"kind": "linear", "begin": 0.0}}},
            "lam: a schedule has the keys kind, start, end, length, then, got kind, begin",
        ),
        ({"regularizers": {"sample_margin": "much"}}, "sample_margin: a weight must be a number or a schedule, got 'much'"),
        ({"recipe": {"epochs": 0}}, "epochs must be a whole number >= 1, got 0"),
        ({"dataset": {"name": "digits", "label_noise": 2.0}}, "digits: label_noise must be in [0, 1), got 2.0"),
    ],
)
def test_a_written_cell_that_is_misshapen_is_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Cell.from_dict({**PLAIN.to_dict(), **changes})
    assert message in str(caught.value)
