r"""The ledger: what the station has claimed and how far each job has come, in SQLite.

Comes in: state changes, each one transaction. Goes out: frozen entries. It touches no photograph;
states only follow the arrows below, and each is recorded before the next thing is done on disk.

claiming -> queued -> leased -> publishing -> published -> done
                 \______\________________-> failing -> failed

What is queued for a bulk job goes to `held` and back while a person pauses that.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from daemon.config.features import Feature
from daemon.config.station import Notice
from daemon.jobs.ledger.database import Database, Transaction
from daemon.jobs.ledger.entries import ClaimedFiles, Entry, Original, claim_text, path_text
from daemon.jobs.ledger.reader import LedgerReader


class Ledger(LedgerReader):
    """The connection that writes; a station's daemon alone has one, and makes what is missing."""

    def _open(self, path: Path) -> Database:
        return Database.to_write(path)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Changes that are made together or not at all; for the modules of this package."""
        return self._db.transaction()

    def intend(self, claims: Sequence[tuple[str, ClaimedFiles, str]]) -> list[Entry]:
        """Record what is about to be claimed: (recipe, claim, refusal or "")."""
        rows = []
        with self.transaction() as db:
            for recipe, claim, refusal in claims:
                values = ("claiming", recipe, claim_text(claim), refusal, claim.folder.bulk)
                cursor = db.execute(
                    "INSERT INTO job (state, recipe, claim, reason, bulk) VALUES (?, ?, ?, ?, ?)",
                    values,
                )
                rows.append(int(cursor.lastrowid or 0))
        return self.entries(rows)

    def queue(
        self,
        claims: Iterable[tuple[int, ClaimedFiles, str]],
        now: float,
        came_at: Mapping[int, float] | None = None,
    ) -> None:
        """The files of these rows are ours and known: they wait for a lease.

        Args:
            claims: (row, claim, why it is refused or ""); what is refused goes to failed/ instead.
            now: UTC seconds since the epoch.
            came_at: By row, when it came into its inbox, if that was before `now`: so long it has
                been queued, whether the daemon looked or not.
        """
        came = came_at or {}
        with self.transaction() as db:
            for row, claim, refusal in claims:
                db.execute(
                    "UPDATE job SET state = ?, claim = ?, reason = ?, queued_at = ? WHERE row = ?",
                    (
                        *("failing" if refusal else "queued", claim_text(claim), refusal),
                        *(min(now, came.get(row, now)), row),
                    ),
                )
                if claim.folder.originals == "leave" and not claim.folder.bulk:
                    db.executemany(
                        "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
                        [(path_text(f.path), f.size_bytes, f.mtime_ns) for f in claim.files],
                    )

    def forget(self, rows: Iterable[int]) -> None:
        """Nothing was claimed after all."""
        with self.transaction() as db:
            db.executemany("DELETE FROM job WHERE row = ?", [(row,) for row in rows])

    def unsee(self, paths: Iterable[Path]) -> None:
        """Originals left in place are to be taken again at the next scan."""
        with self.transaction() as db:
            db.executemany("DELETE FROM seen WHERE path = ?", [(path_text(p),) for p in paths])

    def lease(self, jobs: Sequence[tuple[int, str]]) -> list[Entry]:
        """Lease queued rows under their job ids, each with a fence never used before."""
        with self.transaction() as db:
            for row, job in jobs:
                db.execute(
                    "INSERT INTO counter VALUES ('fence', 1)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + 1"
                )
                db.execute(
                    "UPDATE job SET state = 'leased', id = ?,"
                    " fence = (SELECT value FROM counter WHERE name = 'fence')"
                    " WHERE row = ? AND state = 'queued'",
                    (job, row),
                )
        return self.entries([row for row, _ in jobs])

    def give_back(
        self, row: int, *, not_before: float = 0, attempt: int = 0, death: int = 0, crash: int = 0
    ) -> None:
        """End a lease without an outcome, counting whose fault it may have been."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET state = 'queued', not_before = ?, attempts = attempts + ?,"
                " deaths = deaths + ?, crashes = crashes + ?, alone = (deaths + ? > 0 OR"
                " crashes + ? > 1) WHERE row = ? AND state = 'leased'",
                (not_before, attempt, death, crash, death, crash, row),
            )

    def clock_was_put_back(self, now: float) -> None:
        """Nothing was queued in the future, and nothing waits for what the clock read wrongly."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET queued_at = min(queued_at, ?), not_before = 0"
                " WHERE state IN ('queued', 'held') AND (queued_at > ? OR not_before > ?)",
                (now, now, now),
            )

    def choose(self, row: int, recipe: str) -> None:
        """The content of a queued photograph has decided on its recipe."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET recipe = ? WHERE row = ? AND state = 'queued'", (recipe, row)
            )

    def remember(
        self, photo: str, answers: Iterable[tuple[Feature, float]], *, clip_digest: str
    ) -> None:
        """Keep what was seen in a photograph of this digest, so that it is not asked again."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?)",
                [
                    (photo, f.name, f.phrase, f.model_digest(clip_digest), value)
                    for f, value in answers
                ],
            )

    def intend_publication(self, publications: Iterable[tuple[int, str]]) -> None:
        """Record what is about to be published, so that a crash finishes it."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE job SET state = 'publishing', publication = ? WHERE row = ?",
                [(publication, row) for row, publication in publications],
            )

    def count_attempt(self, row: int) -> None:
        """A passing fault met a job that stays in its state."""
        with self.transaction() as db:
            db.execute("UPDATE job SET attempts = attempts + 1 WHERE row = ?", (row,))

    def publish(self, results: Iterable[tuple[int, str, Path]]) -> None:
        """Results and records stand: (row, job id, main result)."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE job SET state = 'published', publication = '', id = ?, result = ?"
                " WHERE row = ?",
                [(job, path_text(path), row) for row, job, path in results],
            )

    def fail(self, failures: Iterable[tuple[int, str]]) -> None:
        """Record that these are about to go to failed/, and why."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE job SET state = 'failing', reason = ? WHERE row = ?",
                [(reason, row) for row, reason in failures],
            )

    def end(
        self,
        rows: Iterable[tuple[int, Path | None]],
        state: Literal["done", "failed"],
        now: float,
        archived: Iterable[Original] = (),
    ) -> None:
        """Originals are where they belong.

        Args:
            rows: With where a failed one went.
            state: How they ended.
            now: UTC seconds since the epoch.
            archived: What went to the archive, for its catalogue.
        """
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO original VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (path_text(o.path), o.row, o.position, o.size_bytes, o.mtime_ns, o.at)
                    for o in archived
                ],
            )
            db.executemany(
                "UPDATE job SET state = ?, ended_at = ?, failed_to = ? WHERE row = ?",
                [(state, now, path_text(path) if path else "", row) for row, path in rows],
            )

    def set_notices(self, notices: Sequence[Notice]) -> None:
        """Replace what `status` tells of files that wait in an inbox."""
        with self.transaction() as db:
            db.execute("DELETE FROM notice")
            db.executemany(
                "INSERT INTO notice VALUES (?, ?, ?)",
                [(path_text(n.path), n.what, n.since) for n in notices],
            )
