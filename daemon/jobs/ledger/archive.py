"""The archive's catalogue: which file in the archive is the original of which finished job.

Comes in: the ledger. Goes out: originals, and what may be forgotten of finished jobs. Whatever is
not in it was put into the archive by somebody else and is nobody's to remove. Touches no file.
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
class EndedJob:
    """A job that ended long ago and has no original in the archive.

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
    """A result of a job whose row is gone.

    Attributes:
        id: The job id.
        result: The main result.
        outbox: The folder that all results of its inbox go to.
    """

    id: str
    result: Path
    outbox: Path


def oldest(
    view: LedgerReader, limit: int, before: float = math.inf, past: Original | None = None
) -> list[Original]:
    """What went to the archive first.

    Args:
        view: The ledger.
        limit: How many at most.
        before: UTC seconds since the epoch; only what went there earlier.
        past: Where to go on; None begins anew.
    """
    start = (past.at, path_text(past.path)) if past else (-math.inf, "")
    return _originals(
        view.select(
            "SELECT * FROM original WHERE at < ? AND (at, path) > (?, ?) ORDER BY at, path LIMIT ?",
            *(before, *start, limit),
        )
    )


def size_bytes(view: LedgerReader) -> int:
    """Size of all originals in the archive."""
    return int(view.select("SELECT coalesce(sum(size), 0) FROM original")[0][0])


def originals_of(view: LedgerReader, row: int) -> list[Original]:
    """The archived files of a job, in the order of its claim."""
    return _originals(view.select("SELECT * FROM original WHERE row = ? ORDER BY position", row))


def jobs(view: LedgerReader) -> list[tuple[int, Path]]:
    """Every job that has an original in the archive, the oldest first, with its main result."""
    rows = view.select(
        "SELECT row, result FROM job WHERE state = 'done' AND row IN (SELECT row FROM original)"
        " ORDER BY row"
    )
    return [(row["row"], Path(json.loads(row["result"]))) for row in rows]


def remove(ledger: Ledger, originals: Iterable[Original]) -> None:
    """These are in the archive no more."""
    ledger.execute_each(
        "DELETE FROM original WHERE path = ?", [(path_text(o.path),) for o in originals]
    )


def ended(view: LedgerReader, before: float, last: EndedJob | None, limit: int) -> list[EndedJob]:
    """Jobs that ended before a time and have no original in the archive, the oldest first.

    Those of a bulk job that has not ended are left out: its report will tell of them.

    Args:
        view: The ledger.
        before: UTC seconds since the epoch.
        last: Where to go on; None begins anew.
        limit: How many at most.
    """
    rows = view.select(
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
        EndedJob(
            *(r["row"], r["recipe"], r["ended_at"], r["id"], _path(r["result"])),
            outbox=Path(claim["folder"]["outbox"]),
            failed_to=_path(r["failed_to"]),
            photos=tuple(file["digest"] for file in claim["files"]),
        )
        for r, claim in zip(rows, claims, strict=True)
    ]


def forget(ledger: Ledger, jobs: Sequence[EndedJob], standing: Sequence[KeptResult]) -> None:
    """Remove the rows of ended jobs, with what was seen in their photographs.

    Where the results are that stand is kept, and how many jobs of each recipe were done.
    """
    with ledger.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO standing VALUES (?, ?, ?)",
            [(one.id, path_text(one.result), path_text(one.outbox)) for one in standing],
        )
        db.executemany(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            [(DONE + job.recipe,) for job in jobs if job.failed_to is None],
        )
        db.executemany("DELETE FROM job WHERE row = ?", [(job.row,) for job in jobs])
        photos = [(photo,) for job in jobs for photo in job.photos]
        db.executemany("DELETE FROM look WHERE photo = ?", photos)


def results_after(view: LedgerReader, job: str, limit: int) -> list[KeptResult]:
    """The next results that are kept of removed rows, in order of their job ids."""
    rows = view.select("SELECT * FROM standing WHERE id > ? ORDER BY id LIMIT ?", job, limit)
    return [
        KeptResult(r["id"], Path(json.loads(r["result"])), Path(json.loads(r["outbox"])))
        for r in rows
    ]


def forget_results(ledger: Ledger, results: Iterable[KeptResult]) -> None:
    """These stand no more."""
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
