"""A clock that was ahead and is put back, as by a time server after the start, holds nothing up."""

import time
from pathlib import Path

import pytest

from daemon.config.station_setup import find_station, open_station
from daemon.jobs.ledger.writer import Ledger
from daemon.service.daemon import Daemon, RunSummary
from daemon.service.housekeeping import Housekeeping, Retention
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.status_publisher import DaemonState, StatusPublisher
from daemon.system.clock import is_over
from tests.support.fakes import everything_below
from tests.support.station_runs import drop_photo, run_once, write_scheduled_recipe

YEAR_S = 365 * 86400.0


def test_a_wait_is_over_at_its_end_or_if_it_is_longer_than_it_can_be() -> None:
    assert [is_over(100, now, 10) for now in (89.9, 90, 99.9, 100, 101)] == [
        *(True, False, False, True, True)
    ]
    assert is_over(0, 50, 0)


def queued(root: Path, *, queued_at: float, not_before: float) -> None:
    """Leave a photograph queued by a daemon whose clock was ahead."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def cut(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Daemon, "_lease", cut)
        run_once(root)
    ledger = Ledger(find_station(root).ledger)
    with ledger.transaction() as db:
        db.execute("UPDATE job SET queued_at = ?, not_before = ?", (queued_at, not_before))
    ledger.close()


def test_a_retry_planned_by_a_clock_that_was_ahead_happens_now(root: Path) -> None:
    drop_photo(root, "denoise/a.png")
    queued(root, queued_at=time.time() + YEAR_S, not_before=time.time() + YEAR_S)
    assert run_once(root) == RunSummary(done=1)


def test_what_was_queued_in_the_future_is_released_by_the_next_firing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scheduled_recipe(root, "nightly", 'cron = "0 22 * * *"', 'timezone = "Europe/Berlin"')
    drop_photo(root, "nightly/a.png")
    noon, evening = 1_795_604_400.0, 1_795_640_400.0
    queued(root, queued_at=noon + YEAR_S, not_before=0)
    for now, done in ((noon, 0), (evening + 1, 1)):
        monkeypatch.setattr("daemon.service.daemon.time.time", lambda now=now: now)
        assert run_once(root).done == done


def test_housekeeping_and_the_status_publisher_go_on(root: Path) -> None:
    assert run_once(root) == RunSummary()
    station = open_station(root)[0]
    ledger = Ledger(station.ledger)
    duties = Housekeeping(station, ledger, Retention(archive_days=30))
    status_publisher = StatusPublisher(station, ledger, SystemdNotifier(), None)
    now = time.time()
    assert not duties.turn(now + YEAR_S, at_once=False)
    status_publisher.publish((), DaemonState(0, 0, 0, full=False), now + YEAR_S)
    drop_photo(root, "denoise/a.png")
    run_once(root)
    assert duties.turn(now + 31 * 86400, at_once=False)
    assert everything_below(root / "archive") == {}
    assert status_publisher.is_due(now)
