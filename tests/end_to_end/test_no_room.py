"""A file system without room, or one that is only read: which code a command ends with, and why."""

import errno
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import exit_code
from daemon.config.station import Station
from daemon.executors import EXECUTORS
from daemon.service.daemon import RunSummary
from daemon.system.errors import LedgerError
from tests.support.fakes import everything_below
from tests.support.station_runs import drop_photo, open_daemon, run_once


@pytest.fixture(autouse=True)
def fake_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command takes the executor "process"; here that answers at once."""
    monkeypatch.setitem(EXECUTORS, "process", "tests.support.fakes:FakeExecutor")


def full(
    text: str = "database or disk is full", code: int = sqlite3.SQLITE_FULL
) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("command", ["once", "run"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("database or disk is full", sqlite3.SQLITE_FULL),
        ("disk I/O error", sqlite3.SQLITE_IOERR_SHMSIZE),  # where no byte is free
    ],
)
def test_no_space_for_the_ledger_at_the_start_is_temporary(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    text: str,
    code: int,
) -> None:
    def refuse(*_: object, **__: object) -> sqlite3.Connection:
        raise full(text, code)

    monkeypatch.setattr("daemon.jobs.ledger.database.sqlite3.connect", refuse)
    assert exit_code(["--station", str(root), command]) == 75
    said = capsys.readouterr().err
    assert f"ledger.sqlite3: the ledger cannot be opened: {text}" in said
    assert "free some space" in said


@pytest.mark.parametrize("command", ["once", "run"])
@pytest.mark.parametrize(
    "error",
    [
        LedgerError("ledger.sqlite3", "database or disk is full", no_space=True),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_no_space_for_crash_recovery_is_temporary_and_loses_nothing(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    error: Exception,
) -> None:
    original = drop_photo(root, "denoise/a.png")

    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.recovery.CrashRecovery._take_leases_back", refuse)
        assert exit_code(["--station", str(root), command]) == 75
    assert f"{root}: {error}; free some space, then start again" in capsys.readouterr().err
    assert everything_below(root / "inbox") == {"denoise/a.png": original}
    assert run_once(root) == RunSummary(done=1)


@pytest.mark.usefixtures("read_at_once")
def test_no_space_for_the_ledger_itself_when_a_lease_is_taken_back(
    root: Path,
    station: Station,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:  # as one that is killed in the middle
        daemon.turn(at_once=True)

    class FullDisk(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
            if statement == "COMMIT":
                raise full()
            return super().execute(statement, *values)

    connect = partial(sqlite3.connect, factory=FullDisk)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.ledger.database.sqlite3.connect", connect)
        assert exit_code(["--station", str(root), "once"]) == 75
    expected = f"{station.ledger}: database or disk is full; free some space, then start again"
    assert expected in capsys.readouterr().err
    assert run_once(root) == RunSummary(done=1)
    assert everything_below(root / "archive") == {"denoise/a.png": original}


@pytest.mark.parametrize("refused", ["station", "inbox", ".restored"])
def test_init_where_nothing_can_be_written_says_where(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: str,
) -> None:
    real = Path.mkdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if path.name == refused:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert exit_code(["init", str(tmp_path / "station")]) == 73
    said = capsys.readouterr().err
    assert said.startswith("restored: ")
    assert f"{refused}: Read-only file system" in said


def test_init_where_a_file_is_in_the_way_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "station").mkdir()
    (tmp_path / "station/outbox").touch()
    assert exit_code(["init", str(tmp_path / "station")]) == 73
    assert "station/outbox: a file is where a folder must be" in capsys.readouterr().err
