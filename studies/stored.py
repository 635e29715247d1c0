"""What of a study lies on a storage: a copy of its ledger, from which a new head goes on, and what its trials left there.

The driver's own ledger stays the source of truth. A copy is made by SQLite itself, hence whole and of one moment, and fetched only where
it holds more than what is there. What trials send is left to `studies.running.trial_copies`.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from studies.storage import Storage, StorageError
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles

LEDGER, CHECKPOINTS, EXAMPLES = "ledger.sqlite", "checkpoints", "examples"
SECONDS = 60.0

logger = logging.getLogger(__name__)


def recorded_storage(files: StudyFiles) -> str | None:
    """The URL that a study was last run with, if any."""
    if not files.ledger.is_file():
        return None
    with Ledger(files.ledger, read_only=True) as ledger:
        return ledger.meta("storage")


@contextmanager
def ledger_kept(files: StudyFiles, storage: Storage | None, seconds: float = SECONDS) -> Iterator[None]:
    """Fetch a study's ledger where the storage has more of it, and copy it there every minute and when the block ends.

    A storage that does not answer meanwhile is tried again with the next copy.

    Args:
        files: The study's.
        storage: Where to, or None to do nothing.
        seconds: Time between two copies.

    Raises:
        StorageError: The storage does not answer at the beginning, or holds the ledger of another study; or does not take the last copy.
    """
    if storage is None:
        yield
        return
    fetch_ledger(files, storage)
    over = threading.Event()

    def copy_now_and_then() -> None:
        while not over.wait(seconds):
            try:
                copy_ledger(files.ledger, storage)
            except (OSError, sqlite3.Error) as error:
                logger.warning("the storage does not take the ledger: %s", error)

    thread = threading.Thread(target=copy_now_and_then, name="ledger-copies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            copy_ledger(files.ledger, storage)
        except OSError as error:
            reason = " ".join(str(error).split())
            raise StorageError(f"the storage {storage.url} did not take the ledger ({reason}); resume sends it again") from error


def collect(files: StudyFiles, storage: Storage | None, *, complete: bool, keep: Iterable[str]) -> None:
    """Bring home what the trials left on the storage: every file of examples and, of a complete study, the checkpoints to keep.

    Args:
        files: The study's.
        storage: Where from, or None to do nothing.
        complete: Whether the study is; then the storage's other checkpoints are removed.
        keep: What the names of the checkpoints to keep begin with.
    """
    if storage is None:
        return
    for name in storage.names(EXAMPLES):
        if not (files.examples / name).exists():
            storage.get(f"{EXAMPLES}/{name}", files.examples / name)
    for name in storage.names(CHECKPOINTS) if complete else ():
        if name.startswith(tuple(keep)):
            storage.get(f"{CHECKPOINTS}/{name}", files.checkpoints / name)
        else:
            storage.remove(f"{CHECKPOINTS}/{name}")


def copy_ledger(ledger: Path, storage: Storage) -> None:
    """Copy a ledger that may be written to meanwhile, as it is at one moment."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / LEDGER
        with (
            closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        storage.put(copy, LEDGER)


def fetch_ledger(files: StudyFiles, storage: Storage) -> bool:
    """Put the storage's ledger in the place of the local one, where that holds less or is none; returns whether it did.

    What is replaced stays beside it, as ``ledger.sqlite.replaced``.

    Raises:
        StorageError: The storage does not answer, or holds the ledger of another study.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / LEDGER
        try:
            if not storage.get(LEDGER, copy):
                return False
        except OSError as error:
            raise StorageError(f"the storage {storage.url} cannot be read: {' '.join(str(error).split())}") from error
        if files.ledger.exists():
            (here, rows), (there, more) = _extent(files.ledger), _extent(copy)
            if here != there:
                raise StorageError(f"the storage {storage.url} holds another study of this name; give this one another name or storage")
            if more <= rows:
                return False
        files.directory.mkdir(parents=True, exist_ok=True)
        _put_in_place(copy, files.ledger)
    return True


def _extent(ledger: Path) -> tuple[str, tuple[int, int]]:
    """Which study a ledger is of, and how much it holds: ended trials and epochs, neither of which ever becomes less."""
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            [study] = connection.execute("SELECT value FROM meta WHERE key = 'study_id'").fetchone() or [""]
            [ended] = connection.execute("SELECT COUNT(ended) FROM trials").fetchone()
            [epochs] = connection.execute("SELECT COUNT(*) FROM epochs").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{ledger} cannot be read as a ledger: {error}") from error
    return str(study), (int(ended), int(epochs))


def _put_in_place(copy: Path, ledger: Path) -> None:
    """By SQLite too, so that a log of the former file beside it never meets the new one."""
    if ledger.exists():
        with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(ledger.with_name(f"{LEDGER}.replaced"))) as kept:
            source.backup(kept)
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(ledger)) as target:
        source.backup(target)
