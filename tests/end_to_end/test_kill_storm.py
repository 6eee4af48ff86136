"""Workers that die: the photograph that does it is found, all others are restored."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.executors import EXECUTORS
from tests.support.light_worker import LightExecutor
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    published_results,
    run_once,
)


@pytest.fixture(autouse=True)
def light_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "light", "tests.support.light_worker:LightExecutor")
    monkeypatch.setattr(LightExecutor, "made", [])


@contextmanager
def storm(kills: int, number: int = signal.SIGKILL) -> Iterator[list[int]]:
    """Kill workers that have photographs in flight; yields the process ids of those killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < kills and not over.wait(0.005):
            for executor in LightExecutor.made[-1:]:
                pid = executor.pid
                if pid is not None and pid not in killed and executor.in_flight:
                    killed.append(pid)
                    os.kill(pid, number)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def drop_photos(root: Path, count: int) -> None:
    for number in range(count):
        drop_photo(root, f"denoise/{number}.png", size=8 + number)


def test_the_one_that_kills_among_twenty_fails_and_the_others_are_restored(root: Path) -> None:
    drop_photos(root, 19)
    drop_photo(root, "denoise/killer.png")
    summary = run_once(root, executor="light")
    assert (summary.done, summary.failed, summary.held_up) == (19, 1, "")
    why = json.loads((root / "failed/denoise/killer.png.error.json").read_text())["why"]
    assert why.startswith("the worker process died 3 times with this photograph: ")
    assert "SIGSEGV" in why
    assert_no_leftovers(root)


def test_two_that_kill_are_both_found_once_another_shows_that_the_worker_is_sound(
    root: Path,
) -> None:
    drop_photo(root, "denoise/killer1.png")
    drop_photo(root, "denoise/killer2.png", size=9)
    summary = run_once(root, executor="light")
    assert (summary.done, summary.failed) == (0, 0)
    assert "the worker dies whatever it works on" in summary.held_up
    drop_photo(root, "denoise/good.png", size=10)
    summary = run_once(root, executor="light")
    assert (summary.done, summary.failed, summary.held_up) == (1, 2, "")


def test_in_a_storm_of_kills_every_photograph_is_restored(root: Path) -> None:
    drop_photos(root, 20)
    with storm(7) as killed:
        summary = run_once(root, executor="light")
        assert len(killed) == 7
    assert (summary.done, summary.failed) == (20, 0)
    assert len(published_results(root)) == 20


def test_in_a_storm_the_one_that_kills_is_found_too(root: Path) -> None:
    drop_photos(root, 11)
    drop_photo(root, "denoise/killer.png")
    with storm(5):
        summary = run_once(root, executor="light")
    assert (summary.done, summary.failed) == (11, 1)
    assert [path.name for path in (root / "failed/denoise").glob("*.png")] == ["killer.png"]


def test_a_storm_without_end_is_told_fails_nothing_and_the_next_run_restores_all(
    root: Path,
) -> None:
    drop_photos(root, 2)
    with storm(1000):
        summary = run_once(root, executor="light")
    assert (summary.done, summary.failed) == (0, 0)
    assert summary.held_up.startswith("the worker dies whatever it works on")
    assert "was killed from outside by SIGKILL" in summary.held_up
    assert run_once(root, executor="light").done == 2
