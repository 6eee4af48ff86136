"""A daemon that has nothing to do leaves its disk and its ledger alone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config.schedule import Schedule
from daemon.config.station_setup import open_station
from daemon.service.daemon import Daemon
from tests.support.ledgers import TracedTurns, trace_turns
from tests.support.station_runs import drop_photo, write_scheduled_recipe
from tests.support.waiting import wait_for

IDLE_TURNS = 40
"""About two seconds, so that what is told once a second is told, too."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> TracedTurns:
    return trace_turns(monkeypatch)


@contextmanager
def beside_the_loop(act: Callable[[], None]) -> Iterator[None]:
    """Act in another thread while the daemon runs, then end it."""
    failures: list[BaseException] = []

    def act_and_stop() -> None:
        try:
            act()
        except BaseException as failure:  # told below, in the test's own thread
            failures.append(failure)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act_and_stop)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def idle_statements(traced: TracedTurns) -> list[str]:
    """What is asked in turns in which nothing happens, once some have gone by."""
    end = len(traced.turns) + 5 + IDLE_TURNS
    wait_for(lambda: len(traced.turns) > end, "idle turns")
    return traced.of_last(IDLE_TURNS)


def test_turns_in_which_nothing_happens_ask_and_change_nothing(
    root: Path, traced: TracedTurns
) -> None:
    drop_photo(root, "denoise/a.png")
    asked: list[list[str]] = []

    def act() -> None:
        wait_for((root / "archive/denoise/a.png").exists, "the first photograph")
        asked.append(idle_statements(traced))
        drop_photo(root, "denoise/b.png", size=9)
        wait_for((root / "archive/denoise/b.png").exists, "the second photograph")
        asked.append(idle_statements(traced))

    with Daemon.open(*open_station(root), executor="fake") as daemon, beside_the_loop(act):
        assert daemon.run().done == 2
    assert asked == [[], []]


def test_what_waits_for_its_window_is_not_asked_for_in_every_turn(
    root: Path, traced: TracedTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scheduled_recipe(root, "nightly", 'window = "22:00-06:00"')
    monkeypatch.setattr(Schedule, "is_open", lambda self, at: self.always_open)
    monkeypatch.setattr(Schedule, "next_opening", lambda self, at: at + 60)
    drop_photo(root, "nightly/a.png")
    asked: list[str] = []

    def act() -> None:
        wait_for(lambda: any((root / ".restored/work").rglob("*a.png")), "the claim")
        asked.extend(idle_statements(traced))

    with Daemon.open(*open_station(root), executor="fake") as daemon, beside_the_loop(act):
        (held,) = daemon.run().held_back
    assert (held.recipe, held.jobs) == ("nightly", 1)
    assert asked == []
