"""Who is in an array and since when changes nothing for any of its trials: those that join late, leave, diverge, are saved and go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from margin_core.data import DatasetConfig, Imbalance
from margin_core.losses import list_losses
from margin_core.training import Cell, EpochReport, Record, Trial
from margin_core.training.array import TrialArray
from margin_core.training.checkpoint import read_checkpoint
from tests.margin_core.training.array_cases import (
    alone,
    array_of,
    assert_same_reports,
    assert_same_state,
    begin,
    cell,
    copy,
    run,
    state,
    varied,
)

TWO_SCALE = cell("two_scale", regularizers={"sample_margin": 0.2})
OPTIMIZERS = pytest.mark.parametrize("recipe", [{}, {"optimizer": "adamw", "lr": 0.01}], ids=["sgd", "adamw"])


def assert_as_twin(trial: Trial, reports: list[EpochReport], twin: Trial) -> None:
    """A trial has reported as many epochs as it has run, and is and has reported what its twin is and reports by itself."""
    assert_same_reports(reports, alone(twin, trial.epoch - twin.epoch))
    assert_same_state(trial, state(twin))


def test_an_array_tells_who_is_in_it() -> None:
    array, trials = TrialArray(), [begin(cell(family)) for family in ("arc_face", "ce", "arc_face")]
    assert len(array) == 0 and list(array) == [] and array.run_epoch() == []
    for trial in trials:
        array.join(trial)
    assert len(array) == 3 and list(array) == trials
    assert [trial for trial, _ in array.run_epoch()] == trials
    array.leave(trials[1])
    assert list(array) == [trials[0], trials[2]]
    assert [(trial, report.epoch) for trial, report in array.run_epoch()] == [(trials[0], 2), (trials[2], 2)]


def test_an_arrays_phase_is_that_of_the_replicate_in_it() -> None:
    array = array_of([begin(cell()), begin(cell("gds"), replicate=3, phase=4)])
    assert [array.phase(replicate) for replicate in (0, 3, 1)] == [0, 4, 0]
    array.run_epoch()
    assert [array.phase(replicate) for replicate in (0, 3, 1)] == [1, 5, 0]


def test_a_trial_is_the_same_in_an_array_of_one_and_of_seven() -> None:
    one, seven = begin(TWO_SCALE), begin(TWO_SCALE)
    like_it = [cell("two_scale", {"eta": eta}, {"sample_margin": eta}) for eta in (0.5, 2.0)]
    others = [begin(each) for each in varied([*like_it, *map(cell, ("two_scale", "gds", "arc_face", "ohem"))])]
    few, many = run(array_of([one]), 2), run(array_of([*others[:3], seven, *others[3:]]), 2)
    assert_same_reports(many[seven], few[one])
    assert_same_state(seven, state(one))
    assert_as_twin(one, few[one], begin(TWO_SCALE))


@OPTIMIZERS
def test_trials_that_join_late_sharing_batches_or_not_are_as_alone(recipe: dict[str, Any]) -> None:
    cells = varied(cell(family, **recipe) for family in ("gradient_decay", "two_scale", "cos_face", "ohem"))
    first = begin(cells[0])
    array = array_of([first])
    reports = run(array, 2)
    late = [begin(cells[1], phase=array.phase(0)), begin(cells[2]), begin(cells[3], phase=array.phase(0) + 1)]
    assert [trial.phase for trial in late] == [2, 0, 3]
    for trial in late:
        array.join(trial)
    for trial, more in run(array, 2).items():
        reports[trial] = reports.get(trial, []) + more
    for trial, of in zip([first, *late], cells, strict=True):
        # All that a record keeps of a trial replays it.
        assert_as_twin(trial, reports[trial], begin(of, trial.replicate, phase=trial.phase))


def test_trials_of_several_study_seeds_replicates_and_phases_are_as_alone() -> None:
    long_tailed = DatasetConfig("digits", 0.2, images_per_class=50, imbalance=Imbalance("long_tailed", 10))
    cells = varied(cell(family, dataset=long_tailed) for family in ("ldam", "ce", "two_scale", "ldam", "ce", "ldam"))
    seeds = [(0, 0, 0), (0, 2, 0), (1, 0, 0), (0, 1, 3), (0, 0, 0), (1, 0, 3)]
    together, apart = (
        [begin(of, replicate, study_seed=seed, phase=phase) for of, (seed, replicate, phase) in zip(cells, seeds, strict=True)]
        for _ in range(2)
    )
    reports = run(array_of(together), 2)
    for trial, twin in zip(together, apart, strict=True):
        assert_as_twin(trial, reports[trial], twin)


@OPTIMIZERS
def test_a_trial_that_leaves_goes_on_alone_as_if_it_had_always_been(recipe: dict[str, Any]) -> None:
    cells = varied(cell(family, **recipe) for family in ("ce", "two_scale", "arc_face"))
    trials = [begin(of) for of in cells]
    array = array_of(trials)
    reports = run(array, 2)
    array.leave(trials[1])
    before = copy(trials[1])
    for trial, more in run(array, 2).items():
        reports[trial] += more
    assert all(torch.equal(own, then) for own, then in zip(state(trials[1]), before, strict=True))
    reports[trials[1]] += alone(trials[1], 3)
    for trial, of in zip(trials, cells, strict=True):
        assert_as_twin(trial, reports[trial], begin(of))


def test_a_trial_that_has_left_has_no_more_memory_than_its_own() -> None:
    trials = [begin(of) for of in varied(cell(family) for family in ("ce", "two_scale", "arc_face"))]
    array = array_of(trials)
    array.run_epoch()
    for trial in trials:
        array.leave(trial)
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in state(trial))


def test_a_trial_may_come_back_to_the_array_that_it_left() -> None:
    trials = [begin(of) for of in varied(cell(family) for family in ("two_scale", "gds"))]
    array = array_of(trials)
    reports = run(array, 1)
    array.leave(trials[0])
    reports[trials[0]] += alone(trials[0], 1)
    reports[trials[1]] += run(array, 1)[trials[1]]
    array.join(trials[0])
    for trial, more in run(array, 2).items():
        reports[trial] += more
    for trial in trials:
        assert_as_twin(trial, reports[trial], begin(trial.cell))


def test_an_array_that_is_empty_takes_trials_of_any_kind() -> None:
    array, first = TrialArray(), begin(cell())
    for of in (cell(), cell(model="mlp-50-20-10"), cell(model="linear-3", batch_size=125, optimizer="adamw")):
        trial = begin(of)
        array.join(trial)
        reports = run(array, 1)
        array.leave(trial)
        assert_as_twin(trial, reports[trial], begin(of))
    assert first.epoch == 0


def poison(trial: Trial, value: float) -> None:
    with torch.no_grad():
        next(trial.model.parameters()).view(-1)[3] = value


DIVERGES: dict[str, tuple[float, Callable[[Trial], None]]] = {
    "rate": (1e30, lambda trial: None),
    "nan": (0.05, lambda trial: poison(trial, math.nan)),
    "infinity": (0.05, lambda trial: poison(trial, math.inf)),
}


@pytest.mark.parametrize("how", DIVERGES)
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_trials_that_diverge_change_no_bit_of_their_neighbours(how: str, clip_norm: float | None) -> None:
    lr, spoil = DIVERGES[how]
    # Of each family three, of which the second diverges or does not.
    families = ("ce", "two_scale", "gds", "arc_face", "l_softmax", "ohem")
    cells = [
        cell(family, regularizers={"sample_margin": 0.1}, clip_norm=clip_norm, batch_size=125) for family in families for _ in range(3)
    ]
    reports, ends = [], []
    for spoils in (False, True):
        trials = [begin(of, dtype=torch.float32) for of in cells]
        for place in range(1, len(cells), 3) if spoils else ():
            trials[place] = begin(replace(cells[place], recipe=replace(cells[place].recipe, lr=lr)), dtype=torch.float32)
            spoil(trials[place])
        told = dict(array_of(trials).run_epoch())
        assert [told[trial].diverged for trial in trials] == [False, spoils, False] * len(families)
        neighbours = [trial for place, trial in enumerate(trials) if place % 3 != 1]
        reports.append([told[trial].metrics for trial in neighbours])
        ends.append([tensor for trial in neighbours for tensor in state(trial)])
    assert reports[0] == reports[1]
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize("how", DIVERGES)
def test_a_trial_that_diverges_reports_it_as_alone_and_the_others_go_on_without_it(how: str) -> None:
    lr, spoil = DIVERGES[how]
    trials, twins = ([begin(cell("two_scale", lr=lr)), begin(cell("gds")), begin(cell("arc_face"))] for _ in range(2))
    spoil(trials[0]), spoil(twins[0])
    array = array_of(trials)
    reports = run(array, 1)
    (own,), expected = reports[trials[0]], twins[0].run_epoch()
    assert own.diverged and trials[0].diverged and trials[0].done
    assert list(own.metrics) == list(expected.metrics)
    finite = [{name for name, value in report.metrics.items() if math.isfinite(value)} for report in (own, expected)]
    assert finite[0] == finite[1]
    with pytest.raises(RuntimeError, match="replicate 0 is done after epoch 1"):
        array.run_epoch()
    array.leave(trials[0])
    for trial, more in run(array, 1).items():
        reports[trial] += more
    for trial, twin in zip(trials[1:], twins[1:], strict=True):
        assert_as_twin(trial, reports[trial], twin)


def test_an_array_with_a_trial_that_is_done_takes_no_step() -> None:
    trials = [begin(cell("ce", epochs=2)), begin(cell("gds", epochs=2))]
    alone(trials[0], 1)
    array = array_of(trials)
    array.run_epoch()
    before = copy(trials[1])
    with pytest.raises(RuntimeError, match="replicate 0 is done after epoch 2"):
        array.run_epoch()
    assert trials[1].epoch == 1
    assert all(torch.equal(own, then) for own, then in zip(state(trials[1]), before, strict=True))


def contents(trial: Trial, path: Path) -> dict[str, Any]:
    """What a trial saves, in one level of names; the learning rates aside, which each step sets anew, and states of nothing."""
    trial.save(path)
    saved = read_checkpoint(path, cell_id=trial.cell.cell_id, study_seed=trial.study_seed, replicate=trial.replicate)
    flat: dict[str, Any] = {}

    def flatten(value: Any, name: str) -> None:
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        for key, part in parts or ():
            flatten(part, f"{name}.{key}")
        if parts is None and value is not None and not name.endswith(".lr"):
            flat[name] = value

    flatten(dict(saved), "")
    return flat


RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "plain": {"momentum": 0.0},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_saved_in_an_array_is_what_is_saved_alone(tmp_path: Path, recipe: dict[str, Any]) -> None:
    cells = varied(cell(family, **recipe) for family in ("ce", "two_scale", "ldam"))
    trials, twins = ([begin(of) for of in cells] for _ in range(2))
    array = array_of(trials)
    for _ in range(2):
        array.run_epoch()
        for trial, twin in zip(trials, twins, strict=True):
            twin.run_epoch()
            saved, expected = contents(trial, tmp_path / "array.pt"), contents(twin, tmp_path / "alone.pt")
            assert saved.keys() == expected.keys()
            for name, value in saved.items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")
                else:
                    assert value == expected[name], name
            # A tensor that is part of a larger one would be written with all of that, here three times as much.
            sizes = [(tmp_path / name).stat().st_size for name in ("array.pt", "alone.pt")]
            assert abs(sizes[0] - sizes[1]) < 1024


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_trial_goes_on_from_a_checkpoint_in_and_out_of_an_array(tmp_path: Path, recipe: dict[str, Any]) -> None:
    cells = varied(cell(family, **recipe) for family in ("two_scale", "ohem", "arc_face"))
    trials = [begin(of) for of in cells]
    first = array_of(trials)
    run(first, 2)
    for trial in trials:
        trial.save(tmp_path / trial.cell.cell_id)
    reports = run(first, 2)

    def again(of: Cell) -> Trial:
        trial = begin(of)
        trial.load(tmp_path / of.cell_id)
        return trial

    # One goes on alone; the others in another array, beside one that is at its beginning, from which one is saved once more.
    out = again(cells[0])
    assert_same_reports(alone(out, 2), reports[trials[0]])
    assert_same_state(out, state(trials[0]))
    resumed, new = [again(of) for of in cells[1:]], begin(cells[0])
    second = array_of([resumed[1], new, resumed[0]])
    assert second.phase(0) == 2
    more = run(second, 1)
    resumed[0].save(tmp_path / cells[1].cell_id)
    for trial, told in run(second, 1).items():
        more[trial] += told
    for trial, original in zip(resumed, trials[1:], strict=True):
        assert_same_reports(more[trial], reports[original])
        assert_same_state(trial, state(original))
    assert_as_twin(new, more[new], begin(cells[0]))
    last = again(cells[1])
    assert last.epoch == 3
    assert_same_reports(alone(last, 1), reports[trials[1]][1:])
    assert_same_state(last, state(trials[1]))


@OPTIMIZERS
def test_an_array_of_loaded_trials_goes_on_to_the_last_bit_as_the_one_they_were_saved_in(tmp_path: Path, recipe: dict[str, Any]) -> None:
    cells = varied(cell(family, **recipe) for family in ("two_scale", "ohem", "two_scale", "arc_face"))
    trials, loaded = ([begin(of, dtype=torch.float32) for of in cells] for _ in range(2))
    array = array_of(trials)
    run(array, 2)
    for trial, again in zip(trials, loaded, strict=True):
        trial.save(tmp_path / "trial.pt")
        again.load(tmp_path / "trial.pt")
    reports, expected = run(array_of(loaded), 1), run(array, 1)
    for trial, again in zip(trials, loaded, strict=True):
        assert [report.metrics for report in reports[again]] == [report.metrics for report in expected[trial]]
        assert all(torch.equal(own, other) for own, other in zip(state(again), state(trial), strict=True))


def test_a_phase_is_saved_with_a_trial(tmp_path: Path) -> None:
    trials = [begin(cell("ce")), begin(cell("gds"), phase=2)]
    array = array_of(trials)
    array.run_epoch()
    trials[1].save(tmp_path / "gds.pt")
    reports = run(array, 1)
    again = begin(cell("gds"))
    again.load(tmp_path / "gds.pt")
    assert again.phase == 2
    assert_same_reports(alone(again, 1), reports[trials[1]])
    assert_same_state(again, state(trials[1]))


def test_what_an_array_trains_and_reports_depends_on_nothing_else() -> None:
    def everything() -> list[object]:
        trials = [begin(of, dtype=torch.float32, record=Record(every_steps=3)) for of in varied(map(cell, list_losses()))]
        reports = run(array_of(trials), 1)
        metrics = [(report.metrics, [step.metrics for step in report.steps]) for trial in trials for report in reports[trial]]
        return [metrics, [tensor.tolist() for trial in trials for tensor in state(trial)]]

    before = torch.random.get_rng_state()
    first = everything()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(7)
    assert everything() == first
