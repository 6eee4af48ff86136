r"""The ledger: which photographs the station has claimed, and how far each job has come.

Each change is one transaction and is recorded before the next thing is done on disk, so that a
daemon that is cut off finds in its ledger what it had begun. States follow these arrows only:

claiming   -> queued      its files are in the work folder and have been hashed
claiming   -> failing     it is refused
queued     -> leased      an executor gets it
queued     -> published   its result is in the outbox already
queued     -> failing     no recipe takes it, or it changed and is refused now
queued     -> claiming    its files changed, and are read again
queued    <-> held        its bulk job is paused, or the disk of its originals is away
leased     -> queued      it was not finished, is to be tried again, or has been inspected
leased     -> publishing  it has a result
leased     -> failing     the photograph is at fault, or all tries are used up
publishing -> published   result and record are in the outbox
publishing -> failing     the result cannot be published
published  -> done        its original is where it belongs
failing    -> failed      its original is in failed/, with the reason
failed     -> claiming    its bulk job is tried again

A row is removed where nothing could be claimed, where a bulk job is cancelled before the row is
leased, and when the job has expired.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from daemon.config.content_features import Feature
from daemon.config.station import Notice
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger.database import Database, Transaction
from daemon.jobs.ledger.entries import ClaimedFiles, Entry, Original, claim_text, path_text
from daemon.jobs.ledger.reader import LedgerReader
from daemon.photo.notes import Note


class Ledger(LedgerReader):
    """The connection that writes; only a station's daemon has one."""

    def _open(self, path: Path) -> Database:
        return Database.to_write(path)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Changes that are made together or not at all; for the modules of this package."""
        return self._db.transaction()

    def execute_each(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values; for the modules of this package."""
        self._db.execute_each(statement, rows)

    def intend(self, claims: Sequence[tuple[str, ClaimedFiles, Reason]]) -> list[Entry]:
        """Record what is about to be claimed.

        Args:
            claims: (name of the recipe, files, why they are refused or `NO_REASON`).
        """
        if not claims:
            return []
        rows = []
        with self.transaction() as db:
            for recipe, claim, refusal in claims:
                cursor = db.execute(
                    "INSERT INTO job (state, recipe, claim, reason, remedy, bulk)"
                    " VALUES ('claiming', ?, ?, ?, ?, ?)",
                    (recipe, claim_text(claim), refusal.why, refusal.remedy, claim.folder.bulk),
                )
                rows.append(int(cursor.lastrowid or 0))
        return self.entries(rows)

    def queue(
        self,
        claims: Sequence[tuple[int, ClaimedFiles, Reason]],
        now: float,
        came_at: Mapping[int, float] | None = None,
    ) -> None:
        """Queue rows whose files are in the work folder and have been hashed.

        Args:
            claims: (row, claim, why it is refused or `NO_REASON`); what is refused goes to failed/
                instead.
            now: UTC seconds since the epoch.
            came_at: By row, when it came into its inbox, if that was before `now`: it counts as
                queued since then, whether the daemon looked or not.
        """
        if not claims:
            return
        came = came_at or {}
        with self.transaction() as db:
            for row, claim, refusal in claims:
                db.execute(
                    "UPDATE job SET state = ?, claim = ?, reason = ?, remedy = ?, queued_at = ?,"
                    " crashes = CASE state WHEN 'claiming' THEN 0 ELSE crashes END WHERE row = ?",
                    (
                        *("failing" if refusal else "queued", claim_text(claim)),
                        *(refusal.why, refusal.remedy),
                        *(min(now, came.get(row, now)), row),
                    ),
                )
                if claim.folder.originals == "leave" and not claim.folder.bulk:
                    db.executemany(
                        "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
                        [(path_text(f.path), f.size_bytes, f.mtime_ns) for f in claim.files],
                    )

    def forget(self, rows: Iterable[int]) -> None:
        """Remove rows of which nothing was claimed after all."""
        self.execute_each("DELETE FROM job WHERE row = ?", [(row,) for row in rows])

    def forget_taken(self, paths: Iterable[Path]) -> None:
        """Have originals that are left in place taken again at the next scan."""
        self.execute_each("DELETE FROM seen WHERE path = ?", [(path_text(p),) for p in paths])

    def lease(self, jobs: Sequence[tuple[int, str]]) -> list[Entry]:
        """Lease queued rows, each with a fence never used before.

        Args:
            jobs: (row, id of the job).
        """
        if not jobs:
            return []
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

    def requeue(self, row: int, *, not_before: float = 0, attempt: int = 0, crash: int = 0) -> None:
        """Queue a leased row again, without an outcome; a suspect stays in its group.

        Args:
            row: The job.
            not_before: When it may be leased again, UTC seconds since the epoch.
            attempt: 1 if it met a passing fault.
            crash: 1 if the daemon was killed while it was in flight.
        """
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET state = 'queued', not_before = ?, attempts = attempts + ?,"
                " crashes = crashes + ? WHERE row = ? AND state = 'leased'",
                (not_before, attempt, crash, row),
            )

    def suspect(
        self,
        groups: Iterable[Iterable[int]],
        *,
        not_before: float = 0,
        death: int = 0,
        crash: int = 0,
    ) -> None:
        """Queue leased rows again as suspects, each group to run by itself.

        Args:
            groups: The rows.
            not_before: When they may be leased again, UTC seconds since the epoch.
            death: 1 if a worker died by itself while the row alone was in flight.
            crash: 1 if the daemon was killed while they were in flight.
        """
        with self.transaction() as db:
            for group in groups:
                db.execute(
                    "INSERT INTO counter VALUES ('suspects', 1)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + 1"
                )
                db.executemany(
                    "UPDATE job SET state = 'queued', not_before = ?, deaths = deaths + ?,"
                    " crashes = crashes + ?,"
                    " alone = (SELECT value FROM counter WHERE name = 'suspects')"
                    " WHERE row = ? AND state = 'leased'",
                    [(not_before, death, crash, row) for row in group],
                )

    def clock_was_put_back(self, now: float) -> None:
        """Bring future times of rows that are queued or in flight back to `now` (UTC seconds)."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET queued_at = min(queued_at, ?), not_before = 0"
                " WHERE state IN ('queued', 'held', 'leased')"
                " AND (queued_at > ? OR not_before > ?)",
                (now, now, now),
            )

    def choose(self, row: int, recipe: str) -> None:
        """Record the recipe that the content of a queued photograph has decided on."""
        with self.transaction() as db:
            db.execute(
                "UPDATE job SET recipe = ? WHERE row = ? AND state = 'queued'", (recipe, row)
            )

    def remember(
        self, photo: str, answers: Iterable[tuple[Feature, float]], *, clip_digest: str
    ) -> None:
        """Keep what was measured in a photograph, so that it is not inspected again.

        Args:
            photo: Its sha256, hex.
            answers: Each feature with its value.
            clip_digest: Digest of the CLIP model that scored likeness, or "".
        """
        self.execute_each(
            "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?)",
            [(photo, f.name, f.phrase, f.model_digest(clip_digest), value) for f, value in answers],
        )

    def intend_publication(self, publications: Iterable[tuple[int, str]]) -> None:
        """Record what is about to be published, so that it is finished after a crash.

        Args:
            publications: (row, publication as JSON).
        """
        self.execute_each(
            "UPDATE job SET state = 'publishing', publication = ? WHERE row = ?",
            [(publication, row) for row, publication in publications],
        )

    def count_attempt(self, row: int) -> None:
        """Count a passing fault of a job that stays in its state."""
        with self.transaction() as db:
            db.execute("UPDATE job SET attempts = attempts + 1 WHERE row = ?", (row,))

    def count_crash(self, rows: Iterable[int]) -> None:
        """Count an end of the daemon that interrupted half-made claims; `queue` forgets it."""
        self.execute_each(
            "UPDATE job SET crashes = crashes + 1 WHERE row = ?", [(row,) for row in rows]
        )

    def expect_interruption(self, rows: Iterable[int]) -> None:
        """Have the next end that interrupts these half-made claims not counted: it is in order."""
        self.execute_each(
            "UPDATE job SET crashes = crashes - 1 WHERE row = ? AND state = 'claiming'",
            [(row,) for row in rows],
        )

    def begin_again(self, row: int) -> None:
        """Have a queued job's files read again, since they changed; it counts as a try."""
        self.execute_each(
            "UPDATE job SET state = 'claiming', attempts = attempts + 1"
            " WHERE row = ? AND state = 'queued'",
            [(row,)],
        )

    def publish(
        self,
        results: Sequence[tuple[int, str, Path]],
        notes: Mapping[int, Sequence[Note]] | None = None,
    ) -> None:
        """Record that results and their records are in the outbox.

        Args:
            results: (row, id of the job, main result).
            notes: By row, what a person should know of its result; rows without any may lack.
        """
        if not results:
            return
        noted = [(row, note) for row, some in (notes or {}).items() for note in some]
        with self.transaction() as db:
            db.executemany(
                "UPDATE job SET state = 'published', publication = '', id = ?, result = ?"
                " WHERE row = ?",
                [(job, path_text(path), row) for row, job, path in results],
            )
            db.executemany("DELETE FROM note WHERE row = ?", [(row,) for row, _, _ in results])
            db.executemany(
                "INSERT INTO note VALUES (?, ?, ?)",
                [(row, note.kind.value, str(note)) for row, note in noted],
            )

    def fail(self, failures: Iterable[tuple[int, Reason]]) -> None:
        """Record that these are about to go to failed/, and why.

        Args:
            failures: (row, reason).
        """
        self.execute_each(
            "UPDATE job SET state = 'failing', reason = ?, remedy = ? WHERE row = ?",
            [(reason.why, reason.remedy, row) for row, reason in failures],
        )

    def end(
        self,
        rows: Sequence[tuple[int, Path | None]],
        state: Literal["done", "failed"],
        now: float,
        archived: Iterable[Original] = (),
    ) -> None:
        """Record that originals are where they belong.

        Args:
            rows: Each with where a failed one went.
            state: How they ended.
            now: UTC seconds since the epoch.
            archived: What went to the archive.
        """
        if not rows:
            return
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

    def move_result(self, row: int, result: Path) -> None:
        """Record that the main result of a finished job lies elsewhere now."""
        with self.transaction() as db:
            db.execute("UPDATE job SET result = ? WHERE row = ?", (path_text(result), row))

    def set_notices(self, notices: Sequence[Notice]) -> None:
        """Replace what `status` tells of files that wait in an inbox."""
        with self.transaction() as db:
            db.execute("DELETE FROM notice")
            db.executemany(
                "INSERT INTO notice VALUES (?, ?, ?)",
                [(path_text(n.path), n.what, n.since) for n in notices],
            )
