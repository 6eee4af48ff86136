"""The workforce: the executor, and what it holds.

Comes in: errands. Goes out: reports, through the mailbox. It starts the executor when there is
something to do, and knows by fence what is in flight; what becomes of it is decided elsewhere.
"""

import threading
from collections.abc import Collection, Sequence

import structlog

from daemon.executors import Executor, make_executor
from daemon.messages.reports import WorkerDied, WorkerReady
from daemon.messages.tasks import Compute, Task
from daemon.service.events import EventQueue

_log = structlog.get_logger()


class Dispatcher:
    """One executor, from its first errand to its end.

    Attributes:
        missing: Why no worker can be had for now, or "".
    """

    def __init__(self, executor: str, compute: Compute, events: EventQueue) -> None:
        """Start nothing yet.

        Args:
            executor: Name of an entry of EXECUTORS.
            compute: How it may use this machine.
            events: Where it reports.
        """
        self.missing = ""
        self._name = executor
        self._compute = compute
        self._events = events
        self._executor: Executor | None = None
        self._in_flight: dict[int, Task] = {}
        self._ending: threading.Thread | None = None

    def start(self) -> Executor:
        """Have the executor running."""
        if self._executor is None:
            self._executor = make_executor(self._name, self._compute, self._events.put)
            self._executor.start()
        return self._executor

    def send(self, tasks: Sequence[Task]) -> None:
        """Hand errands over."""
        for task in tasks:
            self._in_flight[task.fence] = task
            self.start().submit(task)

    def __len__(self) -> int:
        """How many errands are in flight."""
        return len(self._in_flight)

    @property
    def fences(self) -> tuple[int, ...]:
        """The leases of what is in flight."""
        return tuple(self._in_flight)

    def task(self, fence: int) -> Task | None:
        """What is in flight under a lease; None if nothing is."""
        return self._in_flight.get(fence)

    def forget(self, fences: Collection[int]) -> None:
        """These are in flight no more."""
        for fence in fences:
            self._in_flight.pop(fence, None)

    def heard(self, report: WorkerReady | WorkerDied) -> None:
        """The worker has come or gone."""
        match report:
            case WorkerReady():
                _log.info("worker_ready", device=report.device)
                self.missing = ""
            case WorkerDied(hopeless=True):
                if not self.missing:
                    _log.error("no_worker", why=report.reason, what_to_do="mend the device")
                self.missing = report.reason
            case WorkerDied():
                self.forget(report.fences)

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._ending is not None

    @property
    def ended(self) -> bool:
        """Whether it was told to end and has."""
        return self._ending is not None and not self._ending.is_alive()

    def stop(self, drain_s: float) -> None:
        """Tell it to end within so many seconds; what it says until then comes as ever."""

        def end() -> None:
            if self._executor is not None:
                self._executor.stop(drain_s)
            self._events.wake()

        self._ending = threading.Thread(target=end, daemon=True)
        self._ending.start()

    def kill(self) -> None:
        """End it now, if it was not told to end."""
        if self._executor is not None and self._ending is None:
            self._executor.stop(0)
