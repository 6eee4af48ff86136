"""The pool: several workers, each with a device or a share of one, behind one executor.

Every worker is a process executor of its own, so that its death, its start and its replacement are
those of a single worker. One thread hears all of them and the caller, and routes the tasks.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from daemon.executors.process import ProcessExecutor
from daemon.executors.routing import Router
from daemon.executors.shares import shares_of
from daemon.executors.worker import Replace, Stop
from daemon.messages.reports import (
    Failed,
    HandedBack,
    Heartbeat,
    Inspected,
    ModelLoaded,
    Rejected,
    Report,
    Restored,
    TaskAssigned,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerReport,
    WorkerStarts,
    fences_of,
)
from daemon.messages.tasks import Compute, Task


class PoolWorker(Protocol):
    """A worker of a pool: an executor that also tells what it has started."""

    def start(self) -> None:
        """As `Executor.start`."""

    def submit(self, task: Task) -> None:
        """As `Executor.submit`."""

    def stop(self, drain_s: float) -> None:
        """As `Executor.stop`."""

    def replace_worker(self, why: str) -> None:
        """As `Executor.replace_worker`."""

    def withdraw(self) -> tuple[int, ...]:
        """Forget what no process has been sent, for another worker to get it; return its fences."""


MakeWorker = Callable[[Compute, Callable[[Report], None], Callable[[int], None]], PoolWorker]
"""(compute, report, started) -> a worker that calls `started` with the fence of what it starts."""


@dataclass(frozen=True)
class _Started:
    worker: str
    fence: int


@dataclass(frozen=True)
class _Reported:
    worker: str
    report: Report


@dataclass(frozen=True)
class _Stopped:
    """All workers have ended, and all that they told is in the queue."""


_Event = Task | _Started | _Reported | Replace | Stop | _Stopped


class PoolExecutor:
    """Carries out tasks in several workers.

    Args:
        compute: How to use the machine; `devices` says which workers there are.
        report: Called with every report, from the pool's thread or, once it has ended, in `submit`.
        make_worker: Makes a worker; by default a process.
        shares: How each worker may use its machine.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        make_worker: MakeWorker | None = None,
        shares: Callable[[Compute], Sequence[Compute]] = shares_of,
    ) -> None:
        self._compute = compute
        self._report = report
        self._make_worker = make_worker or _worker_process
        self._shares = shares
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self._workers: dict[str, PoolWorker] = {}
        self._devices: dict[str, str] = {}
        self._router = Router()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    def start(self) -> None:
        """Start the workers."""
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Take a task."""
        with self._lock:
            ended = self._ended
            if not ended:
                self._events.put(task)
        if ended:
            self._report(HandedBack((task.fence,)))

    def replace_worker(self, why: str, worker: str) -> None:
        """Kill a worker; another is started in its place."""
        self._events.put(Replace(why, worker))

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the processes."""
        if self._thread.ident is None:
            return
        self._events.put(Stop(drain_s))
        self._thread.join()

    def _run(self) -> None:
        shares = self._shares(self._compute)
        for name, share in ((str(number), one) for number, one in enumerate(shares, 1)):
            self._devices[name] = share.device
            self._router.add_worker(name)
            self._workers[name] = self._make_worker(share, self._hears(name), self._starts(name))
        for name, worker in self._workers.items():
            self._report(WorkerStarts(name, self._devices[name]))
            worker.start()
        while not self._ended:
            self._handle(self._next())
            self._assign()
        self._end()

    def _next(self) -> _Event | None:
        """The next event; None when it is time to look again without one."""
        try:
            return self._events.get(timeout=self._router.next_due_s(time.monotonic()))
        except queue.Empty:
            return None

    def _handle(self, event: _Event | None) -> None:
        match event:
            case None:
                pass
            case _Started(worker, fence):
                self._router.started(worker, fence)
            case _Reported(worker, report):
                self._hear(worker, report)
            case Replace(why, worker):
                if (found := self._workers.get(worker)) is not None:
                    found.replace_worker(why)
            case Stop(drain_s):
                self._begin_to_stop(drain_s)
            case _Stopped():
                with self._lock:
                    self._ended = True
            case _:
                self._router.add(event)

    def _hear(self, worker: str, report: Report) -> None:
        """Note what a worker reports, and pass it on in the worker's name."""
        fences = fences_of(report)
        if isinstance(report, WorkerReport):
            report = replace(report, worker=worker)
        match report:
            case WorkerReady():
                self._router.worker_ready(worker, [one.model for one in report.loaded_models])
            case Heartbeat():
                self._router.models_loaded(worker, [one.model for one in report.loaded_models])
            case ModelLoaded():
                self._router.model_loaded(worker, report)
            case WorkerDied() | WorkerLost():
                outside = isinstance(report, WorkerLost) or report.outside
                self._router.died(worker, fences, time.monotonic(), outside=outside)
                self._router.withdrawn(worker, self._workers[worker].withdraw())
            case Restored() | Inspected() | Rejected() | Failed():
                self._router.ended(fences, by_worker=worker)
            case _:
                self._router.ended(fences)
        self._report(report)
        gone = isinstance(report, WorkerDied | WorkerLost) and not report.hopeless
        if gone and not self._stopping:
            self._report(WorkerStarts(worker, self._devices[worker]))

    def _assign(self) -> None:
        if self._stopping:
            self._hand_back()
            return
        for name, task in self._router.assign(time.monotonic()):
            self._report(TaskAssigned(task.fence, name))
            self._workers[name].submit(task)

    def _begin_to_stop(self, drain_s: float) -> None:
        """Have all workers end at the same time, each in a thread, as that blocks."""
        if self._stopping:
            return
        self._stopping = True
        stops = [
            threading.Thread(target=worker.stop, args=(drain_s,), daemon=True)
            for worker in self._workers.values()
        ]

        def stop_all() -> None:
            for stop in stops:
                stop.start()
            for stop in stops:
                stop.join()
            self._events.put(_Stopped())

        threading.Thread(target=stop_all, name="pool-stop", daemon=True).start()

    def _end(self) -> None:
        """Hear what is still in the queue, and hand back what nobody has ended."""
        while not self._events.empty():
            self._handle(self._events.get())
        for name in self._workers:
            self._router.withdrawn(name, self._router.fences_in(name))
        self._hand_back()

    def _hand_back(self) -> None:
        if fences := self._router.fences:
            self._router.ended(fences)
            self._report(HandedBack(fences))

    def _hears(self, worker: str) -> Callable[[Report], None]:
        return lambda report: self._events.put(_Reported(worker, report))

    def _starts(self, worker: str) -> Callable[[int], None]:
        return lambda fence: self._events.put(_Started(worker, fence))


def _worker_process(
    compute: Compute, report: Callable[[Report], None], started: Callable[[int], None]
) -> PoolWorker:
    return ProcessExecutor(compute, report, started=started)
