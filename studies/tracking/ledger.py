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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from studies.choosing import refuse_test_metric
from studies.difference import Difference
from studies.tracking.schema import VERSION, upgrade, upgraded_copy, version_of
from studies.workspace import StudyError

if TYPE_CHECKING:  # who asks how far a study is does not wait for torch and pandas
    import pandas as pd

    from studies.plan import PlannedTrial, ScreenResult

Status = Literal["running", "paused", "interrupted", "finished", "stopped", "diverged", "failed"]
ENDED: tuple[Status, ...] = ("finished", "stopped", "diverged", "failed")
ChangeKind = Literal["branched", "extended", "continued"]
SUCCEEDED: tuple[Status, ...] = ("finished", "stopped")

# What is copied with a trial: from where, to where, which columns; a trial's cell comes first, for its trial refers to it.
_COPIED = {
    ("trials JOIN cells USING (cell_id)", "cells"): ("cell_id", "dataset", "family", "cell", "config"),
    ("trials", "trials"): ("key", "stage", "cell_id", "seed", "status", "reason", "started", "ended", "attempts", "copied_from", "phase"),
    ("epochs", "epochs"): ("key", "epoch", "at", "seconds", "metrics"),
    ("steps", "steps"): ("key", "step", "epoch", "metrics"),
    ("class_counts", "class_counts"): ("key", "counts"),
}


