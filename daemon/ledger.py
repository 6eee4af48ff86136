r"""The ledger: what the station has claimed and how far each job has come, in SQLite.

Comes in: state changes, each one transaction. Goes out: frozen entries. It touches no photograph;
states only follow the arrows below, and each is recorded before the next thing is done on disk.

claiming -> queued -> leased -> publishing -> published -> done
                 \______\________________-> failing -> failed
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from daemon.errors import ConfigError
from daemon.look import Feature
from daemon.photo import Header
from daemon.station import InboxFolder, Notice

State = Literal[
    "claiming", "queued", "leased", "publishing", "published", "done", "failing", "failed"
]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    row INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, recipe TEXT NOT NULL,
    claim TEXT NOT NULL, id TEXT NOT NULL DEFAULT '', fence INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, publication TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    failed_to TEXT NOT NULL DEFAULT '', queued_at REAL NOT NULL DEFAULT 0,
    ended_at REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS job_state ON job (state, recipe);
CREATE INDEX IF NOT EXISTS job_open ON job (row) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS job_fence ON job (fence) WHERE fence > 0;
CREATE INDEX IF NOT EXISTS job_id ON job (id) WHERE id <> '';
CREATE INDEX IF NOT EXISTS job_ended ON job (ended_at) WHERE ended_at > 0;
CREATE TABLE IF NOT EXISTS seen (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS look (
    photo TEXT NOT NULL, subject TEXT NOT NULL, phrase TEXT NOT NULL, model TEXT NOT NULL,
    answer REAL NOT NULL, PRIMARY KEY (photo, subject, phrase, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notice (path TEXT NOT NULL, what TEXT NOT NULL, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class ClaimedFile:
    """One file of a claim.

    Attributes:
        role: What it is to the job.
        relative: Its path below the inbox folder it came from.
        path: Where it lies once claimed (the original itself where originals are left).
        size_bytes: Its size when it was claimed.
        mtime_ns: Its time of change when it was claimed.
        digest: sha256, hex; "" until it is queued.
        header: What the file says of itself, once queued, for photographs.
    """

    role: Literal["photo", "mask", "hints"]
    relative: Path
    path: Path
    size_bytes: int
    mtime_ns: int
    digest: str = ""
    header: Header | None = None


@dataclass(frozen=True)
class Claimed:
    """What was claimed together: as intended first, then with digests."""

    folder: InboxFolder
    stem: str
    files: tuple[ClaimedFile, ...]

    @property
    def photos(self) -> tuple[ClaimedFile, ...]:
        """The photographs, without their side files."""
        return tuple(file for file in self.files if file.role == "photo")


@dataclass(frozen=True)
class Entry:
    """A job as the ledger knows it; `publication` is the outbox's own JSON."""

    row: int
    state: State
    recipe: str
    claim: Claimed
    id: str
    fence: int
    attempts: int
    deaths: int
    crashes: int
    alone: bool
    publication: str
    reason: str
    queued_at: float


@dataclass(frozen=True)
class QueueCount:
    """How many jobs of a recipe are where."""

    recipe: str
    queued: int
    in_flight: int
    done: int
    failed: int


@dataclass(frozen=True)
class Failure:
    """A job that ended in failed/."""

    path: Path
    recipe: str
    reason: str
    at: float


