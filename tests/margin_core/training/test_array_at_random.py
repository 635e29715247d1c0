"""Arrays whose trials, of any cells, come and go in any order: each is at every epoch what it is alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from margin_core.data import DatasetConfig, Imbalance
from margin_core.knobs import Schedule
from margin_core.losses import get_family, list_losses
from margin_core.training import Cell, Recipe, Setting, Trial
from margin_core.training.array import TrialArray
from margin_core.training.cell import BACKBONES, Backbone
from margin_core.training.recipe import OPTIMIZERS, OptimizerName
from tests.margin_core.training.array_cases import assert_same_reports, assert_same_state, begin, state

DATA = DatasetConfig("digits", 0.1, images_per_class=20, imbalance=Imbalance("step", 2))  # 150 examples
MOST = 5


def lawful(cell: Cell) -> bool:
    try:
        cell.check()
    except ValueError:
        return False
    return True


@st.composite
def knob_settings(draw: st.DrawFn, family: str) -> dict[str, Setting]:
    """Some of a family's knobs, within the ranges that it would be searched in, and a schedule among them; and options."""
    declared, drawn = get_family(family), {}
    for knob in declared.knobs:
        values = st.integers(*map(round, knob.search)).map(float) if knob.integer else st.floats(*knob.search)
        schedules = st.builds(Schedule, st.just("step"), values, values, st.sampled_from([0.3, 0.6]))
        drawn[knob.name] = draw(st.none() | values | schedules)
    for option in declared.options:
        drawn[option.name] = draw(st.none() | st.sampled_from(option.choices))
    return {name: value for name, value in drawn.items() if value is not None}


@st.composite
def cells(draw: st.DrawFn, model: str, backbone: Backbone, optimizer: OptimizerName) -> Cell:
    family = draw(st.sampled_from(list_losses()))
    weights = {"sample_margin": st.sampled_from([0.0, 0.3]), "zero_centroid": st.sampled_from([0.0, 3.0, Schedule("linear", 0.0, 3.0)])}
    recipe = {
        "epochs": draw(st.integers(2, 4)),
        "lr": draw(st.sampled_from([0.002, 0.01, 0.03])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01])),
        "clip_norm": draw(st.sampled_from([None, 0.3, 5.0])),
        "warm_up": draw(st.sampled_from([0.0, 0.5])),
        "lr_schedule": draw(st.sampled_from(["cosine", "constant"])),
    }
    recipe = Recipe(batch_size=40, optimizer=optimizer, **recipe)
    regularizers = draw(st.fixed_dictionaries({}, optional=weights))
    return Cell(DATA, model, family, draw(knob_settings(family)), regularizers, recipe, backbone=backbone)


class ComingAndGoing(RuleBasedStateMachine):
    """Each trial has a twin that has never been in an array."""

    def __init__(self) -> None:
        super().__init__()
        self.array = TrialArray()
        self.twins: dict[Trial, Trial] = {}
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    @property
    def outside(self) -> list[Trial]:
        return [trial for trial in self.twins if trial not in set(self.array) and not trial.done]

    @property
    def unfinished(self) -> list[Trial]:
        return [trial for trial in self.twins if not trial.done]

    @initialize(
        model=st.sampled_from(["mlp-30-20", "linear-3"]), backbone=st.sampled_from(BACKBONES), optimizer=st.sampled_from(OPTIMIZERS)
    )
    def has_in_common(self, model: str, backbone: Backbone, optimizer: OptimizerName) -> None:
        self.common = model, backbone, optimizer

    @precondition(lambda self: len(self.array) < MOST)
    @rule(data=st.data(), replicate=st.integers(0, 1))
    def begins(self, data: st.DataObject, replicate: int) -> None:
        cell = data.draw(cells(*self.common).filter(lawful))
        phase = data.draw(st.sampled_from([self.array.phase(replicate), 0, 2]))
        trial, twin = (begin(cell, replicate, phase=phase) for _ in range(2))
        self.array.join(trial)
        self.twins[trial] = twin

    @precondition(lambda self: len(self.array) > 0)
    @rule()
    def runs(self) -> None:
        for trial, report in self.array.run_epoch():
            self.compare(trial, report)
            if trial.done:
                self.array.leave(trial)

    @precondition(lambda self: len(self.array) > 0)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        self.array.leave(data.draw(st.sampled_from(list(self.array))))

    @precondition(lambda self: len(self.outside) > 0)
    @rule(data=st.data())
    def goes_on_alone(self, data: st.DataObject) -> None:
        trial = data.draw(st.sampled_from(self.outside))
        self.compare(trial, trial.run_epoch())

    @precondition(lambda self: len(self.outside) > 0 and len(self.array) < MOST)
    @rule(data=st.data())
    def comes_back(self, data: st.DataObject) -> None:
        self.array.join(data.draw(st.sampled_from(self.outside)))

    @precondition(lambda self: len(self.unfinished) > 0)
    @rule(data=st.data())
    def is_begun_anew_from_a_checkpoint(self, data: st.DataObject) -> None:
        saved = data.draw(st.sampled_from(self.unfinished))
        path = Path(self.folder.name) / "checkpoint.pt"
        saved.save(path)
        inside = saved in set(self.array)
        if inside:
            self.array.leave(saved)
        again = begin(saved.cell, saved.replicate)
        again.load(path)
        self.twins[again] = self.twins.pop(saved)
        if inside:
            self.array.join(again)

    def compare(self, trial: Trial, report: Any) -> None:
        twin = self.twins[trial]
        assert_same_reports([report], [twin.run_epoch()], 1e-7)
        if not trial.diverged:
            assert_same_state(trial, state(twin), 1e-10)


TestComingAndGoing = ComingAndGoing.TestCase
TestComingAndGoing.settings = settings(max_examples=6, stateful_step_count=10)


@pytest.mark.slow
class TestMuchComingAndGoing(ComingAndGoing.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=60, stateful_step_count=25)
