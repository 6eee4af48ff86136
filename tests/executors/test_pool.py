"""The pool: several workers behind one executor, with workers that a test moves by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.executors.pool import PoolExecutor
from daemon.executors.shares import shares_of
from daemon.messages.reports import (
    Failed,
    HandedBack,
    Heartbeat,
    Report,
    TaskAssigned,
    WorkerDied,
    WorkerReady,
    WorkerStarts,
)
from daemon.messages.tasks import Compute, Task
from tests.support.engine_fakes import ReportRecorder, toy_task
from tests.support.waiting import wait_for

TWO = Compute(devices=("cpu", "cpu"))


class HandWorker:
    """A worker that starts every task at once and ends none by itself."""

    def __init__(
        self, compute: Compute, report: Callable[[Report], None], started: Callable[[int], None]
    ) -> None:
        self.compute, self.report, self.started = compute, report, started
        self.tasks: dict[int, Task] = {}
        self.unsent: dict[int, Task] = {}
        self.is_up = False
        self.replaced = ""

    def start(self) -> None:
        """Wait for `up`."""

    def up(self) -> None:
        """Be ready, also after a death; take what has waited for that."""
        self.is_up = True
        self.report(WorkerReady(self.compute.device))
        for task in list(self.unsent.values()):
            self.submit(task)
        self.unsent.clear()

    def submit(self, task: Task) -> None:
        if self.is_up:
            self.tasks[task.fence] = task
            self.started(task.fence)
        else:
            self.unsent[task.fence] = task

    def withdraw(self) -> tuple[int, ...]:
        fences = tuple(self.unsent)
        self.unsent.clear()
        return fences

    def end(self, fence: int) -> None:
        """End a task."""
        del self.tasks[fence]
        self.report(Failed(fence, "by hand"))

    def die(self) -> None:
        """Die with all tasks."""
        self.is_up = False
        fences = tuple(self.tasks)
        self.tasks.clear()
        self.report(WorkerDied(fences, "by hand"))

    def replace_worker(self, why: str) -> None:
        self.replaced = why

    def stop(self, drain_s: float) -> None:
        left = (*self.tasks, *self.unsent)
        if left:
            self.report(HandedBack(left))


class PoolByHand:
    """A pool of two such workers, and what it reports."""

    def __init__(self) -> None:
        self.workers: list[HandWorker] = []
        self.recorder = ReportRecorder()
        self.pool = PoolExecutor(TWO, self.recorder, self.make)
        self.pool.start()
        self.wait(lambda: len(self.of_kind(WorkerStarts)) == 2)
        self.one, self.two = self.workers

    def make(
        self, compute: Compute, report: Callable[[Report], None], started: Callable[[int], None]
    ) -> HandWorker:
        self.workers.append(HandWorker(compute, report, started))
        return self.workers[-1]

    def wait(self, fulfilled: Callable[[], bool]) -> None:
        self.recorder.wait_until(fulfilled)

    def of_kind(self, kind: type) -> list[Report]:
        return [one for one in self.recorder.reports if isinstance(one, kind)]

    def assigned(self) -> dict[int, str]:
        """The worker that each task was last given to."""
        return {
            one.fence: one.worker for one in self.recorder.reports if isinstance(one, TaskAssigned)
        }

    def submit(self, *fences: int) -> None:
        for fence in fences:
            self.pool.submit(toy_task(fence, Path("staged")))


@pytest.fixture
def by_hand() -> Iterator[PoolByHand]:
    by_hand = PoolByHand()
    yield by_hand
    by_hand.pool.stop(0)


def test_tasks_wait_for_the_first_worker_and_reports_name_their_worker(
    by_hand: PoolByHand,
) -> None:
    by_hand.submit(1, 2)
    by_hand.two.up()
    wait_for(lambda: len(by_hand.two.tasks) == 2, "both tasks")
    by_hand.two.report(Heartbeat())
    by_hand.two.end(1)
    by_hand.wait(lambda: by_hand.recorder.fences() == [1])
    assert by_hand.assigned() == {1: "2", 2: "2"}
    (beat,) = by_hand.of_kind(Heartbeat)
    assert beat == Heartbeat(worker="2")
    assert by_hand.of_kind(WorkerReady) == [WorkerReady("cpu", worker="2")]


def test_the_tasks_of_a_dead_worker_are_reported_in_its_name_and_the_other_goes_on(
    by_hand: PoolByHand,
) -> None:
    by_hand.one.up()
    by_hand.two.up()
    by_hand.submit(1, 2, 3, 4)
    wait_for(lambda: len(by_hand.one.tasks) == len(by_hand.two.tasks) == 2, "two tasks each")
    dead = tuple(by_hand.one.tasks)
    by_hand.one.die()
    by_hand.wait(lambda: len(by_hand.of_kind(WorkerStarts)) == 3)
    assert by_hand.of_kind(WorkerDied) == [WorkerDied(dead, "by hand", worker="1")]
    by_hand.submit(5)
    wait_for(lambda: 5 in by_hand.two.tasks, "the fifth task")


def test_a_task_that_reached_a_dead_worker_goes_to_the_other(by_hand: PoolByHand) -> None:
    by_hand.one.up()
    by_hand.submit(1)
    wait_for(lambda: 1 in by_hand.one.tasks, "the first task")
    by_hand.one.is_up = False  # it has died, and nobody has heard of that
    by_hand.submit(2)
    wait_for(lambda: 2 in by_hand.one.unsent, "the second task")
    by_hand.two.up()
    by_hand.one.die()
    wait_for(lambda: 2 in by_hand.two.tasks, "its other worker")
    assert by_hand.recorder.fences() == [1]
    assert by_hand.assigned() == {1: "1", 2: "2"}


def test_the_worker_that_is_named_is_replaced(by_hand: PoolByHand) -> None:
    by_hand.pool.replace_worker("it is silent", "2")
    by_hand.pool.replace_worker("nobody is called so", "9")
    wait_for(lambda: bool(by_hand.two.replaced), "the order")
    assert (by_hand.one.replaced, by_hand.two.replaced) == ("", "it is silent")


def test_a_stopped_pool_hands_back_what_no_worker_has_and_what_they_hand_back(
    by_hand: PoolByHand,
) -> None:
    by_hand.one.up()
    by_hand.submit(1)
    wait_for(lambda: bool(by_hand.one.tasks), "the task")
    by_hand.one.die()
    by_hand.submit(2)
    by_hand.pool.stop(0)
    by_hand.submit(3)
    assert by_hand.recorder.fences() == [1, 2, 3]
    assert isinstance(by_hand.recorder.of(2), HandedBack)
    assert isinstance(by_hand.recorder.of(3), HandedBack)


def test_workers_share_cores_and_memory_and_those_on_one_device_its_models() -> None:
    compute = Compute(
        devices=("cuda:0", "cuda:1", "cuda:1"), threads=7, memory_bytes=900, model_bytes=100
    )
    shares = shares_of(compute)
    assert [one.device for one in shares] == ["cuda:0", "cuda:1", "cuda:1"]
    assert {(one.threads, one.memory_bytes, one.workers) for one in shares} == {(2, 300, 3)}
    assert [one.model_bytes for one in shares] == [100, 50, 50]
    assert [one.device_workers for one in shares] == [1, 2, 2]


def test_one_device_is_one_worker_with_the_machine_to_itself() -> None:
    (share,) = shares_of(Compute(device="cpu", threads=3))
    assert (share.device, share.threads, share.workers, share.memory_bytes) == ("cpu", 3, 1, None)


@pytest.mark.parametrize(
    ("said", "devices"),
    [("2", ("cuda:0", "cuda:1")), ("0", ("auto",)), ("no torch", ("auto",))],
)
def test_all_devices_are_the_gpus_or_the_best_there_is(
    said: str, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.executors.shares._COUNT_GPUS", f"print({said!r})")
    assert tuple(one.device for one in shares_of(Compute(devices=("all",)))) == devices
