"""Trials of two processes as each of the processes runs them, without Ray."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from margin_core.data import DatasetConfig
from margin_core.training import Cell, Recipe
from studies.plan import PlannedTrial
from studies.running.progress import Progress
from studies.running.trial_run import TrialRun, TrialSetting
from tests.margin_core.training.together import in_processes


def advance(folder: Path, steps: int, *, dataset: str = "digits") -> list[Progress]:
    """So many reports of a trial of two processes, which saves after each epoch."""
    folder.mkdir(exist_ok=True)
    setting = TrialSetting(0, str(folder), str(folder), threads=1, device="cpu", metric="val_accuracy", every_epoch=False, keep_final=True)
    setting = TrialSetting(**{**vars(setting), "checkpoint_seconds": 0.0, "examples": str(folder / "examples")})
    cell = Cell(DatasetConfig(dataset), "mlp-8", "ce", {}, {}, Recipe(epochs=4, batch_size=100, processes=2))
    run = TrialRun(PlannedTrial("confirm", cell, {}, 0), setting)
    return [run.advance() for _ in range(steps)]


def whole_cut_and_broken(folder: Path) -> tuple[list[Progress], list[Progress], list[Progress]]:
    return advance(folder / "whole", 4), advance(folder / "cut", 2), advance(folder / "broken", 1, dataset="mnist")


def rows(reports: list[Progress]) -> list[dict[str, Any]]:
    return [{"epoch": row["epoch"], **row["metrics"]} for report in reports for row in report.rows]


def test_a_trial_of_two_processes_reports_each_epoch_and_goes_on_where_it_was(tmp_path: Path) -> None:
    (whole, cut, broken), (second, _, broken_too) = in_processes(2, whole_cut_and_broken, tmp_path)
    assert [report.status for report in whole] == ["running"] * 3 + ["finished"]
    assert [row["epoch"] for row in rows(whole)] == [1, 2, 3, 4]
    assert [report.status for report in second] == [report.status for report in whole]
    (again, _) = in_processes(2, advance, tmp_path / "cut", 2)
    assert [row["epoch"] for row in again[0].rows] == [1, 2, 3]  # those that may not have arrived come again
    assert rows(cut) == rows(whole)[:2]
    assert rows(again) == rows(whole)
    files = [next((tmp_path / name / "examples").iterdir()).read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    for reports in (broken, broken_too):
        assert [report.status for report in reports] == ["failed"]
        assert "mnist" in reports[0].reason


def test_an_error_without_words_is_told_by_its_place() -> None:
    with pytest.raises(AssertionError) as raised:
        raise AssertionError
    assert re.fullmatch(r"AssertionError in line \d+ of test_trial_run\.py", Progress.of_error(raised.value).reason)
    assert Progress.of_error(ValueError("one\ntwo")).reason == "ValueError: one"
