"""Heartbeats of real threads: they come while there is progress, and only then."""

import threading
import time
from collections.abc import Callable

import pytest

from daemon.engine.activity import Activity
from daemon.executors.heartbeat import HeartbeatThread
from daemon.messages.reports import Heartbeat, LoadedModel


def heartbeats(
    activity: Activity, until: Callable[[list[Heartbeat]], bool], within_s: float
) -> list[Heartbeat]:
    heard: list[Heartbeat] = []
    thread = HeartbeatThread(
        activity, lambda: (LoadedModel("prior", 7),), heard.append, every_s=0.02
    )
    thread.start()
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not until(heard):
        time.sleep(0.01)
    thread.stop()
    return heard


def test_a_thread_that_computes_gives_heartbeats_and_one_that_waits_gives_none() -> None:
    gate, activity = threading.Event(), Activity()

    def wait() -> None:
        with activity.step():
            gate.wait(30)

    def compute() -> None:
        with activity.step():
            while not gate.is_set():
                pass

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert heartbeats(activity, bool, within_s=1.0) == []
    computing = threading.Thread(target=compute)
    computing.start()
    heard = heartbeats(activity, bool, within_s=20)
    assert heard
    assert heard[0].loaded_models == (LoadedModel("prior", 7),)
    gate.set()
    waiting.join()
    computing.join()


def test_the_last_heartbeat_counts_what_no_other_has() -> None:
    activity = Activity()
    heard: list[Heartbeat] = []
    thread = HeartbeatThread(activity, lambda: (), heard.append, every_s=60)
    thread.start()
    activity.count_batch(2)
    thread.stop()
    assert [one.counts.calls for one in heard] == [2]


def test_what_has_nothing_to_do_is_heard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.executors.heartbeat.IDLE_EVERY_S", 0.05)
    for idle, expected in ((True, 2), (False, 0)):
        heard: list[Heartbeat] = []
        thread = HeartbeatThread(Activity(), lambda: (), heard.append, lambda: idle, every_s=0.02)  # noqa: B023
        thread.start()
        deadline = time.monotonic() + (20 if idle else 0.5)
        while len(heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        thread.stop()
        assert len(heard) >= expected
        assert bool(heard) is idle