class Ledger:
    """One connection to a station's ledger; of writers there is only the station's daemon."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open it, making it if it is not there.

        Raises:
            ConfigError: It cannot be opened, or is no ledger.
        """
        try:
            self._db = _open_to_read(path) if readonly else _open_to_write(path)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path}: the ledger cannot be opened: {error}") from error
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextlib.contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def intend(self, claims: Sequence[tuple[str, Claimed, str]]) -> list[Entry]:
        """Record what is about to be claimed: (recipe, claim, refusal or "")."""
        rows = []
        with self._commit() as db:
            for recipe, claim, refusal in claims:
                values = ("claiming", recipe, _dump(claim), refusal)
                cursor = db.execute(
                    "INSERT INTO job (state, recipe, claim, reason) VALUES (?, ?, ?, ?)", values
                )
                rows.append(int(cursor.lastrowid or 0))
        return self.entries(rows)

    def queue(self, claims: Iterable[tuple[int, Claimed, str]], now: float) -> None:
        """The files of these rows are ours and known: (row, claim, why it is refused or "").

        They wait for a lease; what is refused goes to failed/ instead.
        """
        with self._commit() as db:
            for row, claim, refusal in claims:
                db.execute(
                    "UPDATE job SET state = ?, claim = ?, reason = ?, queued_at = ? WHERE row = ?",
                    ("failing" if refusal else "queued", _dump(claim), refusal, now, row),
                )
                if claim.folder.originals == "leave":
                    db.executemany(
                        "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
                        [(_text(f.path), f.size_bytes, f.mtime_ns) for f in claim.files],
                    )

    def forget(self, rows: Iterable[int]) -> None:
        """Nothing was claimed after all."""
        with self._commit() as db:
            db.executemany("DELETE FROM job WHERE row = ?", [(row,) for row in rows])

    def unsee(self, paths: Iterable[Path]) -> None:
        """Originals left in place are to be taken again at the next scan."""
        with self._commit() as db:
            db.executemany("DELETE FROM seen WHERE path = ?", [(_text(p),) for p in paths])

    def seen(self, path: Path, size_bytes: int, mtime_ns: int) -> bool:
        """Whether an original left in place was taken in this very state before."""
        found = self._db.execute("SELECT * FROM seen WHERE path = ?", (_text(path),)).fetchone()
        return found is not None and (found["size"], found["mtime_ns"]) == (size_bytes, mtime_ns)

    def ready(self, limit: int, now: float, *, alone: bool) -> list[Entry]:
        """Jobs that may be leased now, oldest first."""
        rows = self._db.execute(
            "SELECT row FROM job WHERE state = 'queued' AND not_before <= ? AND alone = ?"
            " ORDER BY row LIMIT ?",
            (now, alone, limit),
        )
        return self.entries([row["row"] for row in rows])

    def lease(self, jobs: Sequence[tuple[int, str]]) -> list[Entry]:
        """Lease queued rows under their job ids, each with a fence never used before."""
        with self._commit() as db:
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

    def leased(self, fence: int) -> Entry | None:
        """The job that holds this lease, or None if it is stale."""
        found = self._db.execute(
            "SELECT row FROM job WHERE fence = ? AND state = 'leased'", (fence,)
        ).fetchone()
        return self.entries([found["row"]])[0] if found else None

    def give_back(
        self, row: int, *, not_before: float = 0, attempt: int = 0, death: int = 0, crash: int = 0
    ) -> None:
        """End a lease without an outcome, counting whose fault it may have been."""
        with self._commit() as db:
            db.execute(
                "UPDATE job SET state = 'queued', not_before = ?, attempts = attempts + ?,"
                " deaths = deaths + ?, crashes = crashes + ?, alone = (deaths + ? > 0 OR"
                " crashes + ? > 1) WHERE row = ? AND state = 'leased'",
                (not_before, attempt, death, crash, death, crash, row),
            )

    def choose(self, row: int, recipe: str) -> None:
        """The content of a queued photograph has decided on its recipe."""
        with self._commit() as db:
            db.execute(
                "UPDATE job SET recipe = ? WHERE row = ? AND state = 'queued'", (recipe, row)
            )

    def remember(
        self, photo: str, answers: Iterable[tuple[Feature, float]], *, clip_digest: str
    ) -> None:
        """Keep what was seen in a photograph of this digest, so that it is not asked again."""
        with self._commit() as db:
            db.executemany(
                "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?)",
                [(photo, q.of, q.phrase, _asked(q, clip_digest), value) for q, value in answers],
            )

    def answers(self, photo: str, *, clip_digest: str) -> dict[Feature, float]:
        """What was seen in a photograph of this digest, likeness by this CLIP model only."""
        rows = self._db.execute("SELECT * FROM look WHERE photo = ?", (photo,))
        found = ((Feature(row["subject"], row["phrase"]), row) for row in rows)
        return {q: row["answer"] for q, row in found if row["model"] == _asked(q, clip_digest)}

    def intend_publication(self, publications: Iterable[tuple[int, str]]) -> None:
        """Record what is about to be published, so that a crash finishes it."""
        with self._commit() as db:
            db.executemany(
                "UPDATE job SET state = 'publishing', publication = ? WHERE row = ?",
                [(publication, row) for row, publication in publications],
            )

    def count_attempt(self, row: int) -> None:
        """A passing fault met a job that stays in its state."""
        with self._commit() as db:
            db.execute("UPDATE job SET attempts = attempts + 1 WHERE row = ?", (row,))

    def publish(self, results: Iterable[tuple[int, str, Path]]) -> None:
        """Results and records stand: (row, job id, main result)."""
        with self._commit() as db:
            db.executemany(
                "UPDATE job SET state = 'published', publication = '', id = ?, result = ?"
                " WHERE row = ?",
                [(job, _text(path), row) for row, job, path in results],
            )

    def fail(self, failures: Iterable[tuple[int, str]]) -> None:
        """Record that these are about to go to failed/, and why."""
        with self._commit() as db:
            db.executemany(
                "UPDATE job SET state = 'failing', reason = ? WHERE row = ?",
                [(reason, row) for row, reason in failures],
            )

    def end(
        self, rows: Iterable[tuple[int, Path | None]], state: Literal["done", "failed"], now: float
    ) -> None:
        """Originals are where they belong; with where a failed one went."""
        with self._commit() as db:
            db.executemany(
                "UPDATE job SET state = ?, ended_at = ?, failed_to = ? WHERE row = ?",
                [(state, now, _text(path) if path else "", row) for row, path in rows],
            )

    def standing(self, job: str) -> Path | None:
        """The published result of a job of this id, if there was one."""
        found = self._db.execute(
            "SELECT result FROM job WHERE id = ? AND state IN ('published', 'done')"
            " ORDER BY row DESC LIMIT 1",
            (job,),
        ).fetchone()
        return Path(json.loads(found["result"])) if found else None

    def working_on(self, job: str) -> bool:
        """Whether a job of this id is leased or being published."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM job WHERE id = ? AND state IN ('leased', 'publishing')", (job,)
            ).fetchone()
        )

    def publishing(self, fence: int) -> bool:
        """Whether what this lease staged is about to be published."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM job WHERE fence = ? AND state = 'publishing'", (fence,)
            ).fetchone()
        )

    def claimed_paths(self) -> set[Path]:
        """Where the files of every job that has not ended lie."""
        rows = self._db.execute("SELECT * FROM job WHERE state NOT IN ('done', 'failed')")
        return {file.path for row in rows for file in _entry(row).claim.files}

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """The entries of these rows, in that order; rows that are gone are left out."""
        found = (self._db.execute("SELECT * FROM job WHERE row = ?", (r,)).fetchone() for r in rows)
        return [_entry(row) for row in found if row is not None]

    def in_state(self, state: State) -> list[Entry]:
        """Every entry in one of the passing states."""
        rows = self._db.execute("SELECT * FROM job WHERE state = ? ORDER BY row", (state,))
        return [_entry(row) for row in rows]

    def open_jobs(self) -> int:
        """How many jobs have not ended."""
        count = self._db.execute(
            "SELECT count(*) FROM job WHERE state NOT IN ('done', 'failed')"
        ).fetchone()[0]
        return int(count)

    def set_notices(self, notices: Sequence[Notice]) -> None:
        """Replace what `status` tells of files that wait in an inbox."""
        with self._commit() as db:
            db.execute("DELETE FROM notice")
            db.executemany(
                "INSERT INTO notice VALUES (?, ?, ?)",
                [(_text(n.path), n.what, n.since) for n in notices],
            )

    def notices(self) -> tuple[Notice, ...]:
        """Files that wait in an inbox, and why."""
        rows = self._db.execute("SELECT * FROM notice ORDER BY since")
        return tuple(Notice(Path(json.loads(r["path"])), r["what"], r["since"]) for r in rows)

    def counts(self) -> tuple[QueueCount, ...]:
        """How many jobs are where, by recipe."""
        rows = self._db.execute(
            "SELECT recipe, sum(state IN ('claiming', 'queued')) AS queued,"
            " sum(state IN ('leased', 'publishing', 'published', 'failing')) AS in_flight,"
            " sum(state = 'done') AS done, sum(state = 'failed') AS failed"
            " FROM job GROUP BY recipe ORDER BY recipe"
        )
        return tuple(QueueCount(*row) for row in rows)

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


