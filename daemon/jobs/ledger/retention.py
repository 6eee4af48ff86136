"""Retention: removes rows of old jobs from the ledger, and keeps what must outlive them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.jobs.ledger.entries import path_text
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
    """Remove the rows of expired jobs, with their notes and what was measured in their photographs.

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
        db.executemany("DELETE FROM note WHERE row = ?", [(job.row,) for job in jobs])
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


def _path(text: str) -> Path | None:
    return Path(json.loads(text)) if text else None
