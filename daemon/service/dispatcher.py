"""Hands tasks to the executor and knows which of them are in flight.

The executor is started with the first task and reports through the event queue. What becomes of a
task is decided elsewhere.
"""

import threading
from collections.abc import Collection, Sequence

from daemon.executors import Executor, make_executor
from daemon.messages.tasks import Compute, Task
from daemon.service.events import EventQueue
from daemon.service.workers import WorkerTable


class Dispatcher:
    """One executor from its start to its end, and its tasks in flight.

    Attributes:
        workers: What is known of its workers.
    """

    def __init__(self, executor: str, compute: Compute, events: EventQueue) -> None:
        """Prepare; the executor is not started yet.

        Args:
            executor: Name of an entry of EXECUTORS.
            compute: How it may use this machine.
            events: Where it puts its reports.
        """
        self.workers = WorkerTable()
        self._name = executor
        self._compute = compute
        self._events = events
        self._executor: Executor | None = None
        self._in_flight: dict[int, Task] = {}
        self._ending: threading.Thread | None = None

    def start(self) -> Executor:
        """Start the executor unless it runs already."""
        if self._executor is None:
            self._executor = make_executor(self._name, self._compute, self._events.put)
            self._executor.start()
        return self._executor

    def send(self, tasks: Sequence[Task]) -> None:
        """Submit tasks."""
        for task in tasks:
            self._in_flight[task.fence] = task
            self.start().submit(task)

    def __len__(self) -> int:
        """Number of tasks in flight."""
        return len(self._in_flight)

    @property
    def fences(self) -> tuple[int, ...]:
        """Fences of the tasks in flight."""
        return tuple(self._in_flight)

    def task(self, fence: int) -> Task | None:
        """The task in flight with this fence, or None."""
        return self._in_flight.get(fence)

    def forget(self, fences: Collection[int]) -> None:
        """Take tasks out of those in flight."""
        self.workers.forget(fences)
        for fence in fences:
            self._in_flight.pop(fence, None)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._ending is not None

    @property
    def ended(self) -> bool:
        """Whether `stop` was called and the executor has ended."""
        return self._ending is not None and not self._ending.is_alive()

    def stop(self, drain_s: float) -> None:
        """End the executor within `drain_s` seconds; it reports as before until then."""

        def end() -> None:
            if self._executor is not None:
                self._executor.stop(drain_s)
            self._events.wake()

        self._ending = threading.Thread(target=end, daemon=True)
        self._ending.start()

    def replace_worker(self, why: str, worker: str) -> None:
        """Have another worker started in place of one that does not get on; never blocks."""
        if self._executor is not None and self._ending is None:
            self._executor.replace_worker(why, worker)

    def kill(self) -> None:
        """End the executor now, unless `stop` was called."""
        if self._executor is not None and self._ending is None:
            self._executor.stop(0)
