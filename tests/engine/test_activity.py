"""What counts as progress, and what is counted; with clocks set by hand."""

import pytest

from daemon.engine.activity import Activity
from daemon.messages.reports import BATCH_SIZE_BOUNDS, BatchCounts


class Clocks:
    """The clocks that an activity reads."""

    def __init__(self) -> None:
        self.now = self.thread_s = self.process_s = 0.0

    def activity(self) -> Activity:
        return Activity(lambda: self.now, lambda: lambda: self.thread_s, lambda: self.process_s)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def makes_progress(activity: Activity) -> bool:
    return activity.collect()[1]


def test_with_nothing_to_do_there_is_no_progress(clocks: Clocks) -> None:
    assert not makes_progress(clocks.activity())


def test_a_step_that_ends_is_progress(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        pass
    assert makes_progress(activity)
    assert not makes_progress(activity)


def test_a_step_that_fails_is_progress_too(clocks: Clocks) -> None:
    activity = clocks.activity()
    with pytest.raises(KeyError), activity.step():
        raise KeyError
    assert makes_progress(activity)
    clocks.thread_s = 10
    assert not makes_progress(activity)


def test_a_long_decoding_makes_progress_while_its_thread_uses_the_processor(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        clocks.thread_s, clocks.now = 0.4, 1
        assert not makes_progress(activity), "a thread that only waits may use this little"
        clocks.thread_s, clocks.now = 0.9, 2
        assert makes_progress(activity)
        clocks.now = 3
        assert not makes_progress(activity), "it has used nothing since"
        clocks.thread_s = 1.5
        assert makes_progress(activity)


def test_a_step_longer_than_an_hour_is_hung_however_busy_it_is(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.step():
        clocks.thread_s, clocks.now = 3000, 3599
        assert makes_progress(activity)
        clocks.thread_s, clocks.now = 3600, 3600
        assert not makes_progress(activity)


def test_a_pass_on_the_cpu_makes_progress_while_the_process_uses_it(
    clocks: Clocks,
) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=True):
        assert not makes_progress(activity)
        clocks.process_s = 0.5
        assert makes_progress(activity)
        assert not makes_progress(activity)


def test_waiting_for_a_gpu_is_no_progress_however_busy_the_wait(clocks: Clocks) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=False):
        clocks.process_s = clocks.thread_s = 1000
        assert not makes_progress(activity)
        activity.tick()
        assert makes_progress(activity)
        assert not makes_progress(activity)
    assert makes_progress(activity)


def test_a_long_pipeline_on_the_cpu_makes_progress_as_long_as_it_takes_steps(
    clocks: Clocks,
) -> None:
    activity = clocks.activity()
    with activity.forward_pass(on_cpu=True):
        for hour in range(1, 5):
            clocks.now = 3600 * hour - 1
            activity.tick()
        assert makes_progress(activity)
        clocks.process_s, clocks.now = 100, clocks.now + 10
        assert makes_progress(activity)


def test_a_model_may_load_for_ten_minutes(clocks: Clocks) -> None:
    activity = clocks.activity()

    def load(reference: str, *, as_pipeline: bool) -> str:
        clocks.now += 599
        assert makes_progress(activity)
        clocks.now += 1
        assert not makes_progress(activity)
        return f"{reference} {as_pipeline}"

    assert activity.loading(load)("prior", as_pipeline=True) == "prior True"
    assert makes_progress(activity)
    assert not makes_progress(activity)


def test_what_was_done_is_counted_once(clocks: Clocks) -> None:
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
