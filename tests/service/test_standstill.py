"""A loop that stands still is told of."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.config.station import Station
from daemon.service.monitoring.health import Health
from daemon.service.standstill import StandstillWatch
from daemon.service.status_publisher import read_trouble
from daemon.system.disk_probe import DiskProbe
from daemon.system.json_files import write_whole


@pytest.fixture
def hung(tmp_path: Path) -> Path:
    return tmp_path / "share"


@pytest.fixture
def disks(hung: Path) -> Iterator[DiskProbe]:
    back = threading.Event()
    yield DiskProbe(lambda folder: back.wait(60) if folder == hung else None, wait_s=0.05)
    back.set()


def test_a_standstill_is_told_once_with_the_folder_whose_disk_does_not_answer(
    station: Station, hung: Path, disks: DiskProbe
) -> None:
    health = Health()
    watch = StandstillWatch(station, [station.outbox, hung], health, disks)
    watch.look(1e6, 0)
    assert read_trouble(station) is None, "nothing has begun"
    health.worker_reported(100, ready=True)
    health.loop_advanced(100, working=False)
    watch.look(129, 1029)
    assert read_trouble(station) is None
    with capture_logs() as logs:
        for now in (130, 140):
            watch.look(now, 900 + now)
    assert [log["event"] for log in logs] == ["loop_stands_still"]
    told = read_trouble(station)
    assert told is not None
    assert told.what == f"the daemon stands still and waits for {hung}: its disk does not answer"
    assert told.since == 1000
    assert health.why_not_ready(full=False, now=170) == "the loop has stood still for 70 s"
    health.loop_advanced(150, working=False)
    watch.look(151, 1051)
    assert read_trouble(station) is None
    assert health.why_not_ready(full=False, now=151) == ""


def test_the_trouble_that_the_loop_itself_tells_stays(station: Station, disks: DiskProbe) -> None:
    health = Health()
    health.loop_advanced(100, working=False)
    watch = StandstillWatch(station, [], health, disks)
    watch.look(200, 1200)
    write_whole(station.trouble, {"what": "the ledger is locked", "since": 7})
    health.loop_advanced(300, working=False)
    watch.look(301, 1301)
    told = read_trouble(station)
    assert told is not None
    assert told.what == "the ledger is locked"
