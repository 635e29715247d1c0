"""What a ledger tells: of the study, its trials, their epochs, and the table that the analysis goes by.

Everything here only asks. `studies.tracking.ledger` opens the file and writes it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from studies.choosing import refuse_test_metric
from studies.difference import Difference
from studies.tracking.records import SUCCEEDED, Change, LedgerError, TrialRecord
from studies.workspace import StudyError

if TYPE_CHECKING:  # who asks how far a study is does not wait for torch and pandas
    import pandas as pd

    from studies.plan import ScreenResult


class Readings:
    """All that can be asked of an open ledger.

    Attributes:
        path: The SQLite file.
    """

    path: Path
    _connection: sqlite3.Connection

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

    def changes(self) -> list[Change]:
        """How the study came from what it was at first, the oldest change first."""
        rows = self._connection.execute("SELECT at, kind, ended, differences FROM changes ORDER BY number")
        return [Change(kind, at, ended, tuple(Difference(*entry) for entry in json.loads(found))) for at, kind, ended, found in rows]

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
