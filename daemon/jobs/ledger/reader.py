"""What the ledger says, for whoever only reads: `status`, and the daemon itself.

Comes in: a station's ledger. Goes out: frozen entries and counts. Changes nothing; a reader who may
not write where the ledger lies is served too.
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from daemon.config.features import Feature
from daemon.config.station import Notice
from daemon.jobs.ledger.entries import (
    Entry,
    Failure,
    QueueCount,
    State,
    Waiting,
    entry_of,
    path_text,
)
from daemon.system.errors import ConfigError

LedgerError = sqlite3.OperationalError
"""The ledger cannot be read or written now: locked, no space, or its disk is away."""

DONE = "done/"
"""A counter of this name and a recipe's has the jobs that were done and whose rows are gone."""


class LedgerReader:
    """One connection to a station's ledger that reads."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ConfigError: It cannot be opened, or is no ledger.
        """
        try:
            self._db = self._open(path)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path}: the ledger cannot be opened: {error}") from error
        self._db.row_factory = sqlite3.Row

    def _open(self, path: Path) -> sqlite3.Connection:
        return _open_to_read(path)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def select(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Rows, for the rooms beside this one that read its tables."""
        return self._db.execute(query, values).fetchall()

    def seen(self, path: Path, size_bytes: int, mtime_ns: int) -> bool:
        """Whether an original left in place was taken in this very state before."""
        found = self._db.execute("SELECT * FROM seen WHERE path = ?", (path_text(path),)).fetchone()
        return found is not None and (found["size"], found["mtime_ns"]) == (size_bytes, mtime_ns)

    def seen_after(self, path: Path | None, limit: int) -> list[Path]:
        """The next originals left in place, in an order of its own, so that all can be visited."""
        start = "" if path is None else path_text(path)
        rows = self._db.execute(
            "SELECT path FROM seen WHERE path > ? ORDER BY path LIMIT ?", (start, limit)
        )
        return [Path(json.loads(row["path"])) for row in rows]

    def answers(self, photo: str, *, clip_digest: str) -> dict[Feature, float]:
        """What was seen in a photograph of this digest, likeness by this CLIP model only."""
        rows = self._db.execute("SELECT * FROM look WHERE photo = ?", (photo,))
        found = ((Feature(row["subject"], row["phrase"]), row) for row in rows)
        return {f: row["answer"] for f, row in found if row["model"] == f.model_digest(clip_digest)}

    def recipes_queued(self) -> tuple[str, ...]:
        """Names of the recipes of which anything is queued."""
        # One seek for each name; DISTINCT would read all that is queued.
        rows = self._db.execute(
            "WITH RECURSIVE found (name) AS ("
            " SELECT min(recipe) FROM job WHERE state = 'queued' UNION ALL"
            " SELECT (SELECT min(recipe) FROM job WHERE state = 'queued' AND recipe > name)"
            " FROM found WHERE name IS NOT NULL)"
            " SELECT name FROM found WHERE name IS NOT NULL"
        )
        return tuple(row["name"] for row in rows)

    def ready(
        self, recipe: str, queued_by: float, limit: int, now: float, *, alone: bool
    ) -> tuple[int, ...]:
        """Rows of a recipe, queued by some time, that need not wait for a retry; oldest first.

        What people dropped goes before what bulk jobs found, however long those have waited.
        """
        found: list[int] = []
        for of_bulk in (False, True):
            rows = self._db.execute(
                "SELECT row FROM job WHERE state = 'queued' AND recipe = ? AND alone = ?"
                " AND (bulk <> '') = ? AND queued_at <= ? AND not_before <= ?"
                " ORDER BY queued_at, row LIMIT ?",
                (recipe, alone, of_bulk, queued_by, now, limit - len(found)),
            )
            found += (row["row"] for row in rows)
        return tuple(found)

    def queued_between(self, recipe: str, after: float, until: float) -> int:
        """How many of a recipe wait that were queued after one time and by another."""
        # All values of what comes between are named so that the index alone answers.
        count = self._db.execute(
            "SELECT count(*) FROM job WHERE state = 'queued' AND recipe = ? AND alone IN (0, 1)"
            " AND (bulk <> '') IN (0, 1) AND queued_at > ? AND queued_at <= ?",
            (recipe, after, until),
        ).fetchone()[0]
        return int(count)

    def leased(self, fence: int) -> Entry | None:
        """The job that holds this lease, or None if it is stale."""
        found = self._db.execute(
            "SELECT row FROM job WHERE fence = ? AND fence > 0 AND state = 'leased'", (fence,)
        ).fetchone()
        return self.entries([found["row"]])[0] if found else None

    def standing(self, job: str, outbox: Path) -> Path | None:
        """The latest result of a job of this id that was published in an outbox, if any was.

        What housekeeping keeps of a job is asked too: a result that stands is never done twice
        because its row is gone.
        """
        # Only where it is said that the id is none that is empty is the index of ids used.
        rows = self._db.execute(
            "SELECT row, result FROM job WHERE id = ? AND id <> ''"
            " AND state IN ('published', 'done')"
            " UNION ALL SELECT 0, result FROM standing WHERE id = ? ORDER BY row DESC",
            (job, job),
        )
        results = (Path(json.loads(row["result"])) for row in rows)
        return next((result for result in results if result.is_relative_to(outbox)), None)

    def working_on(self, job: str) -> bool:
        """Whether a job of this id is leased or being published."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM job WHERE id = ? AND id <> '' AND state IN ('leased', 'publishing')",
                (job,),
            ).fetchone()
        )

    def publishing(self, fence: int) -> bool:
        """Whether what this lease staged is about to be published."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM job WHERE fence = ? AND fence > 0 AND state = 'publishing'",
                (fence,),
            ).fetchone()
        )

    def claimed_paths(self) -> set[Path]:
        """Where the files of every job that has not ended lie."""
        rows = self._db.execute("SELECT * FROM job WHERE state NOT IN ('done', 'failed')")
        return {file.path for row in rows for file in entry_of(row).claim.files}

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """The entries of these rows, in that order; rows that are gone are left out."""
        found = (self._db.execute("SELECT * FROM job WHERE row = ?", (r,)).fetchone() for r in rows)
        return [entry_of(row) for row in found if row is not None]

    def in_state(self, state: State) -> list[Entry]:
        """Every entry in one of the passing states."""
        rows = self._db.execute("SELECT * FROM job WHERE state = ? ORDER BY row", (state,))
        return [entry_of(row) for row in rows]

    def open_jobs(self) -> int:
        """How many jobs have not ended, without those that a person holds back."""
        count = self._db.execute(
            "SELECT count(*) FROM job WHERE state NOT IN ('done', 'failed', 'held')"
        ).fetchone()[0]
        return int(count)

    def held_jobs(self) -> int:
        """How many jobs are queued and held, because their bulk job is paused or its disk away."""
        count = self._db.execute("SELECT count(*) FROM job WHERE state = 'held'").fetchone()[0]
        return int(count)

    def notices(self) -> tuple[Notice, ...]:
        """Files that wait in an inbox, and why."""
        rows = self._db.execute("SELECT * FROM notice ORDER BY since")
        return tuple(Notice(Path(json.loads(r["path"])), r["what"], r["since"]) for r in rows)

    def counts(self) -> tuple[QueueCount, ...]:
        """How many jobs are where, by recipe; done are all that ever were."""
        rows = self._db.execute(
            "SELECT recipe, sum(queued), sum(in_flight), sum(done), sum(failed) FROM"
            " (SELECT recipe, sum(state IN ('claiming', 'queued', 'held')) AS queued,"
            " sum(state IN ('leased', 'publishing', 'published', 'failing')) AS in_flight,"
            " sum(state = 'done') AS done, sum(state = 'failed') AS failed"
            " FROM job GROUP BY recipe UNION ALL"
            " SELECT substr(name, ?), 0, 0, value, 0 FROM counter WHERE name GLOB ?)"
            " GROUP BY recipe ORDER BY recipe",
            (len(DONE) + 1, f"{DONE}*"),
        )
        return tuple(QueueCount(*row) for row in rows)

    def waiting(self, now: float) -> tuple[Waiting, ...]:
        """What is queued, by recipe; `now` in UTC seconds since the epoch."""
        rows = self._db.execute(
            "SELECT recipe, jobs, (SELECT queued_at FROM job WHERE row = first) AS since FROM"
            " (SELECT recipe, count(*) AS jobs, min(row) AS first FROM job"
            " WHERE state = 'queued' GROUP BY recipe)"
        )
        return tuple(Waiting(r["recipe"], r["jobs"], max(0.0, now - r["since"])) for r in rows)

    def failures(self, limit: int) -> tuple[Failure, ...]:
        """The latest that ended in failed/."""
        rows = self._db.execute(
            "SELECT failed_to, recipe, reason, ended_at FROM job WHERE state = 'failed'"
            " ORDER BY ended_at DESC LIMIT ?",
            (limit,),
        )
        return tuple(Failure(Path(json.loads(row[0] or '""')), *row[1:]) for row in rows)

    def finished_since(self, since: float) -> tuple[int, float]:
        """How many jobs were done since a time (UTC seconds), and when the first of them was."""
        count, first = self._db.execute(
            "SELECT count(*), min(ended_at) FROM job WHERE state = 'done' AND ended_at >= ?",
            (since,),
        ).fetchone()
        return int(count), float(first or since)


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open for a reader that may lack the right to write where the ledger lies."""
    path.stat()
    place = f"file:{quote(bytes(path.absolute()))}?mode=ro"
    db = sqlite3.connect(place, uri=True, timeout=2)
    try:
        db.execute("SELECT 1 FROM job LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        # No daemon runs, so no index of the log exists and this user may not make one; nobody
        # writes either.
        db.close()
        db = sqlite3.connect(f"{place}&immutable=1", uri=True)
        db.execute("SELECT 1 FROM job LIMIT 1").fetchone()
    return db
