"""Zoom and test: which cells they measure, on which seeds, and that what one stage measured never enters another's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.knobs import Knob
from margin_core.losses import get_family, list_losses
from studies.answer import answer, stage_arms
from studies.findings import Answer
from studies.later_stages import finer_values, metric_on_test
from studies.plain_yaml import StudyFileError
from studies.plan import PlannedTrial, Stage, arm_trials
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger
from tests.studies.builders import (
    STUDY,
    TWO_DATASETS,
    WITHOUT_SCREEN,
    Score,
    accuracy,
    confirmed,
    study,
    write,
    write_all,
    write_screen,
)
from tests.studies.conftest import NewLedger
from tests.studies.test_answer import t_interval

LATER: dict[str, Any] = {
    "screen": {"searcher": "grid"},
    "confirm": {"families": 2, "seeds": 4, "values": {"gds": [0, 1, 2], "cos_face": [0.1, 0.2]}},
    "zoom": {"points": 5, "seeds": 4},
    "test": {"seeds": 3},
}


def stage_trials(spec: StudySpec, stage: Stage, ledger: Ledger) -> list[PlannedTrial]:
    return arm_trials(spec, stage, stage_arms(spec, stage, ledger))


def run_through(ledger: Ledger, spec: StudySpec, score: Score = accuracy, shift: dict[str, float] | None = None) -> Answer:
    """Write every stage; the metric of a stage's trials is shifted by ``shift``, and the test split's is 2 points lower."""
    moved = shift or {}

    def shifted(trial: PlannedTrial) -> float | None:
        value = score(trial)
        return None if value is None else value + moved.get(trial.stage, 0.0)

    if spec.screen is not None:
        write_screen(ledger, spec, shifted)
    write_all(ledger, confirmed(ledger, spec), shifted)
    if spec.zoom is not None:
        write_all(ledger, stage_trials(spec, "zoom", ledger), shifted)
    if spec.test is not None:
        for trial in stage_trials(spec, "test", ledger):
            value = shifted(trial)
            assert value is not None
            write(ledger, trial, {"val_accuracy": value, "test_accuracy": value - 2.0})
    return answer(ledger)


def test_no_two_stages_share_a_seed(new_ledger: NewLedger) -> None:
    spec = study(**LATER)
    ledger = new_ledger(spec)
    run_through(ledger, spec)
    seeds = {stage: {trial.seed for trial in ledger.trials(stage)} for stage in ("screen", "confirm", "zoom", "test")}
    assert all(seeds.values())
    assert sum(map(len, seeds.values())) == len(set.union(*seeds.values())) == 1 + 4 + 4 + 3


def test_a_zoom_looks_at_finer_values_around_the_optimum_set_of_the_leading_family(new_ledger: NewLedger) -> None:
    spec = study(**LATER)
    ledger = new_ledger(spec)
    found = run_through(ledger, spec)
    (curve,) = found.zooms
    assert (curve.stage, curve.dataset, curve.family) == ("zoom", "digits", "gds")
    assert sorted(set(curve.table["lam"])) == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert curve.contender is not None and curve.contender.chosen_before and curve.contender.setting == "λ = 1"
    arms = stage_arms(spec, "zoom", ledger)
    assert [arm.family for arm in arms].count("ce") == 1
    held = {tuple(sorted((k, v) for k, v in arm.config.items() if k != "gds.lam")) for arm in arms if arm.family == "gds"}
    assert len(held) == 1


def test_a_family_whose_curve_is_flat_or_worse_is_not_zoomed(new_ledger: NewLedger) -> None:
    def ce_is_best(trial: PlannedTrial) -> float:
        return 90.0 - 5.0 * (trial.cell.family != "ce") + 0.01 * (trial.replicate % 7)

    spec = study(**LATER)
    ledger = new_ledger(spec)
    found = run_through(ledger, spec, ce_is_best)
    assert found.zooms == () and ledger.trials("zoom") == []
    (tested,) = found.tested
    assert tested.family == "ce" and tested.gain is None


def test_what_one_stage_measured_enters_no_other(new_ledger: NewLedger) -> None:
    spec = study(**LATER)
    plain, moved = new_ledger(spec), new_ledger(spec)
    before = run_through(plain, spec).to_dict()
    after = run_through(moved, spec, shift={"zoom": -30.0, "test": -60.0}).to_dict()
    assert after["verdicts"] == before["verdicts"]
    (old,), (new,) = before["zoom"], after["zoom"]
    assert new["label"] == old["label"]
    assert new["contender"]["mean"] == pytest.approx(old["contender"]["mean"] - 30.0)
    assert new["contender"]["gain_over_ce"] == pytest.approx(old["contender"]["gain_over_ce"])
    assert after["test"][0]["mean"] == pytest.approx(before["test"][0]["mean"] - 60.0)


def test_the_gain_on_the_test_split_is_the_plain_paired_interval_of_its_own_seeds(new_ledger: NewLedger) -> None:
    spec = study(**{**LATER, "datasets": TWO_DATASETS})
    ledger = new_ledger(spec)
    found = run_through(ledger, spec)
    assert [tested.dataset for tested in found.tested] == ["digits", "noisy"]
    table = ledger.final_metrics("test")
    for tested in found.tested:
        mine = table[table["dataset"] == tested.dataset].set_index("seed")
        chosen, ce = mine[mine["cell_id"] == tested.cell_id]["test_accuracy"], mine[mine["family"] == "ce"]["test_accuracy"]
        assert len(chosen) == len(ce) == 3
        assert tested.gain is not None and tested.baseline is not None
        differences = (chosen - ce).tolist()
        assert (tested.gain.mean, tested.gain.low, tested.gain.high) == pytest.approx(t_interval(differences, 0.05))
        assert tested.summary.mean == pytest.approx(chosen.mean()) and tested.baseline.mean == pytest.approx(ce.mean())
        assert tested.metric == "test_accuracy"
        assert [seen.stage for seen in tested.stages] == ["screen", "confirm", "zoom"]
        for seen in tested.stages:
            rows = ledger.final_metrics(seen.stage)
            assert seen.summary.mean == pytest.approx(rows[rows["cell_id"] == tested.cell_id]["val_accuracy"].mean())


def test_what_was_chosen_for_the_test_split_stays_chosen(new_ledger: NewLedger) -> None:
    spec = study(**{**LATER, "zoom": None})
    ledger = new_ledger(spec)
    write_screen(ledger, spec, accuracy)
    write_all(ledger, confirmed(ledger, spec), accuracy)
    chosen = stage_arms(spec, "test", ledger)
    assert [(arm.family, arm.nominee) for arm in chosen] == [("ce", False), ("gds", True)]

    def otherwise(trial: PlannedTrial) -> float:
        return accuracy(trial) + 50.0 * (trial.cell.family == "cos_face")

    more = study(**{**LATER, "zoom": None, "confirm": {**LATER["confirm"], "seeds": 8}})
    write_all(ledger, confirmed(ledger, more), otherwise)
    assert answer(ledger).winners[0].family == "cos_face"
    assert stage_arms(more, "test", ledger) == chosen


def test_a_study_that_has_not_come_so_far_says_nothing_of_later_stages(new_ledger: NewLedger) -> None:
    spec = study(**LATER)
    ledger = new_ledger(spec)
    assert stage_arms(spec, "zoom", ledger) == []
    write_screen(ledger, spec, accuracy)
    found = answer(ledger)
    assert found.zooms == found.tested == ()
    write_all(ledger, confirmed(ledger, spec), accuracy)
    trials = stage_trials(spec, "zoom", ledger)
    write_all(ledger, trials[: len(trials) // 2], accuracy)
    found = answer(ledger)
    assert len(found.zooms) == 1 and found.tested == () and found.winners[0].stage == "zoom"


def test_without_a_screen_zoom_and_test_follow_confirm_all_the_same(new_ledger: NewLedger) -> None:
    spec = study(**{**WITHOUT_SCREEN, **{name: LATER[name] for name in ("zoom", "test")}})
    ledger = new_ledger(spec)
    found = run_through(ledger, spec)
    assert found.zooms[0].family == "gds" and found.tested[0].family == "gds"
    assert [seen.stage for seen in found.tested[0].stages] in (["confirm", "zoom"], ["zoom"])


@pytest.mark.parametrize("section", ["zoom", "test"])
def test_a_stage_that_needs_an_answer_is_refused_without_a_confirm_stage(section: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        study_from({**STUDY, "confirm": None, section: {"seeds": 2}})
    assert str(caught.value) == f"{section} needs a confirm section, whose answer it goes by"


def test_a_study_has_fewer_seeds_than_a_stage_has_numbers() -> None:
    with pytest.raises(StudyFileError, match=r"confirm\.seeds: .*1000, got 1001"):
        study(confirm={"seeds": 1001})


def test_metrics_that_no_split_has_are_called_the_same_on_the_test_split() -> None:
    assert [metric_on_test(name) for name in ("val_nll", "class_margin")] == ["test_nll", "class_margin"]


CURVES = [knob for family in list_losses() if family != "ce" and len((knob := get_family(family).knobs[0]).grid) > 1]


@given(st.data())
def test_finer_values_hold_the_best_stay_within_the_knob_and_reach_no_further_than_a_step_beyond(data: st.DataObject) -> None:
    knob: Knob = data.draw(st.sampled_from(CURVES))
    grid = sorted(knob.grid)
    best = data.draw(st.sampled_from(grid))
    kept = sorted({best, *data.draw(st.lists(st.sampled_from(grid)))})
    points = data.draw(st.integers(3, 9))
    values = finer_values(knob, grid, kept, best, points)
    assert best in values and values == sorted(set(values)) and len(values) <= points
    assert all(knob.check(value, knob.name) == value for value in values)
    if best not in (grid[0], grid[-1]):
        assert grid[0] <= min(values) and max(values) <= grid[-1]
    below, above = [v for v in grid if v < kept[0]], [v for v in grid if v > kept[-1]]
    if below:
        assert min(values) >= below[-1] * (1 - 0.005 * np.sign(below[-1]))
    if above:
        assert max(values) <= above[0] * (1 + 0.005 * np.sign(above[0]))


def test_finer_values_are_evenly_spaced_on_the_knobs_own_scale() -> None:
    beta = Knob("beta", "β", 1.0, 0.0, math.inf, grid=(0.01, 0.1, 1.0), search=(0.01, 1.0), scale="log", open_low=True)
    assert finer_values(beta, [0.01, 0.1, 1.0], [0.1], 0.1, 5) == [0.01, 0.0316, 0.1, 0.316, 1.0]
    assert finer_values(beta, [0.01, 0.1, 1.0], [0.01], 0.01, 3) == [0.001, 0.01, 0.1]


def test_finer_values_end_where_the_knob_ends() -> None:
    share = Knob("q", "q", 0.7, 0.0, 1.0, grid=(0.0, 0.5, 1.0), search=(0.0, 1.0))
    assert finer_values(share, [0.0, 0.5, 1.0], [1.0], 1.0, 3) == [0.5, 0.75, 1.0]
    whole = Knob("k", "k", 1, 1, 8, grid=(1, 2, 4), search=(1, 8), integer=True)
    assert finer_values(whole, [1, 2, 4], [2], 2, 7) == [1.0, 2.0, 3.0, 4.0]
