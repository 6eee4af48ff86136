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
from daemon.system.errors import ConfigError, LedgerError
from daemon.system.files import shown

Row = sqlite3.Row

_NO_SPACE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE),
    # The index of the log does not fit, which SQLite meets first where nothing at all is free.
    sqlite3.SQLITE_IOERR_SHMSIZE,
)

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_AWAY = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""Primary codes of a disk that cannot be reached or written; see https://sqlite.org/rescode.html"""

_FIRST_READ = "SELECT 1 FROM sqlite_master LIMIT 1"
"""Shows that a file can be read. One whose tables could not be made, on a full disk, has none."""

_WRITE_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 2.0
"""Seconds to wait for a lock that another process holds."""


class Transaction:
    """Changes that are made together or not at all; see `Database.transaction`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with _translated(self._path):
            return self._connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        with _translated(self._path):
            self._connection.executemany(statement, rows)


class Database:
    """One connection to a ledger's file.

    Whatever is asked of it raises `LedgerError` while the file cannot be read or written.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, sole_writer: bool) -> None:
        """Use a connection that is open.

        Args:
            path: The file, for messages.
            connection: To it.
            sole_writer: Nobody else changes the file meanwhile, so that answers can be kept.
        """
        self._path = path
        self._connection = connection
        self._sole_writer = sole_writer
        self._answers: dict[tuple[str, tuple[object, ...]], list[Row]] = {}
        self._connection.row_factory = sqlite3.Row

    def back_up(self, target: Path) -> None:
        """Copy the file by SQLite's backup, which a writer does not disturb."""
        with _translated(self._path), contextlib.closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)

    @classmethod
    def to_write(cls, path: Path) -> "Database":
        """Open a ledger to change it; make what is missing.

        Raises:
            ConfigError: It cannot be opened, is no ledger, or a newer program wrote it.
            LedgerError: Another program has locked it.
        """
        with _opening(path):
            return cls(path, _connect_to_write(path), sole_writer=True)

    @classmethod
    def to_read(cls, path: Path) -> "Database":
        """Open a ledger to read it, also as a user who may not write where it lies.

        A ledger of an older version is read from a copy in memory that has the current tables:
        only the daemon changes the file, and that may not have run since.

        Raises:
            ConfigError: It cannot be opened, is no ledger, or a newer program wrote it.
            LedgerError: Another program has locked it.
        """
        with _opening(path):
            path.stat()
            return cls(path, _connect_to_read(path), sole_writer=False)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def select(self, query: str, *values: object) -> list[Row]:
        """The rows that answer a query."""
        with _translated(self._path):
            return self._connection.execute(query, values).fetchall()

    def select_cached(self, query: str, *values: object) -> Sequence[Row]:
        """As `select`, but the sole writer answers from memory until its next transaction.

        A turn of the loop in which nothing happens then asks SQLite nothing. It is for queries
        that are asked in each turn, with few rows and without the time among their values.
        """
        if not self._sole_writer:
            return self.select(query, *values)
        if (query, values) not in self._answers:
            self._answers[query, values] = self.select(query, *values)
        return self._answers[query, values]

    def execute_each(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values, all or none; no rows, no transaction."""
        if values := list(rows):
            with self.transaction() as db:
                db.executemany(statement, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Make changes together: all of them stand at the end, or none after an exception."""
        self._answers.clear()
        changes = Transaction(self._path, self._connection)
        changes.execute("BEGIN IMMEDIATE")
        try:
            yield changes
            changes.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._answers.clear()


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Say what SQLite refuses in the program's own terms; what is a bug stays as it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in _NO_SPACE:
            raise LedgerError(shown(path), str(error), no_space=True) from error
        if code & 0xFF in _LOCKED:
            why = f"{error}; end the other program that writes to it"
            raise LedgerError(shown(path), why, locked=True) from error
        if code & 0xFF in _AWAY:
            raise LedgerError(shown(path), str(error)) from error
        raise


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        with _translated(path):
            yield
    except LedgerError as error:
        if error.locked:
            raise
        raise ConfigError(f"{path}: the ledger cannot be opened: {error.why}") from error
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
            db.execute(_FIRST_READ).fetchone()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _LOCKED:
                raise
            # No daemon runs, so no index of the log exists and this user may not make one; nobody
            # writes either.
            db.close()
            db = sqlite3.connect(f"{place}&immutable=1", uri=True)
            db.execute(_FIRST_READ).fetchone()
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
