"""A restart while a disk is not mounted writes nothing into the empty folder below."""

from pathlib import Path

import pytest

from daemon.config.station import Station
from daemon.service.daemon import Daemon
from daemon.service.notices import notices
from tests.support.fakes import everything_below
from tests.support.station_runs import drop_photo, open_daemon, published_results, run_once


@pytest.fixture
def mounted(station: Station, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Mount points; the outbox is one at first, of a disk of its own."""
    points = {"/", str(station.outbox)}
    monkeypatch.setattr("daemon.system.mounts.mount_points", lambda: frozenset(points))
    monkeypatch.setattr(
        "daemon.system.mounts._is_own_disk", lambda point: point == str(station.outbox)
    )
    return points


def notices_of(daemon: Daemon, folder: Path) -> list[str]:
    return [
        notice.what for notice in notices(daemon._parts, daemon._recipes) if notice.path == folder
    ]


def test_a_start_without_the_outbox_waits_says_so_and_goes_on_when_it_is_back(
    root: Path, station: Station, mounted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.publisher._GIVES_UP_S", 0.1)
    drop_photo(root, "denoise/first.png")
    assert run_once(root).done == 1
    before = everything_below(station.outbox)
    mounted.remove(str(station.outbox))
    drop_photo(root, "denoise/second.png", size=9)
    with open_daemon(root) as daemon:
        first, *_ = notices_of(daemon, station.outbox)
        assert first.startswith("its disk is not mounted; what belongs there waits")
        assert first.endswith(f"remove {station.mounts}")
        summary = daemon.once()
        (told,) = notices_of(daemon, station.outbox)
        assert told.startswith("its disk is not mounted; 1 photograph waits for it. ")
    assert (summary.done, summary.failed) == (0, 0)
    assert "its disk is not mounted any more" in summary.held_up
    assert everything_below(station.outbox) == before
    mounted.add(str(station.outbox))
    assert run_once(root).done == 1
    assert len(published_results(root)) == 2


def test_whoever_removes_the_file_says_that_the_disk_is_gone_for_good(
    root: Path, station: Station, mounted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.publisher._GIVES_UP_S", 0.1)
    assert run_once(root).done == 0
    mounted.remove(str(station.outbox))
    drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        assert "not mounted" in daemon.once().held_up
    station.mounts.unlink()
    run_once(root)
    assert len(published_results(root)) == 1
