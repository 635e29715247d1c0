from __future__ import annotations

import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest
from rich.console import Console

from studies.analysis import shift
from studies.plan import PlannedTrial
from studies.reporting.report import render_report
from studies.reporting.sentences import shift_sentence
from studies.reporting.shift_figure import shift_figure
from studies.reporting.terminal import print_result
from tests.studies.reporting.conftest import noise

LAMBDAS = {"gds": [0, 0.5, 1, 1.5, 2, 2.5, 3]}


def moving(trial: PlannedTrial) -> float:
    """An accuracy of gds that is highest at 0.5 on the one dataset and at 2.5 on the other."""
    best = 0.5 if trial.dataset == "digits" else 2.5
    lam = float(trial.config.get("gds.lam", 0.0))
    return 95.0 - (lam - best) ** 2 + noise(trial.dataset, trial.replicate, scale=0.4) + noise(trial.key, scale=0.05)


@pytest.fixture(scope="module")
def moved(build):
    """A study in which the best λ moves."""
    return build(moving, confirm={"families": ["gds"], "seeds": 5, "values": LAMBDAS})


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter("text")]


def test_a_family_on_several_datasets_has_a_verdict_of_its_curves_together(moved):
    (found,) = moved.shifts
    assert (found.family, found.verdict.label) == ("gds", "SHIFT")
    assert found.verdict.apart == (("digits", "digits-noise0.2"),)
    assert [each.optimum for each in found.verdict.datasets] == pytest.approx([0.5, 2.5], abs=0.1)
    table = pd.concat([curve.table.assign(dataset=curve.dataset) for curve in moved.curves])
    assert found.verdict == shift(table, knob="lam", metric="val_accuracy", called="λ")
    assert found.verdict.reason.startswith("No one λ can be best on all 2 datasets")
    (plain,) = moved.to_dict()["shifts"]
    assert (plain["family"], plain["shift"]) == ("gds", True)
    assert json.loads(json.dumps(plain)) == json.loads(json.dumps({"family": "gds", "knob": "lam", **found.verdict.to_dict()}))


def test_a_study_of_one_dataset_asks_for_no_shift(build, peaked):
    answer = build(peaked, datasets=["digits"])
    assert answer.shifts == ()
    assert "shifts" not in answer.to_dict()
    assert "move with the data" not in render_report(answer)


def test_the_sentence_is_no_finding_where_nothing_is_claimed(moved, found):
    (shifted,) = moved.shifts
    assert shift_sentence(shifted) == (
        "The best λ of gds moves with the data: no one value is best on all 2 datasets: digits below digits-noise0.2."
    )
    gds = next(each for each in found.shifts if each.family == "gds")
    assert shift_sentence(gds) == "Nothing shows that the best λ of gds moves between the 2 datasets, nor that it stays."


def test_of_many_pairs_of_datasets_that_are_apart_a_few_are_named(moved):
    (shifted,) = moved.shifts
    pairs = tuple((f"low-{place}", "high") for place in range(6))
    told = shift_sentence(replace(shifted, verdict=replace(shifted.verdict, apart=pairs)))
    assert told.endswith(": low-0 below high, low-1 below high, low-2 below high and 3 more pairs.")


def test_too_few_seeds_are_told(build, peaked):
    (gds, *_) = build(peaked, seeds=1).shifts
    assert shift_sentence(gds).endswith("cannot be asked: it takes two seeds at least.")


def test_the_figure_names_each_dataset_with_its_stretch(moved):
    svg = shift_figure(moved.shifts[0]).svg()
    said = texts(svg)
    assert [text for text in said if text.startswith("digits")] == ["digits", "digits-noise0.2"]
    assert sum(" to " in text for text in said) == 2
    assert 'aria-label="Where the best λ of gds may be, by dataset: digits ' in svg


def test_a_long_name_leaves_room_for_the_optimum(moved):
    (found,) = moved.shifts
    first, *others = found.verdict.datasets
    long = replace(found, verdict=replace(found.verdict, datasets=(replace(first, dataset="d" * 60), *others)))
    svg = shift_figure(long).svg()
    assert "d" * 25 + "…" in texts(svg)
    assert "by dataset: " + "d" * 60 in svg


def test_a_logarithmic_knob_is_drawn_without_its_zero(found):
    decay = next(each for each in found.shifts if each.family == "gradient_decay")
    assert "0.01" in texts(shift_figure(decay).svg())


def test_report_and_terminal_tell_of_the_shift(moved, found):
    page = render_report(moved)
    assert page.count('class="chip SHIFT"') == 1
    assert "Does the best value move with the data?" in page
    assert 'class="chip SHIFT"' not in render_report(found)
    console = Console(file=io.StringIO(), width=200)
    print_result(moved, console)
    assert shift_sentence(moved.shifts[0]) in console.file.getvalue()
