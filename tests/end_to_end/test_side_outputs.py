"""What is written beside the work, such as the log: the work goes on when it cannot be."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station import Station
from daemon.config.station_setup import open_station
from daemon.jobs.ledger.entries import QueueCount
from daemon.service.daemon import Daemon
from daemon.service.monitoring.metrics import Metrics
from daemon.service.status import read_status
from daemon.system import logging as log
from tests.support.station_runs import drop_photo, open_daemon, run_once


def test_status_says_that_the_log_cannot_be_written(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/a.png")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        log.configure(full)
        with open_daemon(root) as daemon:
            assert daemon.once().done == 1
            (notice,) = read_status(station).notices
    assert notice.what.startswith("the log cannot be written, ")
    assert notice.what.endswith(" lines are lost: No space left on device")


def test_a_command_without_standard_files_gives_their_numbers_to_nobody(root: Path) -> None:
    code = (
        "import os\nfor number in (0, 1, 2): os.close(number)\n"
        "from daemon.cli import main\nmain._open_standard_files()\n"
        f"number = os.open({str(root / 'restored.toml')!r}, os.O_RDONLY)\n"
        "os._exit(0 if number > 2 else 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_terminal_that_has_gone_ends_only_the_display_of_counts(root: Path) -> None:
    drop_photo(root, "denoise/a.png")
    shown = 0

    def show(counts: tuple[QueueCount, ...]) -> None:
        nonlocal shown
        shown += 1
        raise OSError(5, "Input/output error")

    station, settings = open_station(root)
    with Daemon.open(station, settings, executor="fake", progress=show) as daemon:
        assert daemon.once().done == 1
    assert shown == 1


def test_a_bug_in_metrics_ends_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("recipe")

    drop_photo(root, "denoise/a.png")
    for name in ("set_recipes", "count_ended", "observe_durations", "set_in_flight"):
        monkeypatch.setattr(Metrics, name, fail)
    assert run_once(root).done == 1


def test_a_list_of_models_that_cannot_be_written_ends_nothing(root: Path, station: Station) -> None:
    station.loaded_models.mkdir(parents=True)
    drop_photo(root, "denoise/a.png")
    assert run_once(root).done == 1


def test_lost_lines_of_the_job_log_are_told(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        station.logs.rmdir()
        station.logs.touch()
        assert daemon.once().done == 1
        daemon._publish_status(time.time() + 2)
        assert [notice.what for notice in read_status(station).notices] == [
            "the job log cannot be written, 1 lines are lost"
        ]
    assert exit_code(["--station", str(root), "status"]) == 0
