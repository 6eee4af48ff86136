"""Bulk jobs in the ledger: what was submitted, and how far each has come.

Each change is one transaction. Photographs of a bulk job are rows of the table `job` like any
other, with the name of the bulk job.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from daemon.jobs.ledger.database import Row
from daemon.jobs.ledger.entries import Entry, entry_of
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger

BulkState = Literal["waiting", "looking", "working", "reporting", "ended"]

_NOTES = 1000
"""Files passed over that are named with their reason; the others are only counted."""

_OF = "bulk = ? AND bulk <> ''"
"""A condition whose second half lets SQLite use the index of bulk jobs."""

_OPEN = "('claiming', 'queued', 'held', 'leased', 'publishing', 'published', 'failing')"


@dataclass(frozen=True)
class BulkCounts:
    """How many photographs (or pairs) of a bulk job are where.

    Attributes:
        queued: Wait to be restored.
        in_flight: Are being restored or published.
        done: Have a result of this bulk job.
        skipped: Had a result of the same recipe and weights before.
        failed: Could not be restored.
        taken_off: Were queued when the bulk job was cancelled.
    """

    queued: int = 0
    in_flight: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    taken_off: int = 0

    @property
    def open(self) -> int:
        """Those that have not ended."""
        return self.queued + self.in_flight

    @property
    def ended(self) -> int:
        """Those for which nothing more is done."""
        return self.done + self.skipped + self.failed + self.taken_off

    @property
    def found(self) -> int:
        """All."""
        return self.open + self.ended


@dataclass(frozen=True)
class BulkJob:
    """A bulk job. Times are UTC seconds since the epoch, 0 for one that has not come.

    Attributes:
        name: Its name, unique in the station.
        request: Name of the request that it came from, so that it is taken only once.
        recipe: Name of its recipe.
        roots: Absolute paths of its files and folders.
        submitted_at: When a person submitted it.
        starts_at: Nothing is read before this time.
        state: waiting -> looking -> working -> reporting -> ended; retry goes back to working.
        paused: A person holds it.
        cancelled: A person ended it.
        taken_off: Photographs that were queued then.
        looked_at: The last file that was looked at, as JSON; "" before the first.
        passed_over: Files that are no photographs for the recipe; a kind of companions is one.
        notes: Some of them, with the reason.
        began_at: When its first folder was looked at.
        ended_at: When nothing more was to be done.
        summary: The counts at that time; None before.
    """

    name: str
    request: str
    recipe: str
    roots: tuple[Path, ...]
    submitted_at: float
    starts_at: float
    state: BulkState = "waiting"
    paused: bool = False
    cancelled: bool = False
    taken_off: int = 0
    looked_at: str = ""
    passed_over: int = 0
    notes: tuple[tuple[str, str], ...] = ()
    began_at: float = 0.0
    ended_at: float = 0.0
    summary: BulkCounts | None = None

    def with_notes(self, notes: Sequence[tuple[str, str]]) -> "BulkJob":
        """Add files that were passed over, each once; only the first of very many are named."""
        known = set(self.notes)
        new = [note for note in dict.fromkeys(notes) if note not in known]
        named = (*self.notes, *new)[:_NOTES]
        return replace(self, passed_over=self.passed_over + len(new), notes=named)


def all_jobs(reader: LedgerReader) -> list[BulkJob]:
    """Every bulk job, the oldest first."""
    rows = reader.select("SELECT * FROM bulk ORDER BY submitted_at, name")
    return [_bulk_of(row) for row in rows]


def unfinished(reader: LedgerReader) -> list[BulkJob]:
    """The bulk jobs that have not ended, the oldest first."""
    rows = reader.select_cached(
        "SELECT * FROM bulk WHERE state <> 'ended' ORDER BY submitted_at, name"
    )
    return [_bulk_of(row) for row in rows]


def find(reader: LedgerReader, name: str) -> BulkJob | None:
    """The bulk job of a name, or None."""
    return next((bulk for bulk in all_jobs(reader) if bulk.name == name), None)


def counts(reader: LedgerReader, bulk: BulkJob) -> BulkCounts:
    """How many of its photographs are where; of an ended one, as they were at its end."""
    if bulk.summary is not None:
        return bulk.summary
    rows = reader.select(
        f"SELECT state, fence > 0 AS worked, count(*) AS jobs FROM job WHERE {_OF}"
        " GROUP BY state, fence > 0",
        bulk.name,
    )
    sums: dict[str, int] = {}
    for row in rows:
        key = "skipped" if row["state"] == "done" and not row["worked"] else row["state"]
        sums[key] = sums.get(key, 0) + row["jobs"]
    return BulkCounts(
        queued=sum(sums.get(state, 0) for state in ("claiming", "queued", "held")),
        in_flight=sum(sums.get(s, 0) for s in ("leased", "publishing", "published", "failing")),
        done=sums.get("done", 0),
        skipped=sums.get("skipped", 0),
        failed=sums.get("failed", 0),
        taken_off=bulk.taken_off,
    )


def has_open_jobs(reader: LedgerReader, name: str) -> bool:
    """Whether a photograph of a bulk job has not ended."""
    query = f"SELECT 1 FROM job WHERE {_OF} AND state IN {_OPEN} LIMIT 1"
    return bool(reader.select_cached(query, name))


def is_held(reader: LedgerReader, name: str) -> bool:
    """Whether photographs of a bulk job are held: it is paused, or their disk is away."""
    query = f"SELECT 1 FROM job WHERE {_OF} AND state = 'held' LIMIT 1"
    return bool(reader.select_cached(query, name))


def done_since(reader: LedgerReader, name: str, since: float) -> tuple[int, float]:
    """How many were restored since a time (UTC seconds), and when the first of them was."""
    (row,) = reader.select(
        "SELECT count(*) AS jobs, min(ended_at) AS first FROM job"
        f" WHERE {_OF} AND state = 'done' AND fence > 0 AND ended_at >= ?",
        *(name, since),
    )
    return row["jobs"], row["first"] or since


def latest_paths(reader: LedgerReader, name: str, limit: int) -> set[Path]:
    """The files of the rows of a bulk job that were recorded last."""
    rows = reader.select(
        "SELECT * FROM job WHERE row IN"
        f" (SELECT row FROM job WHERE {_OF} ORDER BY row DESC LIMIT ?)",
        *(name, limit),
    )
    return {file.path for row in rows for file in entry_of(row).claim.files}


def ended_rows(reader: LedgerReader, name: str, state: Literal["done", "failed"]) -> list[int]:
    """Rows of the photographs that ended so, in the order in which they were found."""
    query = f"SELECT row FROM job WHERE {_OF} AND state = ? ORDER BY row"
    return [row["row"] for row in reader.select(query, name, state)]


def noted_rows(reader: LedgerReader, name: str, limit: int) -> list[int]:
    """Rows of photographs whose results have notes, in the order in which they were found."""
    query = (
        f"SELECT row FROM job WHERE {_OF} AND state = 'done' AND row IN (SELECT row FROM note)"
        " ORDER BY row LIMIT ?"
    )
    return [row["row"] for row in reader.select(query, name, limit)]


def ended_entries(reader: LedgerReader, rows: Iterable[int]) -> Iterator[tuple[Entry, Path | None]]:
    """These photographs, each with its result (None where it failed), one after the other."""
    for number in rows:
        for row in reader.select("SELECT * FROM job WHERE row = ?", number):
            result = Path(json.loads(row["result"])) if row["state"] == "done" else None
            yield entry_of(row), result


def failed_entries(
    reader: LedgerReader, name: str, before: float, limit: int
) -> list[tuple[Entry, Path | None]]:
    """Photographs that failed before a time (UTC seconds), each with its path in failed/."""
    rows = reader.select(
        f"SELECT * FROM job WHERE {_OF} AND state = 'failed' AND ended_at < ? LIMIT ?",
        *(name, before, limit),
    )
    return [
        (entry_of(r), Path(json.loads(r["failed_to"])) if r["failed_to"] else None) for r in rows
    ]


def save(ledger: Ledger, bulk: BulkJob) -> None:
    """Record a bulk job as it is now."""
    values = asdict(bulk) | {
        "roots": json.dumps([str(root) for root in bulk.roots]),
        "notes": json.dumps(bulk.notes),
        "summary": json.dumps(asdict(bulk.summary)) if bulk.summary else "",
    }
    with ledger.transaction() as db:
        db.execute(
            f"INSERT OR REPLACE INTO bulk ({', '.join(values)})"
            f" VALUES ({', '.join('?' * len(values))})",
            tuple(values.values()),
        )


def set_held(ledger: Ledger, name: str, *, held: bool) -> None:
    """Keep queued photographs of a bulk job from starting, or let them start."""
    now, then = ("queued", "held") if held else ("held", "queued")
    if ledger.select_cached(f"SELECT 1 FROM job WHERE {_OF} AND state = ? LIMIT 1", name, now):
        with ledger.transaction() as db:
            db.execute(f"UPDATE job SET state = ? WHERE {_OF} AND state = ?", (then, name, now))


def cancel(ledger: Ledger, bulk: BulkJob) -> BulkJob:
    """Remove what waits of a bulk job; its originals never left their place."""
    with ledger.transaction() as db:
        gone = db.execute(
            f"DELETE FROM job WHERE {_OF} AND state IN ('claiming', 'queued', 'held')",
            (bulk.name,),
        ).rowcount
        off = replace(
            bulk,
            state="working",
            paused=False,
            cancelled=True,
            taken_off=bulk.taken_off + gone,
        )
        db.execute(
            "UPDATE bulk SET state = ?, paused = 0, cancelled = 1, taken_off = ? WHERE name = ?",
            (off.state, off.taken_off, off.name),
        )
    return off


def try_again(ledger: Ledger, rows: Collection[int]) -> None:
    """Queue failed photographs again, as if they had just been found."""
    ledger.execute_each(
        "UPDATE job SET state = 'claiming', reason = '', remedy = '', failed_to = '', ended_at = 0,"
        " id = '', fence = 0, attempts = 0, deaths = 0, crashes = 0, alone = 0, not_before = 0"
        " WHERE row = ? AND state = 'failed'",
        [(row,) for row in rows],
    )


def forget(ledger: Ledger, before: float) -> int:
    """Remove bulk jobs that ended before a time (UTC seconds); returns how many.

    A bulk job stays while a row of it is left: another one of its name would count that row.
    """
    with ledger.transaction() as db:
        query = (
            "DELETE FROM bulk WHERE state = 'ended' AND ended_at < ?"
            " AND NOT EXISTS (SELECT 1 FROM job WHERE job.bulk = bulk.name AND job.bulk <> '')"
        )
        return db.execute(query, (before,)).rowcount


def _bulk_of(row: Row) -> BulkJob:
    values = {key: row[key] for key in row.keys()}  # noqa: SIM118  # iterating gives the values
    return BulkJob(
        **values
        | {
            "roots": tuple(Path(root) for root in json.loads(row["roots"])),
            "notes": tuple((path, why) for path, why in json.loads(row["notes"])),
            "paused": bool(row["paused"]),
            "cancelled": bool(row["cancelled"]),
            "summary": BulkCounts(**json.loads(row["summary"])) if row["summary"] else None,
        }
    )
