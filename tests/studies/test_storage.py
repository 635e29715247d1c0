"""Files on a storage: the same on a folder by `file://`, on fsspec's own kinds, and on an object store that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from studies.cli import app
from studies.storage import Storage, StorageError
from tests.object_store import object_store


@pytest.fixture(params=["file", "fsspec", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    if request.param == "s3":
        with object_store(monkeypatch) as url:
            yield Storage(url, "my-study")
    else:
        yield Storage((tmp_path / "kept").as_uri() if request.param == "file" else f"memory://{tmp_path.name}", "my-study")


def test_a_file_comes_back_as_it_went_and_may_be_put_again(storage: Storage, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "new folder" / "back"
    assert not storage.get("deep/name.bin", back)
    assert not back.exists()
    for contents in (b"first" * 300_000, b"", b"last"):
        here.write_bytes(contents)
        storage.put(here, "deep/name.bin")
        assert storage.get("deep/name.bin", back)
        assert back.read_bytes() == contents
    assert storage.names("deep") == ["name.bin"]


def test_a_file_is_moved_over_another_and_removed_and_neither_minds_that_there_is_none(storage: Storage, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
        storage.put(tmp_path / name, f"folder/{name}")
    assert storage.move("folder/new", "folder/old")
    assert not storage.move("folder/new", "folder/old")
    assert storage.names("folder") == ["old"]
    assert storage.get("folder/old", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "new"
    for _ in range(2):
        storage.remove("folder/old")
        assert storage.names("folder") == []
    assert storage.names("no such folder") == []


def test_a_check_leaves_nothing(storage: Storage) -> None:
    storage.check()
    assert storage.names("") == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("here", "--storage must be a URL, such as s3://bucket/folder, gs://bucket/folder or file:///folder, got 'here'"),
        ("/shared/here", "--storage must be a URL, such as s3://bucket/folder, gs://bucket/folder or file:///folder, got '/shared/here'"),
        ("s3://me:secret@bucket/here", "--storage must not hold a password, for it is written into the ledger; name it in the environment"),
        ("floppy://a", "--storage floppy://a: Protocol not known: floppy"),
    ],
)
def test_what_is_no_storage_is_told_in_one_sentence(url: str, told: str) -> None:
    with pytest.raises(StorageError) as error:
        Storage(url, "my-study")
    assert str(error.value) == told


def test_a_storage_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the storage file:///.*/file cannot be written: .*"):
        Storage((tmp_path / "file").as_uri(), "my-study").check()


def test_the_command_refuses_what_is_no_storage_before_anything_starts(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["run", "quickstart", "--workdir", str(tmp_path / "runs"), "--storage", "here"])
    assert (told.exit_code, told.stdout) == (2, "")
    assert "error: --storage must be a URL, such as s3://bucket/folder" in told.stderr
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_study_that_is_neither_here_nor_on_the_storage_cannot_be_resumed(tmp_path: Path) -> None:
    options = ["--workdir", str(tmp_path / "runs"), "--storage", (tmp_path / "kept").as_uri()]
    told = CliRunner().invoke(app, ["resume", "small", *options])
    assert told.exit_code == 2
    assert "there is no study 'small'" in told.stderr
