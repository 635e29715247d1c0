"""The study's own record: one SQLite file, the source of truth.

The driver alone writes it, as reports come in, so whatever was reported survives a killed driver, worker or tracking server.
Rows are keyed by what they are (stage, cell, seed, epoch), so writing one again changes nothing. MLflow mirrors this record
(`studies.tracking.mlflow_mirror`), and reports, exports and resumed runs read it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import pandas as pd

from studies.choosing import refuse_test_metric
from studies.plan import PlannedTrial, ScreenResult

SCHEMA_VERSION = 2
_READABLE = ("1", "2")  # a ledger of version 1 has no steps and no class counts; it gets tables for them when it is opened to be written

Status = Literal["running", "interrupted", "finished", "stopped", "diverged", "failed"]
ENDED: tuple[Status, ...] = ("finished", "stopped", "diverged", "failed")
SUCCEEDED: tuple[Status, ...] = ("finished", "stopped")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cells (cell_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, family TEXT NOT NULL, cell TEXT NOT NULL, config TEXT NOT NULL);
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    cell_id TEXT NOT NULL REFERENCES cells (cell_id),
    seed INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    started REAL NOT NULL,
    ended REAL,
    attempts INTEGER NOT NULL DEFAULT 1,
    UNIQUE (stage, cell_id, seed)
);
CREATE TABLE epochs (
    key TEXT NOT NULL REFERENCES trials (key),
    epoch INTEGER NOT NULL,
    at REAL NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (key, epoch)
) WITHOUT ROWID;
CREATE TABLE steps (
    key TEXT NOT NULL REFERENCES trials (key),
    step INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (key, step)
) WITHOUT ROWID;
CREATE TABLE class_counts (key TEXT PRIMARY KEY REFERENCES trials (key), counts TEXT NOT NULL) WITHOUT ROWID;
"""


class LedgerError(ValueError):
    """A ledger cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the ledger knows it."""

    key: str
    stage: str
    cell_id: str
    dataset: str
    family: str
    seed: int
    status: Status
    reason: str
    started: float
    ended: float | None
    attempts: int
    config: dict[str, Any]


