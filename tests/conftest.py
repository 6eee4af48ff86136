"""Fixtures that tests of several packages use."""

import os

# Before torch is imported: the test processes and their children share the cores already.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from daemon.config.station import Station
from daemon.config.station_setup import find_station, make_station
from daemon.executors import EXECUTORS
from daemon.system import logging as log
from tests.support.copiers import CopierThread
from tests.support.file_reads import FileReaderNow, ReaderThread
from tests.support.station_runs import write_settings


@pytest.fixture
def fake_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor called "fake", which answers at once and needs neither a process nor torch.

    Files are read and copied in threads, since a process takes half a second to start.
    """
    monkeypatch.setitem(EXECUTORS, "fake", "tests.support.fakes:FakeExecutor")
    monkeypatch.setattr("daemon.intake.file_reader.ReaderProcess", ReaderThread)
    monkeypatch.setattr("daemon.jobs.file_copies.start_copier", CopierThread)


@pytest.fixture
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's questions about files are answered in the turn in which they are asked."""
    monkeypatch.setattr("daemon.service.components.FileReader", FileReaderNow)


@pytest.fixture
def root(tmp_path: Path, fake_executor: None) -> Path:
    """The folder of a fresh station whose settings wait for nothing."""
    folder = tmp_path / "station"
    make_station(folder)
    write_settings(folder)
    return folder


@pytest.fixture
def station(root: Path) -> Station:
    """The station in `root`."""
    return find_station(root)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """The log of this process is as it was once a command has configured it in a test.

    Commands send it to a stream of pytest that is closed when the test ends.
    """
    before, stream = structlog.get_config(), log._stream
    yield
    structlog.configure(**before)
    log._stream = stream
