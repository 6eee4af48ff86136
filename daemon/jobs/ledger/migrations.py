"""The ledger's tables, as numbered steps from each version to the next.

`PRAGMA user_version` of a ledger says how many steps it has behind it. A new ledger takes all of
them, an older one those it lacks, in one transaction. To change a table, append a step; a step that
has been released is never edited, because ledgers exist that took it.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from daemon.system.errors import ConfigError
from daemon.system.files import shown

Migration = Callable[[sqlite3.Connection], None]
"""One step; runs inside a transaction that the caller began."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS job (
    row INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, recipe TEXT NOT NULL,
    claim TEXT NOT NULL, id TEXT NOT NULL DEFAULT '', fence INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, publication TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    failed_to TEXT NOT NULL DEFAULT '', queued_at REAL NOT NULL DEFAULT 0,
    ended_at REAL NOT NULL DEFAULT 0, bulk TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE IF NOT EXISTS seen (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS look (
    photo TEXT NOT NULL, subject TEXT NOT NULL, phrase TEXT NOT NULL, model TEXT NOT NULL,
    answer REAL NOT NULL, PRIMARY KEY (photo, subject, phrase, model)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS original (
    path TEXT PRIMARY KEY, row INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS standing (
    id TEXT NOT NULL, result TEXT NOT NULL, outbox TEXT NOT NULL,
    PRIMARY KEY (id, result)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS bulk (
    name TEXT PRIMARY KEY, request TEXT NOT NULL UNIQUE, recipe TEXT NOT NULL, roots TEXT NOT NULL,
    submitted_at REAL NOT NULL, starts_at REAL NOT NULL, state TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
    taken_off INTEGER NOT NULL DEFAULT 0, looked_at TEXT NOT NULL DEFAULT '',
    passed_over INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '[]',
    began_at REAL NOT NULL DEFAULT 0, ended_at REAL NOT NULL DEFAULT 0,
    summary TEXT NOT NULL DEFAULT '') WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS notice (
    path TEXT NOT NULL, what TEXT NOT NULL, since REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS counter (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
)

_INDEXES = (
    "DROP INDEX IF EXISTS job_open",
    "DROP INDEX IF EXISTS job_waiting",
    "CREATE INDEX IF NOT EXISTS job_state ON job (state, recipe)",
    "CREATE INDEX IF NOT EXISTS job_turn ON job (recipe, alone, bulk <> '', queued_at)"
    " WHERE state = 'queued'",
    "CREATE INDEX IF NOT EXISTS job_bulk ON job (bulk, state, fence > 0) WHERE bulk <> ''",
    "CREATE INDEX IF NOT EXISTS job_fence ON job (fence) WHERE fence > 0",
    "CREATE INDEX IF NOT EXISTS job_id ON job (id) WHERE id <> ''",
    "CREATE INDEX IF NOT EXISTS job_ended ON job (ended_at) WHERE ended_at > 0",
    "CREATE INDEX IF NOT EXISTS original_at ON original (at)",
    "CREATE INDEX IF NOT EXISTS original_row ON original (row)",
)


def _first_numbered(db: sqlite3.Connection) -> None:
    """Make whatever is missing: versions before this one were not numbered and differ."""
    for statement in _TABLES:
        db.execute(statement)
    if "bulk" not in {row[1] for row in db.execute("PRAGMA table_info(job)")}:
        db.execute("ALTER TABLE job ADD COLUMN bulk TEXT NOT NULL DEFAULT ''")
    for statement in _INDEXES:
        db.execute(statement)


def _remedy_of_a_reason(db: sqlite3.Connection) -> None:
    """The remedy of a failure stood in its reason alone."""
    db.execute("ALTER TABLE job ADD COLUMN remedy TEXT NOT NULL DEFAULT ''")


def _notes_of_results(db: sqlite3.Connection) -> None:
    """The notes about a result stood in its record alone."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS note"
        " (row INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL)"
    )
    db.execute("CREATE INDEX IF NOT EXISTS note_row ON note (row)")
    db.execute("CREATE INDEX IF NOT EXISTS note_kind ON note (kind, row)")


def _results_by_photograph(db: sqlite3.Connection) -> None:
    """The results of one photograph could only be found by reading every row."""
    db.execute(
        "CREATE INDEX IF NOT EXISTS job_photograph ON job"
        " (json_extract(claim, '$.files[0].digest')) WHERE state = 'done'"
    )


MIGRATIONS: tuple[Migration, ...] = (
    _first_numbered,
    _remedy_of_a_reason,
    _notes_of_results,
    _results_by_photograph,
)
"""Step n, counted from 1, leads from version n - 1 to version n."""


def is_older(db: sqlite3.Connection, path: Path) -> bool:
    """Whether a ledger lacks steps that this program knows.

    Args:
        db: A connection to it.
        path: Its file, for the message.

    Raises:
        ConfigError: It has steps behind it that this program does not know.
    """
    found = _version_of(db)
    if found > len(MIGRATIONS):
        raise ConfigError(
            f"{shown(path)}: the ledger has version {found}, and this program knows versions up "
            f"to {len(MIGRATIONS)}; use the newer `restored` that wrote it, or another station"
        )
    return found < len(MIGRATIONS)


def migrate(db: sqlite3.Connection) -> None:
    """Take the steps that a ledger lacks, all or none of them."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[_version_of(db) :]:
            step(db)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
