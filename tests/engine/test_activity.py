"""The pulse: what counts as getting on, with clocks passed in and with real threads."""

import threading
import time
from collections.abc import Callable

import pytest

from daemon.engine.activity import Activity
from daemon.executors.heartbeat import Beat
from daemon.messages.reports import BATCH_SIZE_BOUNDS, BatchCounts, Heartbeat, LoadedModel


class Clocks:
    """Every clock that a pulse reads, set by hand."""

    def __init__(self) -> None:
        self.now = self.thread_s = self.process_s = 0.0

    def activity(self) -> Activity:
        return Activity(lambda: self.now, lambda: lambda: self.thread_s, lambda: self.process_s)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def gets_on(activity: Activity) -> bool:
    return activity.collect()[1]


def test_with_nothing_to_do_there_is_no_pulse(clocks: Clocks) -> None:
    assert not gets_on(clocks.activity())


def test_a_step_that_ends_is_a_sign_of_life(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        pass
    assert gets_on(activity)
    assert not gets_on(activity)


def test_a_step_that_fails_has_ended_too(clocks: Clocks) -> None:
    activity = clocks.activity()
    with pytest.raises(KeyError), activity.step():
        raise KeyError
    assert gets_on(activity)
    clocks.thread_s = 10
    assert not gets_on(activity)


def test_a_long_decoding_is_alive_while_its_thread_works(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        clocks.thread_s, clocks.now = 0.4, 1
        assert not gets_on(activity), "so little may be a thread that only waits"
        clocks.thread_s, clocks.now = 0.9, 2
        assert gets_on(activity)
        clocks.now = 3
        assert not gets_on(activity), "it has used nothing since"
        clocks.thread_s = 1.5
        assert gets_on(activity)


def test_what_works_for_longer_than_an_hour_in_one_go_is_hung(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        clocks.thread_s, clocks.now = 3000, 3599
        assert gets_on(activity)
        clocks.thread_s, clocks.now = 3600, 3600
        assert not gets_on(activity)


def test_a_pass_on_the_processor_is_alive_while_the_process_works(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=True):
        assert not gets_on(activity)
        clocks.process_s = 0.5
        assert gets_on(activity)
        assert not gets_on(activity)


def test_who_waits_for_a_gpu_has_no_pulse_however_busily_it_waits(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=False):
        clocks.process_s = clocks.thread_s = 1000
        assert not gets_on(activity)
        activity.tick()
        assert gets_on(activity)
        assert not gets_on(activity)
    assert gets_on(activity)


def test_a_long_pipeline_on_the_processor_is_alive_as_long_as_it_takes_steps(
    clocks: Clocks,
) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=True):
        for hour in range(1, 5):
            clocks.now = 3600 * hour - 1
            activity.tick()
        assert gets_on(activity)
        clocks.process_s, clocks.now = 100, clocks.now + 10
        assert gets_on(activity)


def test_a_model_that_loads_is_believed_for_ten_minutes(clocks: Clocks) -> None:
    activity = clocks.activity()

    def load(reference: str, *, as_pipeline: bool) -> str:
        clocks.now += 599
        assert gets_on(activity)
        clocks.now += 1
        assert not gets_on(activity)
        return f"{reference} {as_pipeline}"

    assert activity.loading(load)("prior", as_pipeline=True) == "prior True"
    assert gets_on(activity)
    assert not gets_on(activity)


def test_what_was_done_is_told_once(clocks: Clocks) -> None:
    activity = clocks.activity()
    for calls in (1, 3, 4, 128, 129):
        with activity.forward_pass(on_cpu=False):
            clocks.now += 2
        activity.count_batch(calls)
    activity.count_out_of_memory()
    assert activity.collect() == (BatchCounts((1, 0, 2, 0, 0, 0, 0, 1, 1), 265, 10.0, 1), True)
    assert activity.collect() == (BatchCounts(), False)
    assert len(BatchCounts().batches) == len(BATCH_SIZE_BOUNDS) + 1


def test_the_time_of_a_pass_is_counted_while_it_runs(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=False):
        clocks.now = 7
        assert activity.collect()[0].busy_s == 7
        clocks.now = 10
    clocks.now = 50
    assert activity.collect()[0].busy_s == 3


def beats(
    activity: Activity, until: Callable[[list[Heartbeat]], bool], within_s: float
) -> list[Heartbeat]:
    recorder: list[Heartbeat] = []
    beat = Beat(activity, lambda: (LoadedModel("prior", 7),), recorder.append, every_s=0.02)
    beat.start()
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not until(recorder):
        time.sleep(0.01)
    beat.stop()
    return recorder


def test_a_thread_that_computes_beats_and_one_that_waits_does_not() -> None:
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
    assert beats(activity, bool, within_s=1.0) == []
    computing = threading.Thread(target=compute)
    computing.start()
    recorder = beats(activity, bool, within_s=20)
    assert recorder
    assert recorder[0].loaded_models == (LoadedModel("prior", 7),)
    gate.set()
    waiting.join()
    computing.join()


def test_the_last_beat_tells_what_was_not_told() -> None:
    activity = Activity()
    recorder: list[Heartbeat] = []
    beat = Beat(activity, lambda: (), recorder.append, every_s=60)
    beat.start()
    activity.count_batch(2)
    beat.stop()
    assert [one.counts.calls for one in recorder] == [2]
