"""The work directory: where a study's files lie, and how a study is found by name or by directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.study import recorded_spec
from studies.workspace import StudyError, check_workdir, find_studies, open_files, study_files
from tests.studies import builders


def make(workdir: Path, *names: str) -> Path:
    """A work directory with studies of these names."""
    for name in names:
        files = study_files(workdir, name)
        files.directory.mkdir(parents=True)
        builders.new_ledger(files.ledger, builders.study(name=name)).close()
    return workdir


def test_the_files_of_a_study_lie_below_its_name() -> None:
    files = study_files(Path("runs"), "small")
    assert files.ledger == Path("runs/small/ledger.sqlite")
    assert files.report == Path("runs/small/report.html")
    assert files.verdicts == Path("runs/small/verdicts.json")
    assert files.checkpoints == Path("runs/small/checkpoints")
    assert files.export == Path("runs/small/export")


def test_studies_are_the_directories_with_a_ledger(tmp_path: Path) -> None:
    make(tmp_path, "second", "first")
    (tmp_path / "mlflow-artifacts").mkdir()
    (tmp_path / "ledger.sqlite").touch()
    assert find_studies(tmp_path) == ["first", "second"]
    assert find_studies(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["runs", "deep/er/runs", "with [brackets] and spaces"])
def test_a_work_directory_is_made_and_left_empty(tmp_path: Path, name: str) -> None:
    check_workdir(tmp_path / name)
    check_workdir(tmp_path / name)
    assert list((tmp_path / name).iterdir()) == []


@pytest.mark.parametrize(("below", "reason"), [("", "File exists"), ("/runs", "Not a directory"), ("/deep/er", "Not a directory")])
def test_a_work_directory_that_cannot_be_is_told(tmp_path: Path, below: str, reason: str) -> None:
    (tmp_path / "file").write_text("a file")
    workdir = Path(f"{tmp_path}/file{below}")
    with pytest.raises(PermissionError) as caught:
        check_workdir(workdir)
    assert str(caught.value) == f"the work directory {workdir} cannot be written: {reason}"


def test_a_study_is_opened_by_name_by_directory_or_for_being_alone(tmp_path: Path) -> None:
    workdir = make(tmp_path / "runs", "small")
    wanted = workdir / "small" / "ledger.sqlite"
    assert open_files(workdir, "small").ledger == wanted
    assert open_files(workdir, None).ledger == wanted
    assert open_files(tmp_path, str(workdir / "small")).ledger == wanted
    assert recorded_spec(open_files(workdir, None)) == builders.study()


def test_a_study_is_opened_from_within_its_own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir = make(tmp_path / "runs", "small")
    monkeypatch.chdir(workdir / "small")
    assert open_files(Path("margin-runs"), ".").directory == workdir / "small"


def test_a_study_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    make(tmp_path, "first", "second")
    with pytest.raises(StudyError) as caught:
        open_files(tmp_path, "third")
    assert str(caught.value) == f"there is no study 'third' in {tmp_path}; studies there: first, second"
    with pytest.raises(StudyError) as caught:
        open_files(tmp_path, None)
    assert str(caught.value) == f"{tmp_path} holds 2 studies; name one; studies there: first, second"
    with pytest.raises(StudyError) as caught:
        open_files(tmp_path / "nowhere", "third")
    assert str(caught.value) == f"there is no study 'third' in {tmp_path / 'nowhere'}"


def test_a_renamed_directory_is_not_gone_on_with(tmp_path: Path) -> None:
    workdir = make(tmp_path, "small")
    (workdir / "small").rename(workdir / "other")
    with pytest.raises(StudyError) as caught:
        recorded_spec(open_files(workdir, "other"))
    assert str(caught.value) == f"{workdir / 'other'} holds the study 'small'; rename it to small to go on with it"
