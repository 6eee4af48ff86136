"""The process executor: an engine in one spawned worker process, watched and replaced.

This process never imports torch. The death of the worker is a report, never an exception; which of
its tasks killed it is for the caller to find out.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from daemon.executors.worker import FromWorker, StartFailed, Stop, TaskStarted, ToWorker, run_worker
from daemon.executors.worker_output import OutputReader, run_with_output
from daemon.messages.reports import (
    ONLY_WORKER,
    HandedBack,
    Report,
    WorkerDied,
    WorkerReady,
    fences_of,
)
from daemon.messages.tasks import Compute, Task
from daemon.system.kernel_kills import KernelKills, is_stopped, read_kernel_kills
from daemon.system.processes import how_it_ended, is_ended_from_outside

GRACE_S = 10.0
"""Seconds beyond the time to drain after which a worker that has not ended is killed."""

HOPELESS_AFTER = 3
"""Failed starts in a row after which the worker is reported as hopeless; it is still tried."""

_LONGEST_PAUSE_S = 60.0
_BLOCKED_SIGNALS = {signal.SIGINT, signal.SIGTERM}

_Outbound = queue.SimpleQueue[ToWorker | None]
"""Messages to send to the worker; None ends the sending."""


class ProcessExecutor:
    """Carries out tasks in a worker process, and starts another when it dies.

    A task is waiting until it is reported, whether it was sent to a worker or not: a new worker is
    sent all waiting tasks. When a worker dies, only the tasks it had started are reported with it.

    Args:
        compute: How to use the machine.
        report: Called with every report, from threads of this executor or in `submit`.
        worker: Main function of the worker process; importable by name, as the process is spawned.
        started: Called with the fence of each task that the worker has started.
        name: What reports of its death call it.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        worker: Callable[[Connection, Compute, int], None] = run_worker,
        *,
        started: Callable[[int], None] = lambda fence: None,
        name: str = ONLY_WORKER,
    ) -> None:
        self._compute = compute
        self._report = report
        self._worker = worker
        self._tell_started = started
        self._name = name
        self._called = "worker" if name == ONLY_WORKER else name
        self._lock = threading.Lock()
        self._waiting: dict[int, Task] = {}
        self._started: set[int] = set()
        self._outbound: _Outbound | None = None
        self._process: SpawnProcess | None = None
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(
            target=self._supervise, name="worker-supervisor", daemon=True
        )
        self._failed_starts = 0
        self._why_replaced = ""
        self._was_stopped = False
        self._unkillable_after: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker, while there is one."""
        with self._lock:
            return self._process.pid if self._process is not None else None

    @property
    def in_flight(self) -> frozenset[int]:
        """Fences of the tasks that the worker has started and not reported."""
        with self._lock:
            return frozenset(self._started)

    def start(self) -> None:
        """Start the worker."""
        self._supervisor.start()

    def submit(self, task: Task) -> None:
        """Take a task."""
        with self._lock:
            stopping = self._stopping.is_set()
            if not stopping:
                self._waiting[task.fence] = task
                if self._outbound is not None:
                    self._outbound.put(task)
        if stopping:
            self._report(HandedBack((task.fence,)))

    def send(self, message: ToWorker) -> None:
        """Send something else than a task, if there is a worker."""
        with self._lock:
            if self._outbound is not None:
                self._outbound.put(message)

    def withdraw(self) -> tuple[int, ...]:
        """Forget the tasks that wait for a worker, if there is none that takes tasks.

        Returns:
            Their fences, which no report will name.
        """
        with self._lock:
            if self._outbound is not None:
                return ()
            fences = tuple(self._waiting)
            self._waiting.clear()
            return fences

    def replace_worker(self, why: str, worker: str = ONLY_WORKER) -> None:
        """Kill the worker, also one that is stopped; the supervisor starts another."""
        with self._lock:
            if self._process is not None:
                self._why_replaced = why
                self._was_stopped |= is_stopped(self._process.pid or 0)
                self._process.kill()
                if self._unkillable_after is None:
                    self._unkillable_after = timer = threading.Timer(
                        GRACE_S, self._report_unkillable, [self._process]
                    )
                    timer.daemon = True
                    timer.start()

    def _report_unkillable(self, process: SpawnProcess) -> None:
        """Report a worker that not even SIGKILL has ended.

        No other is started beside it: it still holds the device and its memory, and whatever in
        the kernel does not let it go would most likely hold the next one too.
        """
        with self._lock:
            self._unkillable_after = None
            if self._process is not process or self._stopping.is_set():
                return
        reason = (
            f"the {self._called} process {process.pid} cannot be ended, not even by SIGKILL: the "
            "kernel waits for a device or a disk; repair that, or restart the machine; "
            "photographs wait"
        )
        self._report(WorkerDied((), reason, hopeless=True, worker=self._name))

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the process."""
        with self._lock:
            self._stopping.set()
            ready = self._outbound is not None
            if self._outbound is not None:
                self._outbound.put(Stop(drain_s))
        if self._supervisor.ident is None:
            return
        if ready:
            self._supervisor.join(drain_s + GRACE_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        self._supervisor.join(GRACE_S)
        if self._supervisor.is_alive():
            self._abandon()

    def _abandon(self) -> None:
        """Give up on a worker that cannot be ended: it ends with this process, or never."""
        with self._lock:
            left = tuple(self._waiting)
            self._waiting.clear()
            # multiprocessing would wait for it without end when this process exits.
            multiprocessing.process._children.discard(self._process)  # type: ignore[attr-defined]
        if left:
            self._report(HandedBack(left))

    def _supervise(self) -> None:
        """Keep a worker running until stopped.

        This thread must outlive the workers it starts, which end with it (PR_SET_PDEATHSIG).
        """
        # The worker inherits the mask, so that Ctrl-C cannot hit it before it ignores the signal.
        # multiprocessing's tracker unblocks these signals when it starts, so it is started first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
        while not self._stopping.is_set():
            self._run_one_worker()
            if self._failed_starts:
                pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._failed_starts - 1))
                self._stopping.wait(pause_s)
        with self._lock:
            left = tuple(self._waiting)
            self._waiting.clear()
        if left:
            self._report(HandedBack(left))

    def _run_one_worker(self) -> None:
        """Start a worker, listen to it until it ends, and report how it ended."""
        context = multiprocessing.get_context("spawn")
        before = read_kernel_kills()
        ours, theirs = context.Pipe()
        with ours:
            with theirs, self._lock:
                if self._stopping.is_set():
                    return
                output, theirs_output = context.Pipe(duplex=False)
                with theirs_output:
                    process = context.Process(
                        target=run_with_output,
                        args=(theirs_output, self._worker, theirs, self._compute, os.getpid()),
                        daemon=True,
                    )
                    process.start()
                self._process = process
            reader = OutputReader(output)
            start_failure = self._listen(ours)
            process.join()
            said = reader.last_words()
            with self._lock:
                self._process = None
                outbound, self._outbound = self._outbound, None
            if outbound is not None:
                outbound.put(None)
            ready = outbound is not None
            outside = self._was_ended_from_outside(process, before)
            how = start_failure or how_it_ended(process.exitcode, outside=outside)
            how += f"; it said: {said}" if said and not start_failure else ""
            self._report_end(process, how, ready=ready, outside=outside)
            process.close()

    def _listen(self, pipe: Connection) -> str:
        """Handle the worker's messages until it ends; why it could not start, or ""."""
        start_failure = ""
        # A worker that is killed while it sends leaves a torn message.
        with contextlib.suppress(EOFError, OSError):
            while True:
                message: FromWorker = pipe.recv()
                if isinstance(message, TaskStarted):
                    with self._lock:
                        self._started.add(message.fence)
                    self._tell_started(message.fence)
                elif isinstance(message, StartFailed):
                    start_failure = message.reason
                else:
                    self._pass_on(pipe, message)
        return start_failure

    def _pass_on(self, pipe: Connection, report: Report) -> None:
        if isinstance(report, WorkerReady):
            self._failed_starts = 0
            self._start_sending(pipe)
        with self._lock:
            for fence in fences_of(report):
                self._waiting.pop(fence, None)
                self._started.discard(fence)
        self._report(report)

    def _start_sending(self, pipe: Connection) -> None:
        """Send the waiting tasks and, from now on, every new one; once for each process."""
        outbound: _Outbound = queue.SimpleQueue()
        with self._lock:
            if self._outbound is not None:
                return  # one of several workers of this process
            for task in self._waiting.values():
                outbound.put(task)
            if self._stopping.is_set():
                outbound.put(Stop(0))
            self._outbound = outbound
        threading.Thread(target=_send, args=(pipe, outbound), daemon=True).start()

    def _was_ended_from_outside(self, process: SpawnProcess, before: KernelKills) -> bool:
        """Whether a signal of somebody else ended or stopped a worker, and so no task did."""
        if self._why_replaced:
            return self._was_stopped
        return is_ended_from_outside(process.exitcode, before)

    def _report_end(self, process: SpawnProcess, how: str, *, ready: bool, outside: bool) -> None:
        """Report that a worker has ended and how, with the tasks that it had started."""
        with self._lock:
            fences = tuple(sorted(self._started & self._waiting.keys()))
            self._started.clear()
            for fence in fences:
                del self._waiting[fence]
        if self._stopping.is_set():
            # It drained, or `stop` killed it: nothing is at fault.
            if fences:
                self._report(HandedBack(fences))
            return
        with self._lock:
            why, self._why_replaced, self._was_stopped = self._why_replaced, "", False
        how = f"was replaced: {why}" if why else how
        if ready:
            reason = f"the {self._called} process {process.pid} {how}"
            self._report(WorkerDied(fences, reason, outside=outside, worker=self._name))
            return
        self._failed_starts += 1
        times = f"{self._failed_starts} times in a row" if self._failed_starts > 1 else "once"
        reason = f"the {self._called} process {process.pid} could not start ({times}): {how}"
        hopeless = self._failed_starts >= HOPELESS_AFTER
        self._report(WorkerDied((), reason, hopeless=hopeless, worker=self._name))


def _send(pipe: Connection, outbound: _Outbound) -> None:
    """Send messages to the worker; in a thread of its own, as sending blocks on a full pipe."""
    while (message := outbound.get()) is not None:
        # If the worker is gone, the thread that listens to it finds out.
        with contextlib.suppress(OSError):
            pipe.send(message)
