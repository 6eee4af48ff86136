"""Jobs of the ledger a page at a time, for people who look at them one by one.

Pages are cut by the time at which jobs ended and by their rows, so that a page stays what it was
while others are added.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.jobs.ledger.database import Row
from daemon.jobs.ledger.entries import Entry, entry_of
from daemon.jobs.ledger.reader import LedgerReader

Ended = Literal["done", "failed"]

Cursor = tuple[float, int]
"""End of the last job of a page, UTC seconds since the epoch, and its row."""

_FIRST: Cursor = (math.inf, 0)

_OPEN = ("leased", "publishing", "published", "failing", "queued", "held", "claiming")
"""States of jobs that have not ended, in the order in which people look for them."""


@dataclass(frozen=True)
class ListedJob:
    """A job with what became of it.

    Attributes:
        entry: The job.
        result: Its main result; None if it has none.
        failed_to: Where its first photograph went, or would be if originals stay in their place;
            None if it did not fail.
        ended_at: When it ended, UTC seconds since the epoch; 0 while it has not.
    """

    entry: Entry
    result: Path | None
    failed_to: Path | None
    ended_at: float

    @property
    def cursor(self) -> Cursor:
        """Where the next page begins if this is the last job of one."""
        return self.ended_at, self.entry.row


def ended_jobs(
    reader: LedgerReader,
    state: Ended,
    limit: int,
    after: Cursor = _FIRST,
    *,
    recipe: str | None = None,
    bulk: str | None = None,
) -> list[ListedJob]:
    """Jobs that have ended, the latest first.

    Args:
        reader: The ledger.
        state: Those with a result, or those that failed.
        limit: How many at most.
        after: The last job of the page before.
        recipe: Only those of this recipe.
        bulk: Only those of this bulk job.
    """
    ended_at, row = after
    which, values = "", []
    for column, value in (("recipe", recipe), ("bulk", bulk)):
        if value is not None:
            which += f" AND {column} = ?"
            values.append(value)
    rows = reader.select(
        "SELECT * FROM job WHERE ended_at > 0 AND (ended_at < ? OR (ended_at = ? AND row < ?))"
        f" AND state = ?{which} ORDER BY ended_at DESC, row DESC LIMIT ?",
        *(min(ended_at, 1e18), ended_at, row, state, *values, limit),
    )
    return _listed(rows)


def open_jobs(reader: LedgerReader, limit: int) -> list[ListedJob]:
    """The first jobs that have not ended: those in work, then those that wait.

    Args:
        reader: The ledger.
        limit: How many at most.
    """
    found: list[Row] = []
    for state in _OPEN:
        found += reader.select(
            "SELECT * FROM job WHERE state = ? ORDER BY row LIMIT ?", state, limit - len(found)
        )
    return _listed(found)


def listed_job(reader: LedgerReader, row: int) -> ListedJob | None:
    """One job; None if the ledger has forgotten it."""
    return next(iter(_listed(reader.select("SELECT * FROM job WHERE row = ?", row))), None)


def jobs_of_photograph(reader: LedgerReader, digest: str, limit: int) -> list[ListedJob]:
    """Jobs with a result whose first photograph has this content, the latest first.

    Args:
        reader: The ledger.
        digest: Its sha256, hex.
        limit: How many at most.
    """
    rows = reader.select(
        "SELECT * FROM job WHERE state = 'done' AND json_extract(claim, '$.files[0].digest') = ?"
        " ORDER BY row DESC LIMIT ?",
        *(digest, limit),
    )
    return _listed(rows)


def _listed(rows: Sequence[Row]) -> list[ListedJob]:
    return [
        ListedJob(
            entry_of(row), _path(row["result"]), _path(row["failed_to"]), float(row["ended_at"])
        )
        for row in rows
    ]


def _path(text: str) -> Path | None:
    return Path(json.loads(text)) if text else None
