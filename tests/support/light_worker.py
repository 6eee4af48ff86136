"""A worker process that starts in a moment, without torch: it reverses a photograph's bytes.

It begins all tasks that it is sent and works on one after the other. One whose name has "killer"
ends it as a broken decoder would. It is importable by name, as it is spawned.
"""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import ClassVar

from daemon.executors.pool import PoolExecutor
from daemon.executors.process import ProcessExecutor
from daemon.executors.worker import StartFailed, Stop, TaskStarted
from daemon.messages.reports import Report, WorkerReady
from daemon.messages.tasks import Compute, RestoreTask
from tests.support.fakes import restored

_TASK_S = 0.02

NO_DEVICE = "cuda:99"
"""Device on which it cannot start."""


def light_worker(pipe: Connection, compute: Compute, parent: int) -> None:
    """Carry out tasks until told to stop."""
    if compute.device == NO_DEVICE:
        pipe.send(StartFailed(f"device {NO_DEVICE} is not there"))
        return
    pipe.send(WorkerReady(compute.device))
    tasks: list[RestoreTask] = []
    while True:
        while pipe.poll(0 if tasks else None):
            message = pipe.recv()
            if isinstance(message, Stop):
                return
            pipe.send(TaskStarted(message.fence))
            tasks.append(message)
        time.sleep(_TASK_S)
        task = tasks.pop(0)
        if "killer" in task.job.photos[0].name:
            os.kill(os.getpid(), signal.SIGSEGV)
        pipe.send(restored(task))


class LightExecutor(ProcessExecutor):
    """A process executor with that worker; `made` has all of them, for who wants to kill."""

    made: ClassVar[list["LightExecutor"]] = []

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        started: Callable[[int], None] = lambda fence: None,
    ) -> None:
        super().__init__(compute, report, worker=light_worker, started=started)
        self.made.append(self)


class LightPool(PoolExecutor):
    """A pool of those."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        super().__init__(compute, report, LightExecutor)
