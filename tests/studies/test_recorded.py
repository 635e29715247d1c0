"""Tables of what trials recorded: a row for each epoch, step and test example, each with its trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from margin_core.data import DatasetConfig, prepare
from studies.plan import confirm_trials
from studies.recorded import example_table, path_table
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files
from tests.studies import builders
from tests.studies.conftest import train

PER_EPOCH = 17  # 1079 training examples in batches of 64


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Four trials on two datasets, of two epochs each."""
    spec = builders.study(
        **{
            **builders.WITHOUT_SCREEN,
            "families": {"ce": {"label_smoothing": 0}, "two_scale": {"ratio": 10}},
            "datasets": builders.TWO_DATASETS,
            "recipe": {"epochs": 2, "batch_size": 64},
            "confirm": {"families": 1, "seeds": 1, "values": {"two_scale": [0.01]}},
            "record": {"test": True, "scales": True, "first_steps": 3, "every_steps": PER_EPOCH, "examples": True},
        }
    )
    files = study_files(tmp_path_factory.mktemp("runs"), spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in confirm_trials(spec):
            train(ledger, files, spec, planned)
    return files


def test_a_path_has_a_row_for_each_epoch_or_step(files: StudyFiles) -> None:
    epochs, steps = path_table(files), path_table(files, by_step=True)
    assert epochs.groupby("key")["epoch"].apply(list).tolist() == [[1, 2]] * 4
    assert steps.groupby("key")["step"].apply(list).tolist() == [[1, 2, 3, PER_EPOCH, 2 * PER_EPOCH]] * 4
    last = steps[steps["step"] == PER_EPOCH * steps["epoch"]].reset_index(drop=True)
    shared = [name for name in steps if name != "step"]
    assert last[shared].equals(epochs[shared])
    assert epochs.groupby("family")["log_R2"].count().to_dict() == {"ce": 0, "two_scale": 4}


def test_the_test_examples_of_a_dataset_are_those_that_its_trials_are_measured_on(files: StudyFiles) -> None:
    table = example_table(files)
    tested = prepare(DatasetConfig("digits"), study_seed=0, replicate=0).test_indices.tolist()
    assert table.groupby("key")["place"].apply(list).tolist() == [tested] * 4
    assert set(table["dataset"]) == {"digits", "noisy"}
    assert set(example_table(files, dataset="noisy")["key"]) == set(table.loc[table["dataset"] == "noisy", "key"])
    ends = path_table(files).groupby("key")[["test_accuracy", "test_sample_margin"]].last()
    assert (100.0 * table.groupby("key")["right"].mean()).tolist() == pytest.approx(ends["test_accuracy"].tolist())
    assert table.astype({"margin": float}).groupby("key")["margin"].mean().tolist() == pytest.approx(ends["test_sample_margin"], abs=1e-3)


def test_a_study_that_recorded_nothing_has_empty_tables_with_their_columns(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    empty = StudyFiles(tmp_path)
    assert (len(path_table(empty)), len(path_table(empty, by_step=True)), len(example_table(empty))) == (0, 0, 0)
    assert {"epoch", "step"} < set(path_table(empty, by_step=True))
    assert {"place", "right", "margin"} < set(example_table(empty))
