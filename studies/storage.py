"""A folder of an object store, or any other that pyarrow or fsspec reach by a URL: files go there by their names, and come back.

What is kept there, and when, is left to `studies.running.trial_copies` and `studies.stored`; what a checkpoint is, to
`margin_core.training`.
"""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

_PROBE = ".margin-studies"
_WHOLE = ("s3", "gcs", "abfs")  # an object store shows an object when all of it is there


class StorageError(OSError):
    """A storage that cannot be used; the message is one sentence."""


class Storage:
    """The folder of one study on a storage.

    A file is there whole or not at all.

    Args:
        url: ``s3://bucket/folder``, ``gs://bucket/folder``, ``file:///folder``, or any other URL that pyarrow or fsspec know.
        folder: A folder below it.

    Raises:
        StorageError: Where ``url`` is none.
    """

    def __init__(self, url: str, folder: str) -> None:
        self.url = url
        self._filesystem, root = _filesystem(url)
        self._root = PurePosixPath(root) / folder

    def put(self, file: Path, name: str) -> None:
        """Copy ``file`` to the storage as ``name``, over what was there."""
        part = name if self._filesystem.type_name in _WHOLE else f"{name}.part"
        with file.open("rb") as source, self._output(part) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        if part != name:
            self.move(part, name)

    def get(self, name: str, file: Path) -> bool:
        """Copy ``name`` to ``file``, over what was there; False where the storage has no such file."""
        part = file.with_name(f".{file.name}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._filesystem.open_input_stream(self._path(name)) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError:
            return False
        part.replace(file)
        return True

    def move(self, name: str, to: str) -> bool:
        """Give a file another name, over what was there; False where the storage has no such file."""
        if not self._is_file(name):
            return False
        self._filesystem.move(self._path(name), self._path(to))
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        if self._is_file(name):
            self._filesystem.delete_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, without the folder's own; none where there is no such folder."""
        from pyarrow import fs

        found = self._filesystem.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return sorted(info.base_name for info in found if info.is_file)

    def check(self) -> None:
        """Write, read and remove a file; raises `StorageError` with one sentence where that fails."""
        try:
            with self._output(_PROBE) as target:
                target.write(b"ok")
            self.remove(_PROBE)
        except OSError as error:
            raise StorageError(f"the storage {self.url} cannot be written: {' '.join(str(error).split())}") from error

    def _output(self, name: str) -> Any:
        try:
            return self._filesystem.open_output_stream(self._path(name))
        except FileNotFoundError:  # folders are made where they are real ones; of an object store they are parts of names
            self._filesystem.create_dir(str(PurePosixPath(self._path(name)).parent), recursive=True)
            return self._filesystem.open_output_stream(self._path(name))

    def _is_file(self, name: str) -> bool:
        return bool(self._filesystem.get_file_info(self._path(name)).is_file)

    def _path(self, name: str) -> str:
        return str(self._root / name)


@lru_cache(maxsize=8)
def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, which knows how to reach its server, and the path in it."""
    from pyarrow import ArrowInvalid, fs

    parts = urlsplit(url)
    if not parts.scheme or "://" not in url:
        raise StorageError(f"--storage must be a URL, such as s3://bucket/folder, gs://bucket/folder or file:///folder, got {url!r}")
    if parts.password:
        raise StorageError("--storage must not hold a password, for it is written into the ledger; name it in the environment")
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(url)
        return found
    except ArrowInvalid as error:
        if "Unrecognized filesystem type" not in str(error):
            raise StorageError(f"--storage {url}: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise StorageError(f"the storage {url} cannot be reached: {' '.join(str(error).split())}") from error
    import fsspec

    try:
        other, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise StorageError(f"--storage {url}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(other)), path
