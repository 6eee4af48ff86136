"""The inline executor: an engine in a thread of this process.

For `apply`, where one process is enough, and for tests. A photograph that kills the process kills
its caller.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.engine.activity import Activity
from daemon.executors.heartbeat import HeartbeatThread
from daemon.executors.process_env import tune_process
from daemon.messages.reports import ONLY_WORKER, Report, WorkerReady
from daemon.messages.tasks import Compute, Task

if TYPE_CHECKING:
    from daemon.engine.engine import Engine

_HEARTBEAT_S = 0.25
"""Seconds between two heartbeats: a person watches how far the first photograph is."""


class InlineExecutor:
    """Carries out tasks in this process.

    Args:
        compute: How to use the machine.
        report: Called with every report, from threads of this executor.
    """

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._compute = compute
        self._report = report
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._heartbeat: HeartbeatThread | None = None

    def start(self) -> None:
        """Make the engine and run its loop.

        Raises:
            DeviceError: The chosen device is not there.
        """
        tune_process(self._compute.threads)
        from daemon.engine.engine import Engine

        activity = Activity()
        self._engine = engine = Engine(self._compute, self._report, activity=activity)
        self._heartbeat = HeartbeatThread(
            activity,
            lambda: engine.loaded_models,
            self._report,
            lambda: engine.is_idle,
            every_s=_HEARTBEAT_S,
        )
        self._thread = threading.Thread(target=_run_until_stopped, args=(engine,), name="engine")
        self._thread.start()
        self._report(WorkerReady(engine.device, engine.loaded_models))
        self._heartbeat.start()

    def submit(self, task: Task) -> None:
        """Take a task."""
        if self._engine is None:
            raise RuntimeError("the executor has not been started")
        self._engine.submit(task)

    def replace_worker(self, why: str, worker: str = ONLY_WORKER) -> None:
        """Do nothing: a thread cannot be killed."""

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the threads."""
        if self._engine is None or self._thread is None or self._heartbeat is None:
            return
        self._engine.stop(drain_s)
        self._thread.join()
        self._heartbeat.stop()


def _run_until_stopped(engine: "Engine") -> None:
    while not engine.ended:
        # Before a bug or a lost device ends the loop, every task in flight has been reported.
        with contextlib.suppress(Exception):
            engine.run()
