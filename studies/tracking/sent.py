"""What of a ledger has reached which MLflow store, and so what is still to be sent.

The notes are a table in the ledger's own file, so they survive whatever the ledger survives. Each is of one store, for a study may be sent
to several. They only save work: a store's own runs, found by their tags, have the last word (`Sent.adopt`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_TABLE = """
CREATE TABLE IF NOT EXISTS sent (
    store TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, epochs INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (store, key)
) WITHOUT ROWID
"""
_PLACES = """
CREATE TABLE IF NOT EXISTS experiments (store TEXT PRIMARY KEY, experiment TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID
"""
_PENDING = """
FROM trials LEFT JOIN sent ON sent.store = ? AND sent.key = trials.key
WHERE sent.status IS NULL OR sent.status <> trials.status
   OR (trials.status = 'running' AND sent.epochs < (SELECT MAX(epoch) FROM epochs WHERE epochs.key = trials.key))
"""


class Note(NamedTuple):
    """What has reached a store under one key: the MLflow run, the last epoch and the status."""

    run_id: str
    epochs: int
    status: str


class Sent:
    """The notes for one store.

    Args:
        ledger: The ledger's file.
        store: The store's name: its URI without credentials.
    """

    def __init__(self, ledger: Path, store: str) -> None:
        self._store = store
        self._connection = sqlite3.connect(ledger, timeout=30.0, isolation_level=None)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_TABLE)
        self._connection.execute(_PLACES)
        self._connection.execute("CREATE TEMP TABLE found (key TEXT NOT NULL, run_id TEXT PRIMARY KEY) WITHOUT ROWID")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def note(self, key: str) -> Note | None:
        """What was noted for ``key``."""
        row = self._connection.execute("SELECT run_id, epochs, status FROM sent WHERE store = ? AND key = ?", (self._store, key)).fetchone()
        return None if row is None else Note(*row)

    def write(self, key: str, note: Note) -> None:
        """Note what has reached the store."""
        self._connection.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)", (self._store, key, *note))

    def write_experiment(self, experiment: str) -> None:
        """Note which of the store's experiments the study is."""
        self._connection.execute("INSERT OR REPLACE INTO experiments VALUES (?, ?, ?)", (self._store, experiment, time.time()))

    def pending(self) -> list[str]:
        """The trials of which the store lacks something, in the order in which they started."""
        return [key for (key,) in self._connection.execute(f"SELECT trials.key {_PENDING} ORDER BY started, trials.key", (self._store,))]

    def adopt(self, runs: Iterable[tuple[str, str]]) -> list[str]:
        """Make the notes agree with the store's own runs.

        A key whose run the store has not is forgotten, so it is sent again. A key that was never noted, for the process that made its run
        was killed before it could, gets its run.

        Args:
            runs: Key and run of every run of the study in the store.

        Returns:
            Runs too many: those of keys that have another one, as a request that was made twice leaves them.
        """
        runs = list(runs)  # asked of the store before the ledger is locked
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("DELETE FROM found")
            cursor.executemany("INSERT OR IGNORE INTO found VALUES (?, ?)", runs)
            cursor.execute("DELETE FROM sent WHERE store = ? AND run_id NOT IN (SELECT run_id FROM found)", (self._store,))
            cursor.execute(
                "INSERT OR IGNORE INTO sent (store, key, run_id) SELECT ?, key, MIN(run_id) FROM found GROUP BY key", (self._store,)
            )
            kept = "SELECT run_id FROM sent WHERE store = ?"
            surplus = [run for (run,) in cursor.execute(f"SELECT run_id FROM found WHERE run_id NOT IN ({kept})", (self._store,))]
            cursor.execute("COMMIT")
        return surplus


def last_experiment(ledger: Path) -> tuple[str, str] | None:
    """The store that a ledger was last sent to, by its URI without credentials, and the study's experiment there, if there is one."""
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone() is None:
            return None
        found = connection.execute("SELECT store, experiment FROM experiments ORDER BY at DESC, store LIMIT 1").fetchone()
    return None if found is None else (str(found[0]), str(found[1]))
