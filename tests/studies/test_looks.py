"""How often results were looked at, from the changes and trials of a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.answer import open_answer
from studies.findings import Curve
from studies.reporting.notes import notes
from tests.studies.builders import STUDY, TWO_DATASETS, WITHOUT_SCREEN, study
from tests.studies.test_branching import run


def seeds(number: int) -> dict[str, Any]:
    return {**WITHOUT_SCREEN, "confirm": {**STUDY["confirm"], "seeds": number}}


def curves(workdir: Path, name: str = "small") -> dict[str, Curve]:
    return {curve.dataset: curve for curve in open_answer(workdir / name).curves if curve.family == "gds"}


def test_a_study_that_is_never_extended_is_looked_at_once(tmp_path: Path) -> None:
    run(tmp_path, study(**seeds(3)), stop_after=4)
    run(tmp_path, study(**seeds(3)))
    (curve,) = curves(tmp_path).values()
    assert (curve.verdict.question.looks, curve.verdict.question.level) == (1, 0.05)


def test_seeds_that_are_added_before_any_has_ended_are_no_look(tmp_path: Path) -> None:
    run(tmp_path, study(**seeds(2)), stop_after=0)
    run(tmp_path, study(**seeds(3)))
    assert curves(tmp_path)["digits"].verdict.question.looks == 1


def test_each_time_seeds_are_added_is_a_stricter_look_for_verdict_and_gain(tmp_path: Path) -> None:
    for number in (3, 4, 5):
        run(tmp_path, study(**seeds(number)))
    curve = curves(tmp_path)["digits"]
    assert (curve.verdict.question.looks, curve.verdict.question.level) == (3, pytest.approx(0.05 / 16))
    assert "look 3 at these seeds, so at a confidence of 0.9969" in curve.verdict.reason
    run(tmp_path, study(**{**seeds(5), "name": "once"}))
    once = curves(tmp_path, "once")["digits"]
    assert [cell.mean for cell in once.verdict.cells] == [cell.mean for cell in curve.verdict.cells]
    assert all(
        (late.half_width or 0) > (first.half_width or 0) for late, first in zip(curve.verdict.cells, once.verdict.cells, strict=True)
    )
    gain, first = (each.contender and each.contender.optimistic_gain for each in (curve, once))
    assert gain is not None and gain.low is not None and first is not None and first.low is not None
    assert gain.low < first.low


def test_another_dataset_is_looked_at_for_the_first_time_and_is_no_look_at_those_before(tmp_path: Path) -> None:
    run(tmp_path, study(**seeds(3)))
    run(tmp_path, study(**{**seeds(3), "datasets": TWO_DATASETS}))
    assert {dataset: curve.verdict.question.looks for dataset, curve in curves(tmp_path).items()} == {"digits": 1, "noisy": 1}
    run(tmp_path, study(**{**seeds(4), "datasets": TWO_DATASETS}))
    assert {dataset: curve.verdict.question.looks for dataset, curve in curves(tmp_path).items()} == {"digits": 2, "noisy": 2}


def test_a_branch_with_more_seeds_looks_again_at_those_that_it_takes_over(tmp_path: Path) -> None:
    run(tmp_path, study(**seeds(3)))
    run(tmp_path, study(**{**seeds(5), "name": "other"}), "small")
    assert curves(tmp_path, "other")["digits"].verdict.question.looks == 2


def test_what_results_are_judged_by_is_told_where_it_was_changed_after_confirm_trials_had_ended(tmp_path: Path) -> None:
    run(tmp_path, study(**seeds(3)), stop_after=0)
    run(tmp_path, study(**seeds(3), sesoi=0.3))
    before = open_answer(tmp_path / "small")
    assert before.afterthoughts == ()
    assert "changed_after_confirming" not in before.to_dict()
    run(tmp_path, study(**seeds(3), sesoi=0.5, alpha=0.1, strict=True))
    after = open_answer(tmp_path / "small")
    changed = ["sesoi: was 0.3, is 0.5", "alpha: was 0.05, is 0.1", "strict: was false, is true"]
    assert after.to_dict()["changed_after_confirming"] == changed
    assert "Changed after confirm trials had ended, when their results could be known: sesoi: was 0.3, is 0.5." in notes(after)
    assert curves(tmp_path)["digits"].verdict.question.looks == 1
