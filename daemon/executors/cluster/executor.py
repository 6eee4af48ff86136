"""The ray executor: the daemon's end of the gateway.

The gateway is supervised like a worker process. Its death is the loss of all workers, for which no
task is at fault.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

from daemon.executors.cluster.gateway import run_gateway
from daemon.executors.process import ProcessExecutor
from daemon.executors.worker import Replace
from daemon.messages.reports import (
    ONLY_WORKER,
    Report,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerStarts,
)
from daemon.messages.tasks import Compute, Task

GATEWAY = "gateway"
"""What the gateway's process is called."""

SILENT_S = 60.0
"""Seconds of silence of all workers after which the gateway is replaced, and not one of them."""


class RayExecutor:
    """Carries out tasks on the machines of a Ray cluster.

    Args:
        compute: How to use the cluster.
        report: Called with every report.
        gateway: Main function of the gateway's process; importable by name.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        gateway: Callable[[Connection, Compute, int], None] = run_gateway,
    ) -> None:
        self._report = report
        self._process = ProcessExecutor(compute, self._hear, gateway, name=GATEWAY)
        self._workers: set[str] = set()
        self._heard_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Process id of the gateway, while there is one."""
        return self._process.pid

    def start(self) -> None:
        """Start the gateway, which starts the workers."""
        self._process.start()

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._process.submit(task)

    def replace_worker(self, why: str, worker: str) -> None:
        """Replace a worker, or the gateway if nothing has been heard of any worker for long."""
        if time.monotonic() - self._heard_at >= SILENT_S:
            self._process.replace_worker(why)
        else:
            self._process.send(Replace(why, worker))

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the gateway."""
        self._process.stop(drain_s)

    def _hear(self, report: Report) -> None:
        self._heard_at = time.monotonic()
        if isinstance(report, WorkerDied) and report.worker == GATEWAY:
            self._lose_all(report)
            return
        if isinstance(report, WorkerStarts | WorkerReady):
            self._workers.add(report.worker)
        self._report(report)

    def _lose_all(self, death: WorkerDied) -> None:
        """Report the end of the gateway as the loss of each worker; the first has all tasks."""
        lost = WorkerLost((), death.reason, hopeless=death.hopeless)
        names = sorted(self._workers) or [ONLY_WORKER]
        self._report(replace(lost, fences=death.fences, worker=names[0]))
        for name in names[1:]:
            self._report(replace(lost, worker=name))
