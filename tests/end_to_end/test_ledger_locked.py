"""Another program, such as a backup, holds the ledger: the daemon waits, says so and goes on."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station import Station
from daemon.service.daemon import Daemon, RunSummary
from daemon.service.status import read_status
from daemon.system.errors import LedgerError
from tests.support.fakes import everything_below
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself waits for a lock only for a moment, as if the lock were held for long."""
    monkeypatch.setattr("daemon.jobs.ledger.database._WRITE_TIMEOUT_S", 0.01)


@contextlib.contextmanager
def locked(station: Station) -> Iterator[None]:
    """Another program is writing to the ledger."""
    connection = sqlite3.connect(station.ledger, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.usefixtures("read_at_once")
def test_a_ledger_locked_for_many_turns_holds_work_up_and_loses_nothing(
    root: Path, station: Station
) -> None:
    original = drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        with locked(station):
            for _ in range(3):
                daemon.turn(at_once=True)
            (notice,) = read_status(station).notices
            assert notice.what == (
                f"{station.ledger}: database is locked; end the other program that writes to it"
            )
            assert published_results(root) == {}
        assert daemon.once() == RunSummary(done=1)
        assert read_status(station).notices == ()
    assert published_results(root) == {"denoise/a.png": original[::-1]}
    assert_no_leftovers(root)


@pytest.mark.usefixtures("read_at_once")
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_result_that_comes_while_the_ledger_is_locked_is_published_later(
    root: Path, station: Station, turns: int
) -> None:
    original = drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        for _ in range(turns):
            daemon.turn(at_once=True)
        with locked(station):
            for _ in range(3):
                daemon.turn(at_once=True)
        assert daemon.once() == RunSummary(done=1)
    assert published_results(root) == {"denoise/a.png": original[::-1]}


@pytest.mark.usefixtures("read_at_once")
def test_a_daemon_that_ends_while_the_ledger_is_locked_leaves_the_rest_to_the_next(
    root: Path, station: Station
) -> None:
    drop_photo(root, "denoise/held.png")
    with open_daemon(root) as daemon:
        for _ in range(3):
            daemon.turn(at_once=True)
        with locked(station):
            daemon.stop()
            assert daemon.run().done == 0
    assert everything_below(root / "failed") == {}
    with open_daemon(root) as daemon:
        assert len(daemon._parts.ledger.in_state("queued")) == 1


@pytest.mark.usefixtures("read_at_once")
def test_a_start_waits_for_a_locked_ledger(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/held.png")
    with open_daemon(root) as daemon:
        for _ in range(3):
            daemon.turn(at_once=True)
        lock = contextlib.ExitStack()
        # As after kill -9: the lease stands.
        daemon._requeue = lambda fences: None  # type: ignore[method-assign]
        daemon._requeue_strays = lambda: None  # type: ignore[method-assign]
    lock.enter_context(locked(station))
    threading.Timer(1.5, lock.close).start()
    with open_daemon(root) as later:
        assert len(later._parts.ledger.in_state("queued")) == 1


def test_a_start_gives_up_with_a_passing_code_when_the_ledger_stays_locked(
    root: Path,
    station: Station,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerError(str(station.ledger), "database is locked", locked=True)

    monkeypatch.setattr("daemon.service.startup.LOCKED_S", 0.0)
    monkeypatch.setattr("daemon.jobs.recovery.CrashRecovery._take_leases_back", refuse)
    assert exit_code(["--station", str(root), "once"]) == 75
    said = capsys.readouterr().err
    assert "database is locked" in said
    assert '"ledger_locked"' in said


def test_once_ends_when_the_ledger_stays_locked(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/a.png")
    monkeypatch.setattr("daemon.service.daemon._MAX_FAILED_TURNS", 2)
    monkeypatch.setattr("daemon.service.daemon._TURN_S", 0.01)
    with open_daemon(root) as daemon, locked(station):
        assert "database is locked" in daemon.once().held_up
    assert run_once(root).done == 1


def test_a_ledger_that_fails_between_two_turns_does_not_end_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/a.png")
    real, failures = Daemon._more_to_do, 2

    def more_to_do(daemon: Daemon) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            raise LedgerError("ledger.sqlite3", "disk I/O error")
        return real(daemon)

    monkeypatch.setattr(Daemon, "_more_to_do", more_to_do)
    assert run_once(root).done == 1
