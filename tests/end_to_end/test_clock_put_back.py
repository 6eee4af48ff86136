"""A clock that was ahead and is put back, as by a time server after the start, holds nothing up."""

import time
from pathlib import Path

import pytest

from daemon.config.setup import make_station, open_station
from daemon.executors import EXECUTORS
from daemon.jobs.ledger.writer import Ledger
from daemon.service.daemon import Daemon, RunSummary
from daemon.service.housekeeping import Housekeeping, Retention
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.status_publisher import DaemonState, StatusPublisher
from daemon.system.clock import is_over
from tests.support.fakes import everything_below
from tests.support.station_runs import drop, once, schedule, set_up

YEAR_S = 365 * 86400.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(EXECUTORS, "fake", "tests.support.fakes:FakeExecutor")
    make_station(tmp_path / "station")
    set_up(tmp_path / "station")
    return tmp_path / "station"


def test_a_wait_is_over_at_its_end_or_when_it_is_longer_than_it_was_made() -> None:
    assert [is_over(100, now, 10) for now in (89.9, 90, 99.9, 100, 101)] == [
        *(True, False, False, True, True)
    ]
    assert is_over(0, 50, 0)


def queued(root: Path, *, queued_at: float, not_before: float) -> None:
    """Leave a photograph queued by a daemon whose clock was ahead."""
    station, settings = open_station(root)
    service = Daemon(station, settings, executor="fake")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def cut(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Daemon, "_lease", cut)
        service.once()
    ledger = Ledger(station.ledger)
    with ledger.transaction() as db:
        db.execute("UPDATE job SET queued_at = ?, not_before = ?", (queued_at, not_before))
    ledger.close()


def test_what_was_to_be_tried_again_in_a_year_that_is_not_come_is_tried_now(root: Path) -> None:
    drop(root, "denoise/a.png")
    queued(root, queued_at=time.time() + YEAR_S, not_before=time.time() + YEAR_S)
    assert once(root) == RunSummary(done=1)


def test_what_was_queued_in_the_future_is_released_by_the_next_firing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(root, "nightly", 'cron = "0 22 * * *"', 'timezone = "Europe/Berlin"')
    drop(root, "nightly/a.png")
    noon, evening = 1_795_604_400.0, 1_795_640_400.0
    queued(root, queued_at=noon + YEAR_S, not_before=0)
    for now, done in ((noon, 0), (evening + 1, 1)):
        monkeypatch.setattr("daemon.service.daemon.time.time", lambda now=now: now)
        assert once(root).done == done


def test_housekeeping_and_the_bulletin_go_on(root: Path) -> None:
    assert once(root) == RunSummary()
    station = open_station(root)[0]
    ledger = Ledger(station.ledger)
    duties = Housekeeping(station, ledger, Retention(archive_days=30))
    status_publisher = StatusPublisher(station, ledger, SystemdNotifier(), None)
    now = time.time()
    assert not duties.turn(now + YEAR_S, at_once=False)
    status_publisher.tell((), DaemonState(0, 0, 0, full=False), now + YEAR_S)
    drop(root, "denoise/a.png")
    once(root)
    assert duties.turn(now + 31 * 86400, at_once=False)
    assert everything_below(root / "archive") == {}
    assert status_publisher.is_due(now)
