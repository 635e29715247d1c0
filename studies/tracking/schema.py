"""The ledger's tables, as a chain of small steps: each makes one version out of the one before it, and the first out of an empty file.

A new ledger goes through all of them and an old one through those that it lacks, so both end with the same tables. A step that has
been released never changes; what is new is a new step.
"""

from __future__ import annotations

import sqlite3

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """CREATE TABLE cells (
            cell_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, family TEXT NOT NULL, cell TEXT NOT NULL, config TEXT NOT NULL
        )""",
        """CREATE TABLE trials (
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
        )""",
        """CREATE TABLE epochs (
            key TEXT NOT NULL REFERENCES trials (key),
            epoch INTEGER NOT NULL,
            at REAL NOT NULL,
            seconds REAL NOT NULL,
            metrics TEXT NOT NULL,
            PRIMARY KEY (key, epoch)
        ) WITHOUT ROWID""",
        """CREATE TABLE mirrored (
            key TEXT PRIMARY KEY, run_id TEXT NOT NULL, epochs INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT ''
        )""",
    ),
    (
        """CREATE TABLE steps (
            key TEXT NOT NULL REFERENCES trials (key),
            step INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            metrics TEXT NOT NULL,
            PRIMARY KEY (key, step)
        ) WITHOUT ROWID""",
    ),
    (
        # Some ledgers of version 2 have it: it came without a version of its own.
        """CREATE TABLE IF NOT EXISTS class_counts (
            key TEXT PRIMARY KEY REFERENCES trials (key), counts TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE changes (
            number INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, ended INTEGER NOT NULL, differences TEXT NOT NULL
        )""",
        "ALTER TABLE trials ADD COLUMN copied_from TEXT NOT NULL DEFAULT ''",
        # What has reached MLflow is noted by `studies.tracking.sent`, for each store.
        "DROP TABLE mirrored",
    ),
    (
        "CREATE TABLE suggestions (dataset TEXT NOT NULL, number INTEGER NOT NULL, config TEXT NOT NULL, PRIMARY KEY (dataset, number))",
        # Earlier ledgers tell what TPE suggested by the order in which trials started.
        """INSERT INTO suggestions
            SELECT dataset, ROW_NUMBER() OVER (PARTITION BY dataset ORDER BY started, cell_id) - 1, config
            FROM (SELECT dataset, cell_id, config, MIN(started) AS started FROM trials JOIN cells USING (cell_id)
                  WHERE stage = 'screen' GROUP BY cell_id)
            WHERE (SELECT json_extract(value, '$.screen.searcher') FROM meta WHERE key = 'spec') = 'tpe'""",
    ),
    # At which epoch of its replicate's stream of batches a trial began.
    ("ALTER TABLE trials ADD COLUMN phase INTEGER NOT NULL DEFAULT 0",),
)

VERSION = len(_STEPS)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the tables; 0 where there are none."""
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return 0
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(version)


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Take the tables of ``version`` to the present one; the caller has begun a transaction."""
    for step in _STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(VERSION),))


def upgraded_copy(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """A copy in memory that has the present tables and takes no writes, of a ledger that is to stay as it is."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(copy)
    upgrade(copy, version)
    copy.execute("PRAGMA query_only=ON")
    return copy
