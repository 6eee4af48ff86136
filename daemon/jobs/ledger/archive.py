"""The archive in the ledger: which file in the archive is the original of which finished job.

A file in the archive that is not here was put there by somebody else, so housekeeping leaves it.
This module also removes rows of old jobs, and keeps what must outlive them. It touches no file.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.jobs.ledger.database import Row
from daemon.jobs.ledger.entries import Original, path_text
from daemon.jobs.ledger.reader import DONE, LedgerReader
from daemon.jobs.ledger.writer import Ledger


@dataclass(frozen=True)
class ExpiredJob:
    """A finished job that is old enough for its row to be removed.

    Attributes:
        row: Its row.
        recipe: Name of its recipe.
        ended_at: UTC seconds since the epoch.
        id: Its job id, "" if it never got one.
        result: Its main result; None if it has none.
        outbox: The folder that all results of its inbox go to.
        failed_to: Where its original lies in failed/; None if it is done.
        photos: sha256 of its photographs.
    """

    row: int
    recipe: str
    ended_at: float
    id: str
    result: Path | None
    outbox: Path
    failed_to: Path | None
    photos: tuple[str, ...]


@dataclass(frozen=True)
class KeptResult:
    """A result of a job whose row is removed; it still counts as done.

    Attributes:
        id: The job id.
        result: The main result.
        outbox: The folder that all results of its inbox go to.
    """

    id: str
    result: Path
    outbox: Path


def oldest(
    reader: LedgerReader, limit: int, before: float = math.inf, past: Original | None = None
) -> list[Original]:
    """The originals that went to the archive first.

    Args:
        reader: The ledger.
        limit: How many at most.
        before: UTC seconds since the epoch; only what went there earlier.
        past: The last original of the page before; None for the first page.
    """
    start = (past.at, path_text(past.path)) if past else (-math.inf, "")
    return _originals(
        reader.select(
            "SELECT * FROM original WHERE at < ? AND (at, path) > (?, ?) ORDER BY at, path LIMIT ?",
            *(before, *start, limit),
        )
    )


def size_bytes(reader: LedgerReader) -> int:
    """Size of all originals in the archive."""
    return int(reader.select("SELECT coalesce(sum(size), 0) FROM original")[0][0])


def originals_of(reader: LedgerReader, row: int) -> list[Original]:
    """The archived files of a job, in the order of its claim."""
    return _originals(reader.select("SELECT * FROM original WHERE row = ? ORDER BY position", row))


def job_of(reader: LedgerReader, path: Path) -> int | None:
    """Row of the job whose original a file in the archive is; None if it is nobody's."""
    rows = reader.select("SELECT row FROM original WHERE path = ?", path_text(path))
    return int(rows[0]["row"]) if rows else None


def next_position(reader: LedgerReader, row: int) -> int:
    """A position behind all files of a job: for what comes to the archive after it."""
    claimed = max((len(entry.claim.files) for entry in reader.entries([row])), default=0)
    return max([claimed, *(1 + original.position for original in originals_of(reader, row))])


def add(ledger: Ledger, original: Original) -> None:
    """Record a file that came to the archive after the job had ended."""
    values = (original.row, original.position, original.size_bytes, original.mtime_ns, original.at)
    ledger.execute_each(
        "INSERT OR REPLACE INTO original VALUES (?, ?, ?, ?, ?, ?)",
        [(path_text(original.path), *values)],
    )


def jobs(reader: LedgerReader) -> list[tuple[int, Path]]:
    """Every job that has an original in the archive, the oldest first, with its main result."""
    rows = reader.select(
        "SELECT row, result FROM job WHERE state = 'done' AND row IN (SELECT row FROM original)"
        " ORDER BY row"
    )
    return [(row["row"], Path(json.loads(row["result"]))) for row in rows]


def remove(ledger: Ledger, originals: Iterable[Original]) -> None:
    """Remove originals that are no longer in the archive."""
    ledger.execute_each(
        "DELETE FROM original WHERE path = ?", [(path_text(o.path),) for o in originals]
    )


def expired(
    reader: LedgerReader, before: float, last: ExpiredJob | None, limit: int
) -> list[ExpiredJob]:
    """Finished jobs whose rows may be removed, the oldest first: no original of theirs is archived.

    Those of a bulk job that has not ended are left out, because its report needs them.

    Args:
        reader: The ledger.
        before: UTC seconds since the epoch; only jobs that ended earlier.
        last: The last job of the page before; None for the first page.
        limit: How many at most.
    """
    rows = reader.select(
        "SELECT row, recipe, ended_at, id, result, claim, failed_to FROM job"
        " WHERE state IN ('done', 'failed') AND ended_at > 0 AND ended_at < ?"
        " AND (ended_at, row) > (?, ?)"
        " AND row NOT IN (SELECT row FROM original)"
        " AND bulk NOT IN (SELECT name FROM bulk WHERE state <> 'ended')"
        " ORDER BY ended_at, row LIMIT ?",
        *(before, last.ended_at if last else 0.0, last.row if last else 0, limit),
    )
    claims = [json.loads(r["claim"]) for r in rows]
    return [
        ExpiredJob(
            *(r["row"], r["recipe"], r["ended_at"], r["id"], _path(r["result"])),
            outbox=Path(claim["folder"]["outbox"]),
            failed_to=_path(r["failed_to"]),
            photos=tuple(file["digest"] for file in claim["files"]),
        )
        for r, claim in zip(rows, claims, strict=True)
    ]


def forget(ledger: Ledger, jobs: Sequence[ExpiredJob], kept: Sequence[KeptResult]) -> None:
    """Remove the rows of expired jobs, with what was measured in their photographs.

    How many jobs of each recipe were done is still counted.

    Args:
        ledger: The ledger.
        jobs: What to remove.
        kept: Results of them that are still in the outbox.
    """
    with ledger.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO standing VALUES (?, ?, ?)",
            [(one.id, path_text(one.result), path_text(one.outbox)) for one in kept],
        )
        db.executemany(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            [(DONE + job.recipe,) for job in jobs if job.failed_to is None],
        )
        db.executemany("DELETE FROM job WHERE row = ?", [(job.row,) for job in jobs])
        photos = [(photo,) for job in jobs for photo in job.photos]
        db.executemany("DELETE FROM look WHERE photo = ?", photos)


def results_after(reader: LedgerReader, job: str, limit: int) -> list[KeptResult]:
    """The next results of removed rows, in order of their job ids."""
    rows = reader.select("SELECT * FROM standing WHERE id > ? ORDER BY id LIMIT ?", job, limit)
    return [
        KeptResult(r["id"], Path(json.loads(r["result"])), Path(json.loads(r["outbox"])))
        for r in rows
    ]


def forget_results(ledger: Ledger, results: Iterable[KeptResult]) -> None:
    """Remove results that are no longer in the outbox."""
    with ledger.transaction() as db:
        db.executemany(
            "DELETE FROM standing WHERE id = ? AND result = ?",
            [(one.id, path_text(one.result)) for one in results],
        )


def _originals(rows: Sequence[Row]) -> list[Original]:
    return [
        Original(
            Path(json.loads(r["path"])),
            *(r["row"], r["position"], r["size"], r["mtime_ns"], r["at"]),
        )
        for r in rows
    ]


def _path(text: str) -> Path | None:
    return Path(json.loads(text)) if text else None
