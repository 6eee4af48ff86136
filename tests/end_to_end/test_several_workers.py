"""A station with two workers: the same photographs, and a fault in one stops no other."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.executors import EXECUTORS
from daemon.service.status import read_status
from tests.support.light_worker import NO_DEVICE, LightExecutor
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
    write_settings,
)


@pytest.fixture
def two(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A station with two workers that start in a moment."""
    monkeypatch.setitem(EXECUTORS, "pool", "tests.support.light_worker:LightPool")
    monkeypatch.setitem(EXECUTORS, "light", "tests.support.light_worker:LightExecutor")
    monkeypatch.setattr(LightExecutor, "made", [])
    write_settings(root, devices=["cpu", "cpu"])
    yield root


def drop_photos(root: Path, count: int) -> None:
    for number in range(count):
        drop_photo(root, f"denoise/{number}.png", size=8 + number)


def test_two_workers_restore_the_same_photographs_as_one(two: Path) -> None:
    drop_photos(two, 30)
    summary = run_once(two, executor="pool")
    assert (summary.done, summary.failed, summary.held_up) == (30, 0, "")
    # Whether both become ready before all is done depends on the machine; two are started.
    assert len(LightExecutor.made) == 2
    with_two = published_results(two)
    for path in two.glob("archive/denoise/*.png"):
        path.rename(two / "inbox/denoise" / path.name)
    for path in two.glob("outbox/**/*"):
        if path.is_file():
            path.unlink()
    assert run_once(two, executor="light").done == 30
    assert published_results(two) == with_two
    assert_no_leftovers(two)


def test_one_that_kills_its_worker_fails_and_the_other_worker_goes_on(two: Path) -> None:
    drop_photos(two, 25)
    drop_photo(two, "denoise/killer.png")
    summary = run_once(two, executor="pool")
    assert (summary.done, summary.failed, summary.held_up) == (25, 1, "")
    why = json.loads((two / "failed/denoise/killer.png.error.json").read_text())["why"]
    assert why.startswith("the worker process died 3 times with this photograph: ")
    assert_no_leftovers(two)


def test_a_worker_that_cannot_start_is_told_and_the_other_does_all(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.executors.process.HOPELESS_AFTER", 1)
    write_settings(two, devices=["cpu", NO_DEVICE])
    drop_photos(two, 5)
    with open_daemon(two, executor="pool") as daemon:
        daemon._parts.dispatcher.start()
        while not daemon._parts.dispatcher.workers.lost:
            daemon.turn(at_once=True)
        summary = daemon.once()
        # It is written once a second, and all may have been done before.
        while len((status := read_status(daemon._parts.station)).workers) < 2:
            daemon.turn(at_once=True)
    assert (summary.done, summary.failed, summary.held_up) == (5, 0, "")
    assert [one.hopeless for one in status.workers if one.name == "1"] == [""]
    (missing,) = [one for one in status.workers if one.name == "2"]
    assert missing.hopeless.endswith(f"could not start (once): device {NO_DEVICE} is not there")


def test_what_a_lost_worker_had_is_queued_again_and_nothing_is_suspected(root: Path) -> None:
    drop_photo(root, "denoise/lost.png")
    drop_photo(root, "denoise/other.png")
    with capture_logs() as events:
        summary = run_once(root)
    assert (summary.done, summary.failed) == (2, 0)
    (lost,) = [event for event in events if event["event"] == "worker_lost"]
    assert (lost["why"], lost["in_flight"]) == ("gpu7 has not answered for 30 s", 1)
    assert not any(event["event"] == "worker_died" for event in events)
    with sqlite3.connect(root / ".restored/ledger.sqlite3") as ledger:
        rows = ledger.execute("SELECT deaths, alone, attempts FROM job").fetchall()
    ledger.close()
    assert rows == [(0, 0, 0)] * 2
