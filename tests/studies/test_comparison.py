"""Studies side by side, on ledgers whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studies.cli import app
from studies.comparison import compare_studies
from studies.plan import PlannedTrial
from studies.preflight import CallError
from studies.workspace import StudyFiles, study_files
from tests.studies.builders import WITHOUT_SCREEN, confirmed, new_ledger, noise, study, write_all

CONFIRM = {"families": 2, "seeds": 5, "values": {"gds": [0, 0.5, 1, 1.5, 2], "cos_face": [0.1, 0.2]}}


def peak(at: float) -> Callable[[PlannedTrial], float]:
    """gds is best at ``at``; nothing else changes with it."""
    return lambda trial: 90.0 - abs(float(trial.config.get("gds.lam", at)) - at) + noise(trial.key, scale=0.02)


def written(workdir: Path, name: str, at: float, **changes: Any) -> StudyFiles:
    spec = study(**{**WITHOUT_SCREEN, "name": name, "confirm": CONFIRM, **changes})
    files = study_files(workdir, name)
    files.directory.mkdir(parents=True)
    with new_ledger(files.ledger, spec) as ledger:
        write_all(ledger, confirmed(ledger, spec), peak(at))
    return files


def test_an_optimum_that_another_network_moves_is_told(tmp_path: Path) -> None:
    small, large = written(tmp_path, "small", 0.5), written(tmp_path, "large", 1.5, model="mlp-16")
    found = compare_studies([small, large])
    assert [str(entry) for entry in found.differences["large"]] == ["model.name: was mlp-8, is mlp-16"]
    assert found.shifts["digits", "gds"].verdict.shift
    assert found.shifts["digits", "gds"].verdict.reason.startswith("No one λ can be best on all 2 datasets")
    assert [told.dataset for told in found.shifts["digits", "gds"].verdict.datasets] == ["small", "large"]
    assert found.repeated == ()  # a cell of another network is another cell


def test_a_repetition_with_the_same_numbers_is_told_as_such(tmp_path: Path) -> None:
    found = compare_studies([written(tmp_path, "first", 1.0), written(tmp_path, "again", 1.0)])
    (pair,) = found.repeated
    assert (pair.trials, pair.equal, pair.furthest) == (40, 40, 0.0)
    assert found.differences["again"] == []
    assert not found.shifts["digits", "gds"].verdict.shift


def test_trials_that_are_the_same_and_came_out_otherwise_are_counted(tmp_path: Path) -> None:
    (pair,) = compare_studies([written(tmp_path, "first", 1.0), written(tmp_path, "again", 1.5)]).repeated
    assert (pair.trials, pair.equal) == (40, 15)  # those of ce and cos_face
    assert pair.furthest == pytest.approx(0.5)


def test_another_study_seed_is_another_draw(tmp_path: Path) -> None:
    assert compare_studies([written(tmp_path, "first", 1.0), written(tmp_path, "fresh", 1.0, seed=1)]).repeated == ()


def test_studies_of_one_name_are_told_apart_by_where_they_lie(tmp_path: Path) -> None:
    found = compare_studies([written(tmp_path / "a", "same", 1.0), written(tmp_path / "b", "same", 1.0)])
    assert list(found.answers) == [str(tmp_path / "a" / "same"), str(tmp_path / "b" / "same")]


def test_one_study_is_nothing_to_compare(tmp_path: Path) -> None:
    one = written(tmp_path, "one", 1.0)
    with pytest.raises(CallError, match="compare takes two studies or more"):
        compare_studies([one])
    with pytest.raises(CallError, match="a study is named twice"):
        compare_studies([one, one])


def test_the_command_shows_differences_verdicts_and_winners(tmp_path: Path) -> None:
    written(tmp_path, "small", 0.5)
    written(tmp_path, "large", 1.5, model="mlp-16")
    call = ["compare", "small", "large", "--workdir", str(tmp_path)]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "model.name: was mlp-8, is mlp-16" in told.output
    assert "SHIFT of gds on digits from study to study" in told.output
    plain = json.loads(CliRunner().invoke(app, [*call, "--json"]).output)
    assert set(plain) == {"studies", "differences", "shifts", "repeated"}
    assert CliRunner().invoke(app, ["compare", "small", "--workdir", str(tmp_path)]).exit_code == 2
