"""Reads the ledger, for `status` and for the daemon itself.

A reader changes nothing, and may lack the right to write where the ledger lies.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from daemon.config.content_features import Feature
from daemon.config.station import Notice
from daemon.jobs.ledger.database import Database, Row
from daemon.jobs.ledger.entries import (
    Entry,
    Failure,
    NoteCounts,
    QueueCount,
    State,
    Waiting,
    entry_of,
    failure_of,
    path_text,
)
from daemon.photo.notes import Note, NoteKind, kind_of

DONE = "done/"
"""Prefix of the counter, by recipe, of jobs that were done and whose rows are gone."""


class LedgerReader:
    """One connection to a station's ledger that reads."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ConfigError: It cannot be opened, is no ledger, or a newer program wrote it.
            LedgerError: Another program has locked it.
        """
        self._db = self._open(path)

    def _open(self, path: Path) -> Database:
        return Database.to_read(path)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def back_up(self, target: Path) -> None:
        """Copy the ledger as it is at one moment, also while a daemon writes to it.

        Args:
            target: A file that is not there yet.
        """
        self._db.back_up(target)

    def select(self, query: str, *values: object) -> list[Row]:
        """The rows that answer a query; for the modules of this package."""
        return self._db.select(query, *values)

    def select_cached(self, query: str, *values: object) -> Sequence[Row]:
        """As `select`, for what is asked in each turn; see `Database.select_cached`."""
        return self._db.select_cached(query, *values)

    def was_taken(self, path: Path, size_bytes: int, mtime_ns: int) -> bool:
        """Whether an original left in place was taken in this very state before."""
        rows = self.select("SELECT size, mtime_ns FROM seen WHERE path = ?", path_text(path))
        return [tuple(row) for row in rows] == [(size_bytes, mtime_ns)]

    def taken_after(self, path: Path | None, limit: int) -> list[Path]:
        """The next originals left in place, in an order of its own, so that all can be visited."""
        start = "" if path is None else path_text(path)
        rows = self.select(
            "SELECT path FROM seen WHERE path > ? ORDER BY path LIMIT ?", start, limit
        )
        return [Path(json.loads(row["path"])) for row in rows]

    def answers(self, photo: str, *, clip_digest: str) -> dict[Feature, float]:
        """The measured content of a photograph.

        Args:
            photo: Its sha256, hex.
            clip_digest: Digest of the CLIP model whose answers on likeness count.
        """
        rows = self.select("SELECT * FROM look WHERE photo = ?", photo)
        found = ((Feature(row["subject"], row["phrase"]), row) for row in rows)
        return {f: row["answer"] for f, row in found if row["model"] == f.model_digest(clip_digest)}

    def recipes_queued(self) -> tuple[str, ...]:
        """Names of the recipes that have queued jobs."""
        # One seek for each name; DISTINCT would read all that is queued.
        rows = self.select_cached(
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
        """Rows of a recipe that may be leased now, the oldest first.

        What people dropped goes before what bulk jobs found, however long those have waited.

        Args:
            recipe: Its name.
            queued_by: Only what was queued by then, UTC seconds since the epoch.
            limit: How many at most.
            now: UTC seconds since the epoch; what waits for a retry is left out until its time.
            alone: Suspects, which run without anything that is none, or all others.
        """
        found: list[int] = []
        which = "> 0" if alone else "= 0"
        for of_bulk in (False, True):
            rows = self.select(
                f"SELECT row FROM job WHERE state = 'queued' AND recipe = ? AND alone {which}"
                " AND (bulk <> '') = ? AND queued_at <= ? AND not_before <= ?"
                " ORDER BY queued_at, row LIMIT ?",
                *(recipe, of_bulk, queued_by, now, limit - len(found)),
            )
            found += (row["row"] for row in rows)
        return tuple(found)

    def queued_between(self, recipe: str, after: float, until: float) -> int:
        """How many jobs of a recipe wait that were queued after one time and by another."""
        # All values of what comes between are named so that the index alone answers. Suspects,
        # which have groups of any number, are few.
        rows = self.select(
            "SELECT count(*) FROM job WHERE state = 'queued' AND recipe = ? AND alone = 0"
            " AND (bulk <> '') IN (0, 1) AND queued_at > ? AND queued_at <= ? UNION ALL"
            " SELECT count(*) FROM job WHERE state = 'queued' AND recipe = ? AND alone > 0"
            " AND queued_at > ? AND queued_at <= ?",
            *(recipe, after, until, recipe, after, until),
        )
        return sum(int(row[0]) for row in rows)

    def leased(self, fence: int) -> Entry | None:
        """The job that holds this lease, or None if it is stale."""
        rows = self.select(
            "SELECT * FROM job WHERE fence = ? AND fence > 0 AND state = 'leased'", fence
        )
        return entry_of(rows[0]) if rows else None

    def published_result(self, job: str, outbox: Path) -> Path | None:
        """The latest result of a job of this id that was published in an outbox, if any was.

        What housekeeping keeps of a job is asked too: a result that stands is never done twice
        because its row is gone.
        """
        # SQLite uses the index of ids only where the query says that the id is not empty.
        rows = self.select(
            "SELECT row, result FROM job WHERE id = ? AND id <> ''"
            " AND state IN ('published', 'done')"
            " UNION ALL SELECT 0, result FROM standing WHERE id = ? ORDER BY row DESC",
            *(job, job),
        )
        results = (Path(json.loads(row["result"])) for row in rows)
        return next((result for result in results if result.is_relative_to(outbox)), None)

    def is_in_flight(self, job: str) -> bool:
        """Whether a job of this id is leased or being published."""
        return bool(
            self.select(
                "SELECT 1 FROM job WHERE id = ? AND id <> '' AND state IN ('leased', 'publishing')",
                job,
            )
        )

    def publishing(self, fence: int) -> bool:
        """Whether what this lease staged is about to be published."""
        return bool(
            self.select(
                "SELECT 1 FROM job WHERE fence = ? AND fence > 0 AND state = 'publishing'", fence
            )
        )

    def claimed_paths(self) -> set[Path]:
        """Where the files of every job that has not ended lie."""
        rows = self.select("SELECT * FROM job WHERE state NOT IN ('done', 'failed')")
        return {file.path for row in rows for file in entry_of(row).claim.files}

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """The entries of these rows, in that order; rows that are gone are left out."""
        found = (row for n in rows for row in self.select("SELECT * FROM job WHERE row = ?", n))
        return [entry_of(row) for row in found]

    def in_state(self, state: State) -> list[Entry]:
        """Every entry in one of the passing states, in the order in which they were claimed."""
        rows = self.select_cached("SELECT * FROM job WHERE state = ? ORDER BY row", state)
        return [entry_of(row) for row in rows]

    def open_jobs(self) -> int:
        """How many jobs have not ended, without those that are held."""
        rows = self.select_cached(
            "SELECT count(*) FROM job WHERE state NOT IN ('done', 'failed', 'held')"
        )
        return int(rows[0][0])

    def held_jobs(self) -> int:
        """How many jobs are held, because their bulk job is paused or its disk is away."""
        return int(self.select("SELECT count(*) FROM job WHERE state = 'held'")[0][0])

    def notices(self) -> tuple[Notice, ...]:
        """Files that wait in an inbox, and why."""
        rows = self.select("SELECT * FROM notice ORDER BY since")
        return tuple(Notice(Path(json.loads(r["path"])), r["what"], r["since"]) for r in rows)

    def counts(self) -> tuple[QueueCount, ...]:
        """How many jobs are where, by recipe; those done include all whose rows are gone."""
        rows = self.select_cached(
            "SELECT recipe, sum(queued), sum(in_flight), sum(done), sum(failed) FROM"
            " (SELECT recipe, sum(state IN ('claiming', 'queued', 'held')) AS queued,"
            " sum(state IN ('leased', 'publishing', 'published', 'failing')) AS in_flight,"
            " sum(state = 'done') AS done, sum(state = 'failed') AS failed"
            " FROM job GROUP BY recipe UNION ALL"
            " SELECT substr(name, ?), 0, 0, value, 0 FROM counter WHERE name GLOB ?)"
            " GROUP BY recipe ORDER BY recipe",
            *(len(DONE) + 1, f"{DONE}*"),
        )
        return tuple(QueueCount(*row) for row in rows)

    def note_counts(self, bulk: str = "") -> NoteCounts:
        """How many results have notes, by kind: of all rows, or of those of a bulk job."""
        of_bulk = (
            " WHERE row IN (SELECT row FROM job WHERE bulk = ? AND bulk <> '')" if bulk else ""
        )
        values = (bulk,) if bulk else ()
        counted = self.select(
            f"SELECT kind, count(DISTINCT row) FROM note{of_bulk} GROUP BY kind", *values
        )
        ((results,),) = self.select(f"SELECT count(DISTINCT row) FROM note{of_bulk}", *values)
        kinds: Counter[NoteKind] = Counter()
        for name, number in counted:
            kinds[kind_of(name)] += number
        return NoteCounts(int(results), tuple(kinds.most_common()))

    def notes(self, rows: Sequence[int]) -> dict[int, tuple[Note, ...]]:
        """The notes of the results of these rows, in their order; rows without any are left out."""
        found = {
            row: tuple(
                Note(kind_of(kind), text)
                for kind, text in self.select(
                    "SELECT kind, text FROM note WHERE row = ? ORDER BY rowid", row
                )
            )
            for row in rows
        }
        return {row: notes for row, notes in found.items() if notes}

    def waiting(self, now: float) -> tuple[Waiting, ...]:
        """Queued jobs by recipe; `now` in UTC seconds since the epoch."""
        rows = self.select(
            "SELECT recipe, jobs, (SELECT queued_at FROM job WHERE row = first) AS since FROM"
            " (SELECT recipe, count(*) AS jobs, min(row) AS first FROM job"
            " WHERE state = 'queued' GROUP BY recipe)"
        )
        return tuple(Waiting(r["recipe"], r["jobs"], max(0.0, now - r["since"])) for r in rows)

    def failures(self, limit: int) -> tuple[Failure, ...]:
        """The latest jobs that ended in failed/, the newest first; all for a limit below 0."""
        rows = self.select(
            "SELECT failed_to, claim, recipe, reason, remedy, ended_at FROM job"
            " WHERE state = 'failed' ORDER BY ended_at DESC LIMIT ?",
            limit,
        )
        return tuple(map(failure_of, rows))

    def finished_since(self, since: float) -> tuple[int, float]:
        """How many jobs were done since a time (UTC seconds), and when the first of them was."""
        ((count, first),) = self.select(
            "SELECT count(*), min(ended_at) FROM job WHERE state = 'done' AND ended_at >= ?", since
        )
        return int(count), float(first or since)
