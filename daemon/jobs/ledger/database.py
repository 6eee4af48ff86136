"""The SQLite file of a ledger: how it is opened, asked and changed.

The other modules of this package hold the statements; no other package knows SQL. One process, the
station's daemon, writes; anybody who may read the file reads it meanwhile (write-ahead logging).
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from daemon.jobs.ledger.migrations import is_older, migrate
from daemon.system.errors import ConfigError

Row = sqlite3.Row

LedgerError = sqlite3.OperationalError
"""The ledger cannot be read or written now: locked, no space, or its disk is away."""

_WRITE_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 2.0
"""Seconds to wait for a lock that another process holds."""


class Transaction:
    """Changes that are made together or not at all; see `Database.transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        self._connection.executemany(statement, rows)


class Database:
    """One connection to a ledger's file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row

    @classmethod
    def to_write(cls, path: Path) -> "Database":
        """Open a ledger to change it; make what is missing.

        Raises:
            ConfigError: It cannot be opened, is no ledger, or a newer program wrote it.
        """
        with _opening(path):
            return cls(_connect_to_write(path))

    @classmethod
    def to_read(cls, path: Path) -> "Database":
        """Open a ledger to read it, also as a user who may not write where it lies.

        A ledger of an older version is read from a copy in memory that has the current tables:
        only the daemon changes the file, and that may not have run since.

        Raises:
            ConfigError: It cannot be opened, is no ledger, or a newer program wrote it.
        """
        with _opening(path):
            path.stat()
            return cls(_connect_to_read(path))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def select(self, query: str, *values: object) -> list[Row]:
        """The rows that answer a query."""
        return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Make changes together: all of them stand at the end, or none after an exception."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield Transaction(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{path}: the ledger cannot be opened: {error}") from error


def _connect_to_write(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=_WRITE_TIMEOUT_S)
    try:
        older = is_older(db, path)
        if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise sqlite3.OperationalError("write-ahead logging is not to be had here")
        db.execute("PRAGMA synchronous = FULL")
        if older:
            migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _connect_to_read(path: Path) -> sqlite3.Connection:
    place = f"file:{quote(bytes(path.absolute()))}?mode=ro"
    db = sqlite3.connect(place, uri=True, timeout=_READ_TIMEOUT_S)
    try:
        try:
            db.execute("SELECT 1 FROM job LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            # No daemon runs, so no index of the log exists and this user may not make one; nobody
            # writes either.
            db.close()
            db = sqlite3.connect(f"{place}&immutable=1", uri=True)
            db.execute("SELECT 1 FROM job LIMIT 1").fetchone()
        return _migrated_copy(db) if is_older(db, path) else db
    except BaseException:
        db.close()
        raise


def _migrated_copy(db: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(db):
        db.backup(copy)
    migrate(copy)
    return copy
