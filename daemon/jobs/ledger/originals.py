"""Archived originals in the ledger: which file in archive/ is the original of which finished job.

A file in the archive that is not here was put there by somebody else, so housekeeping leaves it.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon.jobs.ledger.database import Row
from daemon.jobs.ledger.entries import Original, path_text
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger


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


def _originals(rows: Sequence[Row]) -> list[Original]:
    return [
        Original(
            Path(json.loads(r["path"])),
            *(r["row"], r["position"], r["size"], r["mtime_ns"], r["at"]),
        )
        for r in rows
    ]
