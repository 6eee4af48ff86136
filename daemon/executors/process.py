"""The process executor: the engine in one spawned worker process, watched and replaced.

Comes in: orders. Goes out: reports. This process never imports torch. The death of the worker is a
report, never an exception; which of the orders killed it is for the caller to find out.
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

from daemon.executors.worker import StartFailed, Stop, TaskStarted, work
from daemon.messages.reports import HandedBack, Report, WorkerDied, WorkerReady
from daemon.messages.tasks import Compute, Task

GRACE_S = 10.0
"""Beyond the time to drain: until then the worker has reported, or is killed."""

GIVE_UP = 3
"""After so many deaths at start in a row it is called hopeless, and tried all the same."""

_LONGEST_PAUSE_S = 60.0
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


class ProcessExecutor:
    """Carries out orders in a worker process, one after another if they die.

    Args:
        compute: How to use the machine.
        report: Is told everything, from a thread of this executor.
        worker: What the process runs; importable by name, as it is spawned.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        worker: Callable[[Connection, Compute, int], None] = work,
    ) -> None:
        self._compute = compute
        self._report = report
        self._worker = worker
        self._lock = threading.Lock()
        self._waiting: dict[int, Task] = {}
        self._begun: set[int] = set()
        self._outbound: queue.SimpleQueue[Task | Stop | None] | None = None
        self._process: SpawnProcess | None = None
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="worker-keeper", daemon=True)
        self._starts_failed = 0

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one."""
        with self._lock:
            return self._process.pid if self._process is not None else None

    @property
    def in_flight(self) -> frozenset[int]:
        """Fences of the orders that the worker has begun and not reported."""
        with self._lock:
            return frozenset(self._begun)

    def start(self) -> None:
        """Begin; `WorkerReady` is reported when the worker takes orders."""
        self._keeper.start()

    def submit(self, task: Task) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks."""
        with self._lock:
            stopping = self._stopping.is_set()
            if not stopping:
                self._waiting[task.fence] = task
                if self._outbound is not None:
                    self._outbound.put(task)
        if stopping:
            self._report(HandedBack((task.fence,)))

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the process."""
        with self._lock:
            self._stopping.set()
            ready = self._outbound is not None
            if self._outbound is not None:
                self._outbound.put(Stop(drain_s))
        if self._keeper.ident is None:
            return
        if ready:
            self._keeper.join(drain_s + GRACE_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        self._keeper.join()

    def _keep(self) -> None:
        """Have a worker, always; the thread that starts it must outlive it (PR_SET_PDEATHSIG)."""
        # The worker inherits the mask, so that Ctrl-C cannot hit it before it ignores the signal.
        # The tracker of multiprocessing unblocks these signals when it starts: it goes first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while not self._stopping.is_set():
            self._one_worker()
            if self._starts_failed:
                pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._starts_failed - 1))
                self._stopping.wait(pause_s)
        with self._lock:
            left = tuple(self._waiting)
            self._waiting.clear()
        if left:
            self._report(HandedBack(left))

    def _one_worker(self) -> None:
        """Start a worker, listen to it until it ends, and say how it ended."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with ours:
            with theirs, self._lock:
                if self._stopping.is_set():
                    return
                process = context.Process(
                    target=self._worker, args=(theirs, self._compute, os.getpid()), daemon=True
                )
                process.start()
                self._process = process
            why = self._listen(ours)
            process.join()
            with self._lock:
                self._process = None
                outbound, self._outbound = self._outbound, None
            if outbound is not None:
                outbound.put(None)
            self._bury(process, ready=outbound is not None, why=why)
            process.close()

    def _listen(self, ours: Connection) -> str:
        """Pass on what the worker says until it says no more; why it could not start, if so."""
        why = ""
        # A worker killed in the middle of a message leaves a torn one.
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = ours.recv()
                if isinstance(message, TaskStarted):
                    with self._lock:
                        self._begun.add(message.fence)
                elif isinstance(message, StartFailed):
                    why = message.reason
                else:
                    self._pass_on(ours, message)
        return why

    def _pass_on(self, ours: Connection, report: Report) -> None:
        if isinstance(report, WorkerReady):
            self._starts_failed = 0
            self._open(ours)
        fences = report.fences if isinstance(report, HandedBack) else getattr(report, "fence", None)
        with self._lock:
            for fence in fences if isinstance(fences, tuple) else (fences,):
                self._waiting.pop(fence, None)
                self._begun.discard(fence)
        self._report(report)

    def _open(self, ours: Connection) -> None:
        """Send the orders that wait and, from now on, every new one."""
        outbound: queue.SimpleQueue[Task | Stop | None] = queue.SimpleQueue()
        with self._lock:
            for task in self._waiting.values():
                outbound.put(task)
            if self._stopping.is_set():
                outbound.put(Stop(0))
            self._outbound = outbound
        threading.Thread(target=_send, args=(ours, outbound), daemon=True).start()

    def _bury(self, process: SpawnProcess, *, ready: bool, why: str) -> None:
        """Report a worker's end and the orders it had begun."""
        with self._lock:
            killed = tuple(sorted(self._begun & self._waiting.keys()))
            self._begun.clear()
            for fence in killed:
                del self._waiting[fence]
        if self._stopping.is_set():
            # Either it drained, or we killed it: nobody is at fault.
            if killed:
                self._report(HandedBack(killed))
            return
        how = why or _how_it_ended(process)
        if ready:
            self._report(WorkerDied(killed, f"the worker process {process.pid} {how}"))
            return
        self._starts_failed += 1
        times = f"{self._starts_failed} times in a row" if self._starts_failed > 1 else "once"
        reason = f"the worker process {process.pid} could not start ({times}): {how}"
        self._report(WorkerDied((), reason, hopeless=self._starts_failed >= GIVE_UP))


def _send(ours: Connection, outbound: "queue.SimpleQueue[Task | Stop | None]") -> None:
    """Sending blocks while the pipe is full, so it has a thread of its own."""
    while (message := outbound.get()) is not None:
        # A worker that is gone is noticed by who listens to it.
        with contextlib.suppress(OSError):
            ours.send(message)


def _how_it_ended(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; the kernel does this when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