class LedgerError(ValueError):
    """A ledger cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the ledger knows it.

    ``copied_from`` names the study that ran it, where that was not this one. ``phase`` is that of `margin_core.training.Trial`: with it the
    trial can be run again by itself.
    """

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
    copied_from: str
    phase: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What was changed of a study, and when.

    Attributes:
        kind: ``branched`` from its parent, ``extended`` by a changed study file, or ``continued`` with other versions of packages, another
            budget or the like.
        at: When, in seconds since 1970.
        ended: How many of the study's trials had ended by then.
        differences: What was changed.
    """

    kind: ChangeKind
    at: float
    ended: int
    differences: tuple[Difference, ...]

    @property
    def when(self) -> str:
        """The time in words."""
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        differences = [{"key": entry.key, "was": entry.was, "now": entry.now} for entry in self.differences]
        return {"kind": self.kind, "at": self.at, "trials_ended": self.ended, "differences": differences}

    def __str__(self) -> str:
        after = f", after {self.ended} trials had ended" if self.ended else ""
        return f"{self.kind} on {self.when}{after}: {'; '.join(map(str, self.differences))}"


class Ledger:
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

    # What the study is

    def meta(self, key: str) -> str | None:
        """A fact about the study, or None."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def study_file(self) -> dict[str, Any]:
        """The study file that the ledger goes by, as plain data.

        Raises:
            StudyError: The study was cut short before its file was written.
        """
        recorded = self.meta("spec")
        if recorded is None:
            raise StudyError(f"the ledger {self.path} has no study yet; run its study file again")
        return dict(json.loads(recorded))

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

    def changes(self) -> list[Change]:
        """How the study came from what it was at first, the oldest change first."""
        rows = self._connection.execute("SELECT at, kind, ended, differences FROM changes ORDER BY number")
        return [Change(kind, at, ended, tuple(Difference(*entry) for entry in json.loads(found))) for at, kind, ended, found in rows]

    # Writing trials

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

    # Reading

    def suggestions(self) -> dict[str, list[dict[str, Any]]]:
        """For each dataset the configurations that a searcher which learns has suggested, in their order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for dataset, config in self._connection.execute("SELECT dataset, config FROM suggestions ORDER BY dataset, number"):
            found.setdefault(dataset, []).append(json.loads(config))
        return found

    def trials(self, stage: str | None = None) -> list[TrialRecord]:
        """Every trial, or those of one stage, in the order in which they first started."""
        rows = self._connection.execute(
            "SELECT trials.*, cells.dataset, cells.family, cells.config FROM trials JOIN cells USING (cell_id)"
            " WHERE ? IS NULL OR stage = ? ORDER BY started, key",
            (stage, stage),
        )
        parsed = cache(json.loads)  # a cell's replicates have the same text
        return [TrialRecord(**{**dict(row), "config": dict(parsed(row["config"]))}) for row in rows]

    def counts(self) -> list[dict[str, Any]]:
        """How many trials there are of each ``stage`` and ``status``."""
        rows = self._connection.execute(
            "SELECT stage, status, COUNT(*) AS trials FROM trials GROUP BY stage, status ORDER BY stage, status"
        )
        return [dict(row) for row in rows]

    def lost(self) -> list[dict[str, Any]]:
        """The trials that diverged or failed: ``key, dataset, family, seed, status, reason``, in the order in which they first started."""
        rows = self._connection.execute(
            "SELECT key, dataset, family, seed, status, reason FROM trials JOIN cells USING (cell_id)"
            " WHERE status IN ('diverged', 'failed') ORDER BY started, key"
        )
        return [dict(row) for row in rows]

    def seconds(self) -> float:
        """How long the epochs of trials that have ended took, all together."""
        (total,) = self._connection.execute(
            "SELECT TOTAL(seconds) FROM epochs JOIN trials USING (key) WHERE status IN ('finished', 'stopped', 'diverged', 'failed')"
        ).fetchone()
        return float(total)

    def parent(self) -> str:
        """The study that this one is a branch of, or empty."""
        return str(json.loads(self.meta("parent") or "{}").get("study", ""))

    def copied(self) -> int:
        """How many of its trials ran in the study that it is a branch of."""
        (count,) = self._connection.execute("SELECT COUNT(*) FROM trials WHERE copied_from <> ''").fetchone()
        return int(count)

    def trial(self, key: str) -> TrialRecord:
        """One trial."""
        query = "SELECT trials.*, cells.dataset, cells.family, cells.config FROM trials JOIN cells USING (cell_id) WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            raise LedgerError(f"the ledger {self.path} has no trial {key!r}")
        return TrialRecord(**{**dict(row), "config": json.loads(row["config"])})

    def phase(self, key: str) -> int | None:
        """At which epoch of its replicate's stream of batches a trial began, or None where it has not begun."""
        row = self._connection.execute("SELECT phase FROM trials WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row["phase"])

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
        rows = self._connection.execute("SELECT step, epoch, metrics FROM steps WHERE key = ? AND epoch > ? ORDER BY step", (key, after))
        return [{**dict(row), "metrics": json.loads(row["metrics"])} for row in rows]

    def class_counts(self, key: str) -> list[int] | None:
        """How many training examples each class had in a trial, or None where that was not asked for."""
        row = self._connection.execute("SELECT counts FROM class_counts WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row["counts"])

    def rows(self) -> list[tuple[str, int, int, dict[str, float]]]:
        """Every (cell, seed, epoch, metrics) in the ledger, sorted: what two runs of one study are compared by."""
        rows = self._connection.execute(
            "SELECT cell_id, seed, epoch, metrics FROM epochs JOIN trials USING (key) ORDER BY cell_id, seed, epoch"
        )
        return [(row["cell_id"], row["seed"], row["epoch"], json.loads(row["metrics"])) for row in rows]

    def final_metrics(self, stage: str | None = None, cell_id: str | None = None) -> pd.DataFrame:
        """One row per trial that has ended, of one stage or cell if asked for: what it was, how it ended, and its last epoch's metrics.

        The last epoch is the trial's result. The best epoch would be chosen on the very examples that measure it.
        """
        import pandas as pd

        rows = self._connection.execute(
            "SELECT trials.key, stage, cell_id, dataset, family, seed, status, reason, ended - started AS wall_seconds, metrics, epoch,"
            " (SELECT SUM(seconds) FROM epochs WHERE epochs.key = trials.key) AS seconds"
            " FROM trials JOIN cells USING (cell_id) LEFT JOIN epochs ON epochs.key = trials.key"
            "  AND epochs.epoch = (SELECT MAX(epoch) FROM epochs WHERE epochs.key = trials.key)"
            " WHERE status IN ('finished', 'stopped', 'diverged', 'failed') AND (? IS NULL OR stage = ?) AND (? IS NULL OR cell_id = ?)"
            " ORDER BY started, trials.key",
            (stage, stage, cell_id, cell_id),
        )
        records = []
        for row in rows:
            record = dict(row)
            metrics = json.loads(record.pop("metrics") or "{}")
            usable = record["status"] in SUCCEEDED
            records.append({**record, **{name: value if usable else math.nan for name, value in metrics.items()}})
        base = ["key", "stage", "cell_id", "dataset", "family", "seed", "status", "reason", "wall_seconds", "epoch", "seconds"]
        return pd.DataFrame(records) if records else pd.DataFrame(columns=base)

    def screen_results(self, metric: str, *, ended_by: float = math.inf) -> list[ScreenResult]:
        """What the screen found: per configuration and dataset the mean of ``metric`` over its seeds.

        Args:
            metric: What is compared.
            ended_by: Leave out the results of trials that ended later, in seconds since 1970.

        Raises:
            ValueError: Where ``metric`` is measured on the test split.
        """
        from studies.plan import ScreenResult

        refuse_test_metric(metric)
        rows = self._connection.execute(
            "SELECT cell_id, dataset, config, status, ended, metrics FROM trials JOIN cells USING (cell_id) LEFT JOIN epochs"
            " ON epochs.key = trials.key AND epochs.epoch = (SELECT MAX(epoch) FROM epochs WHERE epochs.key = trials.key)"
            " WHERE stage = 'screen' ORDER BY started, trials.key"
        )
        cells: dict[str, tuple[str, str]] = {}
        values: dict[tuple[str, str], list[float]] = {}
        for cell_id, dataset, config, status, ended, metrics in rows:
            cells[cell_id] = (dataset, config)
            if status in SUCCEEDED and ended <= ended_by and metrics is not None:
                value = json.loads(metrics).get(metric, math.nan)
                if not math.isnan(value):
                    values.setdefault((cell_id, status), []).append(value)
        results = []
        for cell_id, (dataset, config) in cells.items():
            finished, stopped = values.get((cell_id, "finished")), values.get((cell_id, "stopped"))
            # Of trials of unequal length the whole ones count, where there are any.
            mean = fmean(finished or stopped) if finished or stopped else None  # type: ignore[arg-type]
            results.append(ScreenResult(dataset, json.loads(config), mean, len(finished) if finished else 0))
        return results


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
