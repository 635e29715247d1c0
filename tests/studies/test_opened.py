"""A study opened in a notebook: its frames agree with its ledger, its figures are Matplotlib's, and its files are the same each time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from studies import open_study
from studies.opened import Study, write_files
from studies.tracking.ledger import Ledger
from studies.workspace import StudyError, study_files
from tests.studies import builders

SPEC = builders.study(**{**builders.WITHOUT_SCREEN, "datasets": builders.TWO_DATASETS})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A confirmed study on two datasets, with a replicate lost."""
    files = study_files(tmp_path_factory.mktemp("work"), SPEC.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, SPEC) as ledger:
        trials = builders.confirmed(ledger, SPEC)
        builders.write_all(ledger, trials, lambda trial: None if trial.key == trials[-1].key else builders.accuracy(trial))
    return open_study(files.directory)


def test_trials_and_metrics_have_a_row_for_each_trial_and_epoch(study: Study) -> None:
    with Ledger(study.files.ledger, read_only=True) as ledger:
        trials = ledger.trials()
    assert sorted(study.trials["key"]) == sorted(trial.key for trial in trials)
    gds = study.trials[study.trials["family"] == "gds"]
    assert set(gds["gds.lam"]) == {0.0, 1.0} and gds["cos_face.m"].isna().all()
    assert (study.trials["status"] == "finished").sum() == len(trials) - 1
    assert {"key", "epoch", "val_accuracy", "seed"} <= set(study.metrics.columns)


def test_curves_hold_every_replicate_and_those_of_ce(study: Study) -> None:
    table = study.curves
    confirmed = study.trials[study.trials["stage"] == "confirm"]
    assert len(table) == len(confirmed)
    assert set(table.loc[table["family"] == "ce", "value"].isna()) == {True}
    one = table[(table["dataset"] == "digits") & (table["family"] == "gds") & (table["value"] == 1.0)].set_index("seed")["val_accuracy"]
    mine = confirmed[(confirmed["dataset"] == "digits") & (confirmed["gds.lam"] == 1.0)].set_index("seed")["val_accuracy"]
    pd.testing.assert_series_equal(one.sort_index(), mine.sort_index(), check_names=False)


def test_verdicts_have_a_row_for_each_curve(study: Study) -> None:
    assert study.verdicts[["dataset", "family", "label"]].to_numpy().tolist() == [
        [curve.dataset, curve.family, curve.verdict.label] for curve in study.answer.curves
    ]
    assert "<table" in study._repr_html_()


def test_without_a_screen_every_gain_stands_in_a_column_that_says_it_is_optimistic(study: Study) -> None:
    assert study.verdicts["gain"].isna().all() and study.verdicts["optimistic_gain"].notna().all()
    assert not any(name.startswith(("gains", "families")) for name in study.figures)


def test_figures_are_matplotlibs_by_the_name_of_their_file(study: Study) -> None:
    assert {"confirm-digits-gds", "forest-gds", "cost-family"} <= set(study.figures)
    assert all(isinstance(figure, Figure) for figure in study.figures.values())


def test_files_beside_the_report_are_the_same_each_time(study: Study, tmp_path: Path) -> None:
    written = write_files(study, tmp_path / "one")
    again = write_files(open_study(study.files.directory.parent), tmp_path / "two" / "deeper")
    assert [path.name for path in written] == [path.name for path in again]
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG") or path.suffix != ".png"
        assert b"</svg>" in content or path.suffix != ".svg"
    verdicts = pd.read_csv(tmp_path / "one" / "verdicts.csv")
    assert verdicts["mean"].tolist() == study.verdicts["mean"].tolist()


def test_where_there_is_no_study_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as error:
        open_study(tmp_path)
    assert str(error.value) == f"{tmp_path} holds no study"
