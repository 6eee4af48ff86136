"""The near end of a worker on another machine: places its actor, asks it, and replaces it.

Whatever ends an actor, a link or a machine is nobody's fault: all that was sent there is reported
as lost. What comes from an actor that was given up is dropped.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import ray
from ray.exceptions import RayError

from daemon.engine.failures import outcome_of
from daemon.executors.cluster.files import photos_of, place_results, read_inputs
from daemon.executors.cluster.handshake import Hello, why_refused
from daemon.executors.cluster.host import Arrived, Ended, FromHost, Host, Refused, WorkerMain
from daemon.executors.process import GRACE_S, HOPELESS_AFTER
from daemon.executors.worker import TaskStarted
from daemon.messages.reports import (
    HandedBack,
    Report,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    fences_of,
)
from daemon.messages.tasks import Cluster, Compute, RestoreTask, Task

POLL_S = 1.0
"""Seconds that an actor waits for news before it answers that there are none."""

SILENT_S = 30.0
"""Seconds without such an answer after which a worker is given up: Ray itself may take a minute."""

PLACE_S = 60.0
"""Seconds after which it is told that the cluster has no room for a worker; it goes on waiting."""

_LONGEST_PAUSE_S = 60.0
_CALLS = 8
"""Calls that an actor answers at a time: one asks for news, others bring photographs."""

_Outbound = queue.SimpleQueue[Task | None]


class RemoteWorker:
    """A worker of the gateway's pool: one actor after another, each on a machine of the cluster.

    Args:
        compute: How to use the machine.
        report: Called with every report, from threads of this worker or in `submit`.
        started: Called with the fence of each task that the worker has started.
        ours: What every machine must say of itself.
        worker: Main function of the worker process there.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        started: Callable[[int], None],
        ours: Hello,
        worker: WorkerMain,
    ) -> None:
        self._compute = compute
        self._report = report
        self._tell_started = started
        self._ours = ours
        self._worker = worker
        self._lock = threading.Lock()
        self._waiting: dict[int, Task] = {}
        self._outbound: _Outbound | None = None
        self._host: object = None
        self._machine = ""
        self._stopping = threading.Event()
        self._failed_starts = 0
        self._refused = False
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Begin to place an actor."""
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

    def withdraw(self) -> tuple[int, ...]:
        """Forget the tasks that no machine has been sent; return their fences."""
        with self._lock:
            if self._outbound is not None:
                return ()
            fences = tuple(self._waiting)
            self._waiting.clear()
            return fences

    def replace_worker(self, why: str) -> None:
        """Have the worker process there replaced."""
        with self._lock:
            if self._host is not None:
                _call(self._host, "replace_worker", why)

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the actor."""
        with self._lock:
            self._stopping.set()
            ready = self._outbound is not None
            if ready:
                _call(self._host, "stop", drain_s)
        if not ready:
            self._kill()
        if self._supervisor.ident is not None:
            self._supervisor.join(drain_s + GRACE_S)
        with self._lock:
            left = tuple(self._waiting)
            self._waiting.clear()
        self._kill()
        if left:
            self._report(HandedBack(left))

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            self._refused = False
            reason = self._run_one_actor()
            self._kill()
            if self._stopping.is_set():
                return
            self._failed_starts += 1
            self._lose(reason)
            pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._failed_starts - 1))
            self._stopping.wait(_LONGEST_PAUSE_S if self._refused else pause_s)

    def _run_one_actor(self) -> str:
        """Place an actor and hear it until it ends; returns why it ended."""
        try:
            host = _actor(self._compute, self._worker)
            with self._lock:
                self._host = host
            greeting = self._greeting(host)
            if greeting is None:
                return "stopped"
            if why := why_refused(greeting, self._ours):
                self._refused = True
                return why
            self._machine = greeting.machine
            _call(host, "start")
            return self._listen(host)
        except Exception as error:
            where = f"the worker on {self._machine}" if self._machine else "a worker"
            kind = "" if isinstance(error, RayError) else f"{type(error).__name__}: "
            return f"{where} is lost: {kind}{_first_line(error)}"

    def _greeting(self, host: object) -> Hello | None:
        """Wait until an actor is placed and answers; None if this is stopped before."""
        asked: ray.ObjectRef[Hello] = _call(host, "hello")
        since, told = time.monotonic(), False
        while not self._stopping.is_set():
            if ray.wait([asked], timeout=POLL_S)[0]:
                return ray.get(asked)
            if not told and time.monotonic() - since >= PLACE_S:
                told = True
                why = "the cluster has no room for another worker; start a node, or lower "
                self._report(WorkerLost((), f"{why}ray_workers", hopeless=True))
        return None

    def _listen(self, host: object) -> str:
        """Hear an actor until it ends; returns why."""
        while True:
            asked: ray.ObjectRef[Sequence[FromHost]] = _call(host, "poll", POLL_S)
            if not ray.wait([asked], timeout=SILENT_S)[0]:
                return f"the worker on {self._machine} has not answered for {SILENT_S:.0f} s"
            for one in ray.get(asked):
                match one:
                    case Ended():
                        return "stopped"
                    case Refused(reason):
                        self._refused = True
                        return reason
                    case TaskStarted(fence):
                        self._tell_started(fence)
                    case Arrived():
                        self._pass_on(self._placed(one))
                    case _:
                        self._pass_on(one)
                        if isinstance(one, WorkerDied) and one.hopeless:
                            return f"{self._machine}: {one.reason}"

    def _placed(self, arrived: Arrived) -> Report:
        """Write a result into its staging folder, unless nobody waits for it any more."""
        fence = arrived.restored.fence
        task = self._waiting.get(fence)
        if not isinstance(task, RestoreTask):
            return arrived.restored
        try:
            return place_results(arrived.restored, arrived.files, arrived.staging, task.staging)
        except Exception as error:
            return outcome_of(fence, error, photos_of(task))

    def _pass_on(self, report: Report) -> None:
        """Pass on a report with the name of the machine; late ones are dropped."""
        if isinstance(report, WorkerReady):
            self._failed_starts = 0
            report = WorkerReady(f"{report.device} on {self._machine}", report.loaded_models)
            self._start_sending()
        fences = fences_of(report)
        with self._lock:
            late = bool(fences) and not any(fence in self._waiting for fence in fences)
            for fence in fences:
                self._waiting.pop(fence, None)
        if isinstance(report, WorkerDied) and (report.hopeless or not fences):
            late = False
        if not late:
            self._report(report)

    def _start_sending(self) -> None:
        """Send the waiting tasks and, from now on, every new one; once for each actor."""
        with self._lock:
            if self._outbound is not None:
                return
            outbound: _Outbound = queue.SimpleQueue()
            self._outbound = outbound
            for task in self._waiting.values():
                outbound.put(task)
        threading.Thread(target=self._send, args=(self._host, outbound), daemon=True).start()

    def _send(self, host: object, outbound: _Outbound) -> None:
        """Send tasks with their files; in a thread of its own, as reading them takes time."""
        while (task := outbound.get()) is not None:
            try:
                files = () if _cluster(self._compute).shared_files else read_inputs(task)
            except OSError as error:
                self._pass_on(outcome_of(task.fence, error, photos_of(task)))
                continue
            # If the actor is gone, the thread that asks it finds out.
            with contextlib.suppress(RayError):
                _call(host, "submit", task, files)

    def _lose(self, reason: str) -> None:
        """Report the loss of an actor, with all that it may have begun."""
        with self._lock:
            fences = tuple(self._waiting) if self._outbound is not None else ()
            for fence in fences:
                del self._waiting[fence]
            outbound, self._outbound = self._outbound, None
        if outbound is not None:
            outbound.put(None)
        hopeless = self._refused or self._failed_starts >= HOPELESS_AFTER
        self._machine = ""
        self._report(WorkerLost(fences, reason, hopeless=hopeless))

    def _kill(self) -> None:
        """End the actor, also one that cannot be reached now."""
        with self._lock:
            host, self._host = self._host, None
        if host is not None:
            with contextlib.suppress(RayError, ValueError):
                ray.kill(cast(Any, host), no_restart=True)


def _actor(compute: Compute, worker: WorkerMain) -> object:
    """An actor that Ray is to place: never restarted, since its tasks are the pool's to route."""
    cluster = _cluster(compute)
    gpus = cluster.gpus_per_worker
    made: Any = ray.remote(Host).options(
        num_gpus=gpus,
        num_cpus=0 if gpus else 1,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=_CALLS,
        scheduling_strategy="SPREAD",
    )
    return made.remote(compute, worker, files_come=not cluster.shared_files)


def _call(host: object, method: str, *args: object) -> Any:  # noqa: ANN401 - Ray types no actor
    """Call a method of an actor; returns the reference of its answer."""
    return getattr(host, method).remote(*args)


def _cluster(compute: Compute) -> Cluster:
    if compute.cluster is None:
        raise ValueError("the settings name no cluster")
    return compute.cluster


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
