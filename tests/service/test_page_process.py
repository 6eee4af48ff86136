"""The daemon keeps the page running and never waits for it."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.config.station import Station
from daemon.config.station_setup import find_station, make_station, open_station
from daemon.service.page_process import PageProcess, page_command
from daemon.system.errors import ConfigError
from daemon.web.server import listen
from tests.support.station_runs import open_daemon, write_settings
from tests.support.waiting import wait_for


class Process(subprocess.Popen[bytes]):
    """A process that ends when a test says so."""

    def __init__(self) -> None:
        self.pid = 7
        self.code: int | None = None
        self.ends: list[str] = []

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.ends.append("terminate")

    def kill(self) -> None:
        self.ends.append("kill")

    def wait(self, timeout: float | None = None) -> int:
        if timeout is not None:
            raise subprocess.TimeoutExpired("page", timeout)
        return 0

    def __del__(self) -> None:
        """Nothing runs."""


@pytest.fixture
def started() -> list[Process]:
    return []


@pytest.fixture
def page(started: list[Process]) -> PageProcess:
    def start(command: Sequence[str]) -> Process:
        started.append(Process())
        return started[-1]

    return PageProcess(["page"], start)


def test_a_page_that_dies_is_started_again_later_and_later(
    page: PageProcess, started: list[Process]
) -> None:
    page.turn(0.0)
    page.turn(1.0)
    assert len(started) == 1
    with capture_logs() as logs:
        for now, number in ((10.0, 1), (10.9, 1), (11.0, 2), (12.0, 2), (13.9, 2), (14.0, 3)):
            started[-1].code = 78
            page.turn(now)
            assert len(started) == number, now
    ended = [log for log in logs if log["event"] == "page_ended"]
    assert [log["again_in_s"] for log in ended] == [1, 2]


def test_a_page_that_stayed_is_started_again_at_once(
    page: PageProcess, started: list[Process]
) -> None:
    for now in (0.0, 1.0, 3.0, 100.0):
        page.turn(now)
        started[-1].code = -9
    page.turn(1000.0)
    page.turn(1001.0)
    assert page._wait_s == 2.0


def test_a_page_that_stays_stopped_is_killed_and_one_that_goes_on_is_not(
    started: list[Process],
) -> None:
    def start(command: Sequence[str]) -> Process:
        started.append(Process())
        return started[-1]

    stopped = True
    page = PageProcess(["page"], start, lambda pid: stopped and pid == started[-1].pid)
    for now in (0.0, 10.0, 39.0):
        page.turn(now)
    stopped = False
    page.turn(39.5)
    stopped = True
    for now in (40.0, 69.9):
        page.turn(now)
    assert started[0].ends == []
    page.turn(70.0)
    assert started[0].ends == ["kill"]
    started[0].code = -9
    page.turn(71.0)
    page.turn(72.0)
    assert len(started) == 2


def test_a_page_that_cannot_be_started_ends_nothing() -> None:
    def start(command: Sequence[str]) -> Process:
        raise OSError(11, "no room for a process")

    page = PageProcess(["page"], start)
    with capture_logs() as logs:
        page.turn(0.0)
    assert [log["event"] for log in logs] == ["page_not_started"]
    page.close()


def test_a_page_that_does_not_end_is_killed(page: PageProcess, started: list[Process]) -> None:
    page.turn(0.0)
    page.close()
    page.close()
    assert started[0].ends == ["terminate", "kill"]


def test_without_a_port_there_is_no_page(station: Station) -> None:
    assert page_command(*open_station(station.root)) == ()
    page = PageProcess(())
    page.turn(0.0)
    page.close()


def test_a_port_that_is_taken_is_said(station: Station) -> None:
    station, settings = open_station(station.root)
    first = listen(station, settings, "127.0.0.1", 0)
    with first.socket, pytest.raises(ConfigError, match="cannot listen on port"):
        listen(station, settings, "127.0.0.1", first.socket.getsockname()[1])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("served") / "station"
    make_station(folder)
    listening = listen(*open_station(folder), "127.0.0.1", 0)
    number = listening.socket.getsockname()[1]
    listening.socket.close()
    write_settings(folder, web_port=number)
    yield number, folder


def test_the_page_of_a_daemon_answers_and_ends_with_it(
    port: tuple[int, Path], fake_executor: None
) -> None:
    number, folder = port
    url = f"http://127.0.0.1:{number}/api/health"

    def answer() -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=5) as found:
                return bytes(found.read())
        except OSError:
            return b""

    with open_daemon(folder) as daemon:
        assert sys.executable in page_command(find_station(folder), open_station(folder)[1])
        daemon._parts.page.turn(0.0)
        wait_for(answer, "the page")
        assert b'"running":true' in answer()
    assert answer() == b""
