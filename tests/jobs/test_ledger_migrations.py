"""Ledgers of older and newer programs."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station import Notice
from daemon.config.station_setup import make_station
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger import bulk, migrations
from daemon.jobs.ledger.bulk import BulkJob
from daemon.jobs.ledger.entries import claim_text, path_text
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.system.errors import ConfigError
from tests.support.claims import claimed

_WITHOUT_BULK_JOBS = """
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
CREATE INDEX IF NOT EXISTS job_waiting ON job (recipe, alone, queued_at) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS job_fence ON job (fence) WHERE fence > 0;
CREATE INDEX IF NOT EXISTS job_id ON job (id) WHERE id <> '';
CREATE INDEX IF NOT EXISTS job_ended ON job (ended_at) WHERE ended_at > 0;
CREATE TABLE IF NOT EXISTS seen (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS look (
    photo TEXT NOT NULL, subject TEXT NOT NULL, phrase TEXT NOT NULL, model TEXT NOT NULL,
    answer REAL NOT NULL, PRIMARY KEY (photo, subject, phrase, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS original (
    path TEXT PRIMARY KEY, row INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS original_at ON original (at);
CREATE INDEX IF NOT EXISTS original_row ON original (row);
CREATE TABLE IF NOT EXISTS standing (
    id TEXT NOT NULL, result TEXT NOT NULL, outbox TEXT NOT NULL,
    PRIMARY KEY (id, result)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notice (path TEXT NOT NULL, what TEXT NOT NULL, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
"""The tables before bulk jobs and before versions were numbered."""

_WITH_BULK_JOBS = (
    _WITHOUT_BULK_JOBS.replace(
        "ended_at REAL NOT NULL DEFAULT 0)",
        "ended_at REAL NOT NULL DEFAULT 0, bulk TEXT NOT NULL DEFAULT '')",
    ).replace("job_waiting ON job (recipe, alone,", "job_turn ON job (recipe, alone, bulk <> '',")
    + """
CREATE INDEX IF NOT EXISTS job_bulk ON job (bulk, state, fence > 0) WHERE bulk <> '';
CREATE TABLE IF NOT EXISTS bulk (
    name TEXT PRIMARY KEY, request TEXT NOT NULL UNIQUE, recipe TEXT NOT NULL, roots TEXT NOT NULL,
    submitted_at REAL NOT NULL, starts_at REAL NOT NULL, state TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
    taken_off INTEGER NOT NULL DEFAULT 0, looked_at TEXT NOT NULL DEFAULT '',
    passed_over INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '[]',
    began_at REAL NOT NULL DEFAULT 0, ended_at REAL NOT NULL DEFAULT 0,
    summary TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
"""
)
"""The tables just before versions were numbered."""

OLD = pytest.mark.parametrize("tables", [_WITHOUT_BULK_JOBS, _WITH_BULK_JOBS])
NOW = 1_800_000_000.0


def old_ledger(path: Path, tables: str) -> None:
    """A ledger as an older program left it: one job queued, one done, one notice."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(tables)
        insert = "INSERT INTO job (state, recipe, claim, id, fence, result) VALUES (?,?,?,?,?,?)"
        claim = claim_text(claimed(path.parent))
        db.execute(insert, ("queued", "denoise", claim, "", 0, ""))
        result = path_text(path.parent / "out/scan.png")
        db.execute(insert, ("done", "denoise", claim, "job-2", 7, result))
        db.execute("INSERT INTO counter VALUES ('fence', 7), ('done/denoise', 3)")
        db.execute("INSERT INTO notice VALUES (?, 'waits', ?)", (json.dumps("a.jpg"), NOW))


def schema(path: Path) -> tuple[int, set[tuple[str, str]], set[str]]:
    """The version, the columns of every table, and the names of the indexes."""
    with closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        of_type = "SELECT name FROM sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite_%'"
        tables = [row[0] for row in db.execute(of_type, ("table",))]
        columns = {(t, c[1]) for t in tables for c in db.execute(f"PRAGMA table_info({t})")}
        return version, columns, {row[0] for row in db.execute(of_type, ("index",))}


def check_contents(ledger: LedgerReader, folder: Path) -> None:
    (entry,) = ledger.in_state("queued")
    assert entry.claim == claimed(folder)
    assert ledger.published_result("job-2", folder) == folder / "out/scan.png"
    assert ledger.notices() == (Notice(Path("a.jpg"), "waits", NOW),)
    assert [(count.queued, count.done) for count in ledger.counts()] == [(1, 4)]
    assert bulk.all_jobs(ledger) == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A program that knows one step more; holds what that step shall do."""
    statements = ["ALTER TABLE job ADD COLUMN later TEXT NOT NULL DEFAULT 'x'"]

    def step(db: sqlite3.Connection) -> None:
        for statement in statements:
            db.execute(statement)

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
    return statements


def test_a_new_ledger_has_the_newest_version(path: Path) -> None:
    Ledger(path).close()
    assert schema(path)[0] == len(migrations.MIGRATIONS) == 4


def test_a_failure_of_an_older_ledger_keeps_its_reason_as_one_text(
    path: Path, tmp_path: Path
) -> None:
    old_ledger(path, _WITH_BULK_JOBS)
    said = "a.jpg: it ends early; copy it again"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE job SET state = 'failed', reason = ? WHERE state = 'done'", (said,))
        db.execute("UPDATE job SET state = 'failing', reason = ? WHERE state = 'queued'", (said,))
    ledger = Ledger(path)
    (entry,) = ledger.in_state("failing")
    assert entry.reason == Reason(said)
    assert [failure.reason for failure in ledger.failures(-1)] == [said]
    ledger.close()


@OLD
def test_an_older_ledger_gets_the_tables_of_a_new_one_and_keeps_what_it_says(
    path: Path, tmp_path: Path, tables: str
) -> None:
    old_ledger(path, tables)
    ledger = Ledger(path)
    check_contents(ledger, tmp_path)
    ready = ledger.ready("denoise", NOW, 5, NOW, alone=False)
    (entry,) = ledger.lease([(ready[0], "job-1")])
    assert entry.fence == 8
    bulk.save(ledger, BulkJob("scans", "request", "denoise", (tmp_path,), NOW, NOW))
    assert bulk.counts(ledger, bulk.all_jobs(ledger)[0]).found == 0
    ledger.close()
    Ledger(tmp_path / "new.sqlite3").close()
    assert schema(path) == schema(tmp_path / "new.sqlite3")


@OLD
def test_an_older_ledger_is_read_as_it_is_and_left_as_it_is(
    path: Path, tmp_path: Path, tables: str
) -> None:
    """`status` after an upgrade, before the daemon has run again."""
    old_ledger(path, tables)
    before = schema(path)
    reader = LedgerReader(path)
    check_contents(reader, tmp_path)
    reader.close()
    assert schema(path) == before
    assert before[0] == 0


def test_a_ledger_whose_tables_could_not_be_made_is_read_as_an_empty_one(path: Path) -> None:
    """The disk was full at the first start."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    reader = LedgerReader(path)
    assert bulk.all_jobs(reader) == []
    assert reader.open_jobs() == 0
    reader.close()


def test_each_step_is_taken_once(path: Path, later: list[str]) -> None:
    old_ledger(path, _WITH_BULK_JOBS)
    for _ in range(2):
        Ledger(path).close()
        assert schema(path)[0] == len(migrations.MIGRATIONS) == 5
    assert ("job", "later") in schema(path)[1]


def test_a_step_that_fails_leaves_the_ledger_as_it_was(path: Path, later: list[str]) -> None:
    old_ledger(path, _WITHOUT_BULK_JOBS)
    before = schema(path)
    later.append("INSERT INTO nowhere VALUES (1)")
    with pytest.raises(ConfigError, match="the ledger cannot be opened: no such table: nowhere"):
        Ledger(path)
    assert schema(path) == before


@pytest.mark.parametrize("opened", [Ledger, LedgerReader])
def test_a_newer_ledger_is_refused_and_not_touched(
    path: Path, later: list[str], monkeypatch: pytest.MonkeyPatch, opened: type[LedgerReader]
) -> None:
    Ledger(path).close()
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:-1])
    before = path.read_bytes()
    with pytest.raises(ConfigError) as refused:
        opened(path)
    assert str(refused.value) == (
        f"{path}: the ledger has version 5, and this program knows versions up to 4; use the "
        "newer `restored` that wrote it, or another station"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["once", "run", "status"])
def test_a_command_on_a_station_with_a_newer_ledger_ends_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    make_station(tmp_path / "station")
    ledger = tmp_path / "station/.restored/ledger.sqlite3"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("CREATE TABLE job (row INTEGER PRIMARY KEY)")
        db.execute("PRAGMA user_version = 9")
    assert exit_code(["--station", str(tmp_path / "station"), command]) == os.EX_CONFIG
    assert f"{ledger}: the ledger has version 9" in capsys.readouterr().err
