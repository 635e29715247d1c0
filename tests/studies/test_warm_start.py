"""A search that begins with what an earlier study has screened: which cells it is told, and that they are nobody's evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studies.answer import open_answer
from studies.claim import claim
from studies.cli import app
from studies.plan import screen_trials
from studies.reporting.notes import notes
from studies.running.driver import trial_source
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.warm_start import check_warm_start, recorded_warm_start, take_warm_start
from studies.workspace import StudyError, StudyFiles, study_files
from tests.studies.builders import TWO_DATASETS, accuracy, study, write, write_all

WARM: dict[str, Any] = {"name": "later", "confirm": None, "screen": {"searcher": "tpe", "trials": 12, "warm_start": "small"}}


def screened(workdir: Path, **changes: Any) -> StudySpec:
    """An earlier study of which the whole screen has been measured."""
    spec = study(**changes)
    files = study_files(workdir, spec.name)
    files.directory.mkdir()
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec)
        write_all(ledger, screen_trials(spec), accuracy)
    return spec


def begun(workdir: Path, spec: StudySpec) -> StudyFiles:
    """A study that has been started, and has run nothing."""
    files = study_files(workdir, spec.name)
    files.directory.mkdir(exist_ok=True)
    check_warm_start(spec, files)
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec)
        take_warm_start(spec, ledger, files)
    return files


def test_every_cell_of_the_earlier_screen_that_lies_in_the_new_space_is_taken_with_its_mean(tmp_path: Path) -> None:
    was = screened(tmp_path, screen={"searcher": "sobol", "trials": 18, "seeds": 2})
    # The new space has other values of lambda, and no cos_face.
    families = {"ce": {"label_smoothing": [0, 0.1]}, "gds": {"lam": {"low": 0.5, "high": 3}, "tau": 1}}
    files = begun(tmp_path, study(**{**WARM, "families": families}))
    with Ledger(files.ledger) as ledger:
        taken = recorded_warm_start(ledger)
    assert taken is not None
    expected = {
        json.dumps(trial.config, sort_keys=True): [accuracy(other) for other in screen_trials(was) if other.cell == trial.cell]
        for trial in screen_trials(was)
        if trial.cell.family == "ce" or float(trial.config.get("gds.lam", 0.0)) >= 0.5
    }
    assert {json.dumps(config, sort_keys=True): outcome.value for config, outcome in taken.cells["digits"]} == pytest.approx(
        {config: sum(values) / 2 for config, values in expected.items()}
    )
    assert 0 < taken.count < 18
    with Ledger(study_files(tmp_path, "small").ledger, read_only=True) as source:
        assert (taken.study, taken.study_id) == ("small", source.meta("study_id"))


def test_the_searcher_goes_by_them_and_they_are_no_trials(tmp_path: Path) -> None:
    screened(tmp_path, screen={"searcher": "grid"})
    with Ledger(begun(tmp_path, study(**WARM)).ledger) as ledger:
        source = trial_source(study(**WARM), "screen", ledger)
        assert (source.total, source.done) == (12, 0)
        families = []
        while (trial := source.next()) is not None:
            families.append(trial.cell.family)
            write(ledger, trial, {"val_accuracy": accuracy(trial)})
        assert len(families) == 12
        # A cold search gives families their turns until ten cells have ended, of which it has been told nothing.
        assert families.count("gds") >= 6
        assert len(ledger.trials()) == 12
        assert {row.stage for row in ledger.trials()} == {"screen"}
    answer = open_answer(tmp_path / "later")
    assert answer.counts["trials"].sum() == len(answer.screen) == 12


def test_what_was_taken_stays_when_the_earlier_study_has_gone(tmp_path: Path) -> None:
    screened(tmp_path)
    files = begun(tmp_path, study(**WARM))
    with Ledger(files.ledger) as ledger:
        before = recorded_warm_start(ledger)
    study_files(tmp_path, "small").ledger.unlink()
    begun(tmp_path, study(**WARM))
    with Ledger(files.ledger) as ledger:
        assert recorded_warm_start(ledger) == before


def test_cells_that_a_rule_stopped_and_datasets_that_were_not_there_begin_cold(tmp_path: Path) -> None:
    spec = study()
    files = study_files(tmp_path, "small")
    files.directory.mkdir()
    trials = screen_trials(spec)
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec)
        for place, trial in enumerate(trials):
            write(ledger, trial, {"val_accuracy": accuracy(trial)}, ("finished", "stopped", "diverged")[place % 3])
    with Ledger(begun(tmp_path, study(**{**WARM, "datasets": TWO_DATASETS})).ledger) as ledger:
        taken = recorded_warm_start(ledger)
        assert taken is not None
        assert {dataset: len(cells) for dataset, cells in taken.cells.items()} == {"digits": len(trials[::3]), "noisy": 0}
        assert trial_source(study(**{**WARM, "datasets": TWO_DATASETS}), "screen", ledger).next() is not None


def test_the_earlier_study_is_shown(tmp_path: Path) -> None:
    count = len(screen_trials(screened(tmp_path)))
    begun(tmp_path, study(**WARM))
    sentence = f"the search began with {count} cells that the screen of small had measured; they count nowhere here"
    answer = open_answer(tmp_path / "later")
    assert f"T{sentence[1:]}." in notes(answer)
    assert answer.to_dict()["warm_start"]["cells"] == count
    status = CliRunner().invoke(app, ["status", "later", "--workdir", str(tmp_path)])
    assert sentence in " ".join(status.stdout.split())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"recipe": {"epochs": 2}},
            "no cell of 'small' with a whole trial and val_accuracy is a cell of this study (recipe.epochs: was 1, is 2)",
        ),
        ({"metric": "val_nll", "sesoi": 1.0}, "no cell of 'small' with a whole trial and val_nll is a cell of this study"),
        ({"screen": {**WARM["screen"], "warm_start": "other"}}, "there is no study 'other' in {workdir}"),
    ],
)
def test_a_study_without_a_cell_in_common_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    screened(tmp_path)
    files = study_files(tmp_path, "later")
    with pytest.raises(StudyError) as caught:
        check_warm_start(study(**{**WARM, **changes}), files)
    assert str(caught.value) == f"screen.warm_start: {sentence.format(workdir=tmp_path)}"
    assert not files.directory.exists()
