"""What a study may choose by: what all its datasets measure on the validation split, down to the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from studies.answer import answer
from studies.export import export_study
from studies.findings import Answer
from studies.plain_yaml import StudyFileError
from studies.plan import confirm_trials
from studies.reporting.tables import method
from studies.spec import StudySpec
from studies.workspace import study_files
from tests import digit_tasks
from tests.studies import builders
from tests.studies.conftest import train


@pytest.fixture(scope="module", autouse=True)
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with digit_tasks.installed(tmp_path_factory.mktemp("package")):
        yield


UNVALIDATED = {"dataset": "digits", "validation": 0}
CURVE: dict[str, Any] = {
    **builders.WITHOUT_SCREEN,
    "families": {"ce": {"label_smoothing": 0}, "gds": {"tau": 1}},
    "confirm": {"families": 1, "seeds": 2, "values": {"gds": [0, 1]}},
}


@pytest.mark.parametrize(
    ("dataset", "metric", "maximize"),
    [
        ("digits-found", "val_map", True),
        ("digits-found", "val_rank_5", True),
        ("digits-compared", "val_tar_at_far_0.001", True),
        ("digits-compared", "val_equal_error_rate", False),
        ("market1501", "val_map", True),
        ("lfw", "val_tar_at_far_0.01", True),
    ],
)
def test_a_study_may_ask_for_a_metric_of_its_datasets_task(dataset: str, metric: str, maximize: bool) -> None:
    assert builders.study(datasets=[dataset], metric=metric, sesoi=0.1).maximize is maximize


@pytest.mark.parametrize("datasets", [["digits"], ["digits-found", "digits"], ["digits-found", "digits-compared"]])
def test_a_metric_that_not_all_datasets_have_is_refused(datasets: list[str]) -> None:
    with pytest.raises(StudyFileError, match=r"metric must be one of val_accuracy, .*, got 'val_map'"):
        builders.study(datasets=datasets, metric="val_map", sesoi=0.1)


@pytest.mark.parametrize("datasets", [[UNVALIDATED], ["digits", UNVALIDATED]])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_map"])
def test_where_nothing_validates_nothing_chooses_that_is_measured_on_a_validation_split(datasets: list[Any], metric: str) -> None:
    with pytest.raises(StudyFileError) as error:
        builders.study(datasets=datasets, metric=metric, sesoi=0.1)
    said = f"metric must be class_margin where no example of a dataset validates, as of digits-val0, got '{metric}'"
    assert str(error.value) == said
    assert builders.study(datasets=datasets, metric="class_margin", sesoi=1).maximize


def test_where_nothing_validates_there_is_nothing_to_trade_off() -> None:
    screen = {"searcher": "tpe", "trials": 5, "trade_off": ["val_nll"]}
    with pytest.raises(StudyFileError) as error:
        builders.study(datasets=[UNVALIDATED], metric="class_margin", sesoi=1, screen=screen)
    assert str(error.value) == "screen.trade_off must be left out where no example of a dataset validates, got 'val_nll'"


def test_what_a_task_measures_on_the_test_split_is_refused() -> None:
    with pytest.raises(StudyFileError, match="test_map is measured on the test split, which never chooses; the metric may be val_map"):
        builders.study(datasets=["digits-found"], metric="test_map", sesoi=0.1)


def test_what_is_recorded_of_the_validation_split_may_be_compared() -> None:
    assert builders.study(metric="val_top_3_accuracy", sesoi=0.1, record={"top_k": [3]}).maximize
    assert builders.study(metric="val_close_enough_0.25", sesoi=0.1, record={"close_enough": [0.25]}).maximize


def trained(workdir: Path, spec: StudySpec) -> tuple[Answer, pd.DataFrame]:
    """What a study came to whose confirm stage was trained here, and its final metrics."""
    files = study_files(workdir, spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in confirm_trials(spec):
            train(ledger, files, spec, planned)
        return answer(ledger), ledger.final_metrics("confirm")


def test_a_study_of_retrieval_comes_to_a_verdict_by_its_metric(tmp_path: Path) -> None:
    spec = builders.study(**CURVE, datasets=["digits-found"], metric="val_map", sesoi=0.5)
    found, table = trained(tmp_path, spec)
    best = table.groupby("cell_id")["val_map"].mean().max()
    [winner], [curve] = found.winners, found.curves
    assert winner.summary.mean == pytest.approx(best)
    assert "val_map" in curve.table
    assert json.dumps(found.to_dict())


def test_a_study_in_which_nothing_validates_comes_to_a_verdict_by_the_class_margin_and_says_so(tmp_path: Path) -> None:
    spec = builders.study(**CURVE, datasets=[UNVALIDATED], metric="class_margin", sesoi=1, record={"test": True})
    found, table = trained(tmp_path, spec)
    assert not any(name.startswith("val_") for name in table)
    [winner] = found.winners
    assert winner.summary.mean == pytest.approx(table.groupby("cell_id")["class_margin"].mean().max())
    assert method(found)[0] == "No example of digits-val0 validates: the class margin of trained weights chooses and measures."
    exported = export_study(study_files(tmp_path, spec.name), data_root=None)["digits-val0"]
    assert "on examples like those of its training split" in (exported / "README.md").read_text()