def _asked(question: Feature, clip_digest: str) -> str:
    """Digest of the model whose opinion an answer is; what is measured depends on none."""
    return clip_digest if question.of == "likeness" else ""


def _open_to_write(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise sqlite3.OperationalError("write-ahead logging is not to be had here")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_SCHEMA)
    return db


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


def _text(path: Path) -> str:
    """A path as ASCII: undecodable bytes survive as escaped surrogates."""
    return json.dumps(str(path))


def _dump(claim: Claimed) -> str:
    return json.dumps(asdict(claim), default=str)


def _entry(row: sqlite3.Row) -> Entry:
    claim = json.loads(row["claim"])
    folder = claim["folder"]
    for key in ("path", "outbox", "failed", "archive"):
        folder[key] = Path(folder[key])
    files = []
    for file in claim["files"]:
        header = Header(**file.pop("header")) if file["header"] else None
        known = ClaimedFile(**file | {"header": None})
        files.append(
            replace(known, relative=Path(known.relative), path=Path(known.path), header=header)
        )
    return Entry(
        row=row["row"],
        state=row["state"],
        recipe=row["recipe"],
        claim=Claimed(InboxFolder(**folder), claim["stem"], tuple(files)),
        id=row["id"],
        fence=row["fence"],
        attempts=row["attempts"],
        deaths=row["deaths"],
        crashes=row["crashes"],
        alone=bool(row["alone"]),
        publication=row["publication"],
        reason=row["reason"],
        queued_at=row["queued_at"],
    )