class Ledger:
    """An open ledger.

    Args:
        path: The SQLite file; made, with its schema, where there is none.
        read_only: Open an existing ledger for reading alone, as a report does beside a running study.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise LedgerError(f"there is no ledger at {path}")
        address = f"{path.absolute().as_uri()}?mode=ro" if read_only else str(path)
        try:
            self._connection = sqlite3.connect(address, uri=read_only, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._open(read_only)
        except sqlite3.Error as error:
            raise LedgerError(f"the ledger {path} cannot be opened: {error}") from error

    def _open(self, read_only: bool) -> None:
        if not read_only:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            with self._writing():
                self._make_tables()
        version = self.meta("schema_version")
        if version not in _READABLE:
            raise LedgerError(f"the ledger {self.path} has schema version {version}, and this release reads {' and '.join(_READABLE)}")

    def _make_tables(self) -> None:
        """The tables of a new ledger, or those that one of an earlier version has not."""
        new = not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        if new or self.meta("schema_version") == "1":
            for statement in _SCHEMA.split(";\n"):
                self._connection.execute(statement if new else statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))

    def close(self) -> None:
        """Close the file; everything written is already in it."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # What the study is

    def meta(self, key: str) -> str | None:
        """A fact about the study, or None."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def set_meta(self, key: str, value: str) -> None:
        """Write a fact about the study."""
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Writing trials

    def start(self, trial: PlannedTrial) -> None:
        """Record that a trial runs; one that was interrupted before runs again as the same trial, one that ended stays as it is."""
        cell = trial.cell
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?)",
                (cell.cell_id, trial.dataset, cell.family, _dump(cell.to_dict()), _dump(trial.config)),
            )
            self._connection.execute(
                "INSERT INTO trials (key, stage, cell_id, seed, status, started) VALUES (?, ?, ?, ?, 'running', ?)"
                " ON CONFLICT (key) DO UPDATE SET status = 'running', reason = '', ended = NULL, attempts = attempts + 1"
                " WHERE status IN ('running', 'interrupted')",
                (trial.key, trial.stage, cell.cell_id, trial.replicate, time.time()),
            )

    def report(self, key: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record epochs; one that is there already stays as it is.

        Args:
            key: The trial.
            rows: Each with ``epoch``, ``at``, ``seconds`` and ``metrics``, and, where something was measured within the epoch, ``steps``:
                for each such step ``step``, counted from the beginning of the training, and ``metrics``. The first may have
                ``class_counts``.
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

    def end(self, key: str, status: Status, reason: str = "") -> None:
        """Record how a trial ended; the first ending stands."""
        with self._writing():
            self._connection.execute(
                "UPDATE trials SET status = ?, reason = ?, ended = ? WHERE key = ? AND status IN ('running', 'interrupted')",
                (status, reason, time.time() if status in ENDED else None, key),
            )

    def interrupt_running(self) -> None:
        """Mark every trial that is still called running as interrupted: its driver is gone."""
        with self._writing():
            self._connection.execute("UPDATE trials SET status = 'interrupted' WHERE status = 'running'")

    # Reading

    def trials(self, stage: str | None = None) -> list[TrialRecord]:
        """Every trial, or those of one stage, in the order in which they first started."""
        rows = self._connection.execute(
            "SELECT trials.*, cells.dataset, cells.family, cells.config FROM trials JOIN cells USING (cell_id)"
            " WHERE ? IS NULL OR stage = ? ORDER BY started, key",
            (stage, stage),
        )
        return [TrialRecord(**{**dict(row), "config": json.loads(row["config"])}) for row in rows]

    def trial(self, key: str) -> TrialRecord:
        """One trial."""
        query = "SELECT trials.*, cells.dataset, cells.family, cells.config FROM trials JOIN cells USING (cell_id) WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            raise LedgerError(f"the ledger {self.path} has no trial {key!r}")
        return TrialRecord(**{**dict(row), "config": json.loads(row["config"])})

    def cell(self, cell_id: str) -> dict[str, Any]:
        """The plain data of a cell."""
        row = self._connection.execute("SELECT cell FROM cells WHERE cell_id = ?", (cell_id,)).fetchone()
        if row is None:
            raise LedgerError(f"the ledger {self.path} has no cell {cell_id!r}")
        return dict(json.loads(row["cell"]))

    def epochs(self, key: str, after: int = 0) -> list[dict[str, Any]]:
        """The epochs of a trial later than ``after``: ``epoch``, ``at``, ``seconds``, ``metrics``."""
        rows = self._connection.execute("SELECT * FROM epochs WHERE key = ? AND epoch > ? ORDER BY epoch", (key, after))
        return [{**dict(row), "metrics": json.loads(row["metrics"])} for row in rows]

    def steps(self, key: str, after: int = 0) -> list[dict[str, Any]]:
        """What was measured after steps of a trial's epochs later than ``after``: ``step``, ``epoch``, ``metrics``."""
        if self.meta("schema_version") == "1":
            return []
        rows = self._connection.execute("SELECT step, epoch, metrics FROM steps WHERE key = ? AND epoch > ? ORDER BY step", (key, after))
        return [{**dict(row), "metrics": json.loads(row["metrics"])} for row in rows]

    def class_counts(self, key: str) -> list[int] | None:
        """How many training examples each class had in a trial, or None where that was not asked for."""
        if self.meta("schema_version") == "1":
            return None
        row = self._connection.execute("SELECT counts FROM class_counts WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row["counts"])

    def rows(self) -> list[tuple[str, int, int, dict[str, float]]]:
        """Every (cell, seed, epoch, metrics) in the ledger, sorted: what two runs of one study are compared by."""
        rows = self._connection.execute(
            "SELECT cell_id, seed, epoch, metrics FROM epochs JOIN trials USING (key) ORDER BY cell_id, seed, epoch"
        )
        return [(row["cell_id"], row["seed"], row["epoch"], json.loads(row["metrics"])) for row in rows]

    def final_metrics(self, stage: str | None = None) -> pd.DataFrame:
        """One row per trial that has ended: what it was, how it ended, and the metrics of its last epoch.

        The last epoch is the trial's result. The best epoch would be chosen on the very examples that measure it.
        """
        rows = self._connection.execute(
            "SELECT trials.key, stage, cell_id, dataset, family, seed, status, reason, ended - started AS wall_seconds, metrics, epoch,"
            " (SELECT SUM(seconds) FROM epochs WHERE epochs.key = trials.key) AS seconds"
            " FROM trials JOIN cells USING (cell_id) LEFT JOIN epochs ON epochs.key = trials.key"
            "  AND epochs.epoch = (SELECT MAX(epoch) FROM epochs WHERE epochs.key = trials.key)"
            " WHERE status IN ('finished', 'stopped', 'diverged', 'failed') AND (? IS NULL OR stage = ?) ORDER BY started, trials.key",
            (stage, stage),
        )
        records = []
        for row in rows:
            record = dict(row)
            metrics = json.loads(record.pop("metrics") or "{}")
            usable = record["status"] in SUCCEEDED
            records.append({**record, **{name: value if usable else math.nan for name, value in metrics.items()}})
        base = ["key", "stage", "cell_id", "dataset", "family", "seed", "status", "reason", "wall_seconds", "epoch", "seconds"]
        return pd.DataFrame(records) if records else pd.DataFrame(columns=base)

    def screen_results(self, metric: str) -> list[ScreenResult]:
        """What the screen found: per configuration and dataset the mean of ``metric`` over its seeds.

        Raises:
            ValueError: Where ``metric`` is measured on the test split.
        """
        refuse_test_metric(metric)
        table = self.final_metrics("screen")
        values: dict[tuple[str, str], list[float]] = {}
        if metric in table:
            for cell_id, status, value in table[["cell_id", "status", metric]].dropna().itertuples(index=False):
                values.setdefault((cell_id, status), []).append(float(value))
        results = {}
        for trial in self.trials("screen"):
            finished, stopped = values.get((trial.cell_id, "finished")), values.get((trial.cell_id, "stopped"))
            # Of trials of unequal length the whole ones count, where there are any.
            mean = fmean(finished or stopped or [math.nan])
            results[trial.cell_id] = ScreenResult(
                trial.dataset, trial.config, None if math.isnan(mean) else mean, len(finished) if finished else 0
            )
        return list(results.values())


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
