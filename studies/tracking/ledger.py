"""The study's own record: one SQLite file, the source of truth.

The driver alone writes it, as reports come in, so whatever was reported survives a killed driver, worker or tracking server; in the same
file the mirror notes what it has sent (`studies.tracking.sent`).
Rows are keyed by what they are (stage, cell, seed, epoch), so writing one again changes nothing. MLflow mirrors this record
(`studies.tracking.mlflow_mirror`), and reports, exports and resumed runs read it (`studies.tracking.readings`).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.difference import Difference
from studies.tracking.readings import Readings
from studies.tracking.records import ENDED, ChangeKind, LedgerError, Status
from studies.tracking.schema import VERSION, upgrade, upgraded_copy, version_of

if TYPE_CHECKING:  # who asks how far a study is does not wait for torch
    from studies.plan import PlannedTrial

# What is copied with a trial: from where, to where, which columns; a trial's cell comes first, for its trial refers to it.
_COPIED = {
    ("trials JOIN cells USING (cell_id)", "cells"): ("cell_id", "dataset", "family", "cell", "config"),
    ("trials", "trials"): ("key", "stage", "cell_id", "seed", "status", "reason", "started", "ended", "attempts", "copied_from", "phase"),
    ("epochs", "epochs"): ("key", "epoch", "at", "seconds", "metrics"),
    ("steps", "steps"): ("key", "step", "epoch", "metrics"),
    ("class_counts", "class_counts"): ("key", "counts"),
}


class Ledger(Readings):
    """An open ledger.

    Args:
        path: The SQLite file; made, with its tables, where there is none. One of an earlier version is given the tables that it lacks.
        read_only: Open an existing ledger for reading alone, as a report does beside a running study. One of an earlier version is
            read into memory, and its file stays as it is.

    Raises:
        LedgerError: There is no ledger to read, the file is none, or it is of a later version.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise LedgerError(f"there is no ledger at {path}")
        address = f"{path.absolute().as_uri()}?mode=ro" if read_only else str(path)
        try:
            self._connection = sqlite3.connect(address, uri=read_only, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._open(read_only)
        except sqlite3.Error as error:
            raise LedgerError(f"the ledger {path} cannot be opened: {error}") from error
        self._connection.row_factory = sqlite3.Row

    def _open(self, read_only: bool) -> None:
        if not read_only:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
        if read_only and (version := self._version()) < VERSION:
            if version == 0:
                raise LedgerError(f"the ledger {self.path} is empty")
            old, self._connection = self._connection, upgraded_copy(self._connection, version)
            old.close()
        elif not read_only and self._version() < VERSION:
            with self._writing():  # asked again, for another process may have done it by now
                upgrade(self._connection, self._version())

    def _version(self) -> int:
        version = version_of(self._connection)
        if version > VERSION:
            raise LedgerError(f"the ledger {self.path} has schema version {version}, and this release reads 1 to {VERSION}")
        return version

    def close(self) -> None:
        """Close the file; everything written is already in it."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise LedgerError(
                    f"the ledger {self.path} cannot be written: {error}; once it can be, the study goes on from it"
                ) from error
            raise

    def set_meta(self, key: str, value: str) -> None:
        """Write a fact about the study."""
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def write_study(self, facts: Mapping[str, str], change: tuple[ChangeKind, Sequence[Difference]] | None = None) -> None:
        """Write facts about the study together with the change that made them so, all or nothing."""
        with self._writing():
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))
            if change is not None:
                kind, differences = change
                self._connection.execute(
                    "INSERT INTO changes (at, kind, ended, differences)"
                    " SELECT ?, ?, COUNT(*), ? FROM trials WHERE status IN ('finished', 'stopped', 'diverged', 'failed')",
                    (time.time(), kind, _dump([astuple(difference) for difference in differences])),
                )

    def start(self, trial: PlannedTrial) -> None:
        """Record that a trial runs; one that was interrupted before runs again as the same trial, one that ended stays as it is.

        One that was stopped goes on where a segment of it is asked for: a failed trial that was retried has shown that it was too good.
        """
        cell = trial.cell
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?)",
                (cell.cell_id, trial.dataset, cell.family, _dump(cell.to_dict()), _dump(trial.config)),
            )
            self._connection.execute(
                "INSERT INTO trials (key, stage, cell_id, seed, status, started) VALUES (?, ?, ?, ?, 'running', ?)"
                " ON CONFLICT (key) DO UPDATE SET status = 'running', reason = '', ended = NULL, attempts = attempts + 1"
                " WHERE status IN ('running', 'paused', 'interrupted', ?)",
                (trial.key, trial.stage, cell.cell_id, trial.replicate, time.time(), "stopped" if trial.segment else "running"),
            )

    def report(self, key: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record epochs; one that is there already stays as it is.

        Args:
            key: The trial.
            rows: Each with ``epoch``, ``at``, ``seconds`` and ``metrics``, and, where something was measured within the epoch, ``steps``:
                for each such step ``step``, counted from the beginning of the training, and ``metrics``. The first may have
                ``class_counts``, and the trial's ``phase`` where that is not 0.
        """
        rows = list(rows)
        with self._writing():
            self._connection.executemany(
                "INSERT OR IGNORE INTO epochs VALUES (?, ?, ?, ?, ?)",
                [(key, row["epoch"], row["at"], row["seconds"], _dump(row["metrics"])) for row in rows],
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO steps VALUES (?, ?, ?, ?)",
                [(key, step["step"], row["epoch"], _dump(step["metrics"])) for row in rows for step in row.get("steps", ())],
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO class_counts VALUES (?, ?)",
                [(key, _dump(row["class_counts"])) for row in rows if "class_counts" in row],
            )
            self._connection.executemany(
                "UPDATE trials SET phase = ? WHERE key = ?", [(row["phase"], key) for row in rows if "phase" in row]
            )

    def end(self, key: str, status: Status, reason: str = "") -> None:
        """Record how a trial ended, or that it waits to go on; the first ending stands."""
        with self._writing():
            self._connection.execute(
                "UPDATE trials SET status = ?, reason = ?, ended = ? WHERE key = ? AND status IN ('running', 'paused', 'interrupted')",
                (status, reason, time.time() if status in ENDED else None, key),
            )

    def retry_failed(self) -> int:
        """Let every trial that failed be tried again, from where it was; returns how many there are. Those that diverged stay."""
        with self._writing():
            return self._connection.execute("UPDATE trials SET status = 'interrupted', ended = NULL WHERE status = 'failed'").rowcount

    def forget_epochs(self, key: str) -> None:
        """Drop what a trial has reported, for it begins anew and may come to other numbers."""
        with self._writing():
            for table in ("epochs", "steps", "class_counts"):
                self._connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))

    def interrupt_running(self) -> None:
        """Mark every trial that is still called running as interrupted: its driver is gone."""
        with self._writing():
            self._connection.execute("UPDATE trials SET status = 'interrupted' WHERE status = 'running'")

    def suggest(self, dataset: str, number: int, config: Mapping[str, Any]) -> None:
        """Record what a searcher that learns has suggested, before it is handed out."""
        with self._writing():
            self._connection.execute("INSERT OR IGNORE INTO suggestions VALUES (?, ?, ?)", (dataset, number, _dump(config)))

    def copy_suggestions(self, other: Ledger, datasets: Collection[str]) -> None:
        """Copy what the searcher of another ledger has suggested on some datasets; what is here already stays as it is."""
        rows = other._connection.execute("SELECT dataset, number, config FROM suggestions").fetchall()
        with self._writing():
            self._connection.executemany("INSERT OR IGNORE INTO suggestions VALUES (?, ?, ?)", [tuple(r) for r in rows if r[0] in datasets])

    def copy_trials(self, other: Ledger, keys: Collection[str], study: str) -> None:
        """Copy whole trials from the ledger of ``study``, all or none of them; those that are here already stay as they are."""
        wanted = [(key,) for key in sorted({*keys} - {trial.key for trial in self.trials()})]
        with self._writing():
            for (table, target), columns in _COPIED.items():
                names = ", ".join(columns)
                places = ", ".join("?" for _ in columns)
                for key in wanted:
                    rows = other._connection.execute(f"SELECT {names} FROM {table} WHERE key = ?", key).fetchall()
                    self._connection.executemany(f"INSERT OR IGNORE INTO {target} ({names}) VALUES ({places})", rows)
            self._connection.executemany(
                "UPDATE trials SET copied_from = ? WHERE key = ? AND copied_from = ''", [(study, *key) for key in wanted]
            )


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
