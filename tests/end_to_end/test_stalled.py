"""A worker that does not get on is replaced, and a lock file that was removed is noticed."""

import time
from pathlib import Path

import pytest

from daemon.config.station import Station
from daemon.config.station_setup import open_station
from daemon.service.daemon import Daemon, RunSummary
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.startup import only_daemon
from daemon.system.errors import BusyError
from tests.support.fakes import FakeExecutor
from tests.support.station_runs import drop_photo, open_daemon


def test_a_worker_that_takes_no_step_is_replaced_without_systemd(root: Path) -> None:
    drop_photo(root, "denoise/held.png")
    station, settings = open_station(root)
    systemd = SystemdNotifier(stall_s=0.2)
    with Daemon.open(station, settings, executor="fake", systemd=systemd) as daemon:
        assert daemon.once() == RunSummary(done=1)


def test_a_worker_that_says_nothing_while_it_is_idle_is_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[str] = []
    monkeypatch.setattr("daemon.service.monitoring.health._IDLE_S", 0.2)
    monkeypatch.setattr(FakeExecutor, "replace_worker", lambda _, why, worker: replaced.append(why))
    station, settings = open_station(root)
    systemd = SystemdNotifier(stall_s=0.2)
    with Daemon.open(station, settings, executor="fake", systemd=systemd) as daemon:
        daemon._parts.dispatcher.start()
        deadline = time.monotonic() + 60
        while not replaced:
            daemon.turn(at_once=False)
            assert time.monotonic() < deadline
    assert replaced[0].startswith("the idle worker has said nothing for")


def test_a_lock_that_was_removed_is_taken_anew(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        station.lock.unlink()
        assert daemon.once().done == 1
        with pytest.raises(BusyError), only_daemon(station):
            pass
    with only_daemon(station):
        pass


def test_a_daemon_whose_lock_another_one_has_ends(root: Path, station: Station) -> None:
    with open_daemon(root) as daemon:
        station.lock.unlink()
        with only_daemon(station), pytest.raises(BusyError, match="another daemon"):
            daemon.once()
