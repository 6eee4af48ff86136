"""The inline executor: the engine in a thread of this process.

Comes in: orders. Goes out: reports, from the engine's thread. For `apply`, where one process is
enough, and for tests; a photograph that kills the process takes its caller along.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.engine.activity import Activity
from daemon.executors.heartbeat import Beat
from daemon.executors.process_env import tune_process
from daemon.messages.reports import Report, WorkerReady
from daemon.messages.tasks import Compute, Task

if TYPE_CHECKING:
    from daemon.engine.engine import Engine


class InlineExecutor:
    """Carries out orders in this process."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._compute = compute
        self._report = report
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._beat: Beat | None = None

    def start(self) -> None:
        """Load the engine and begin.

        Raises:
            DeviceError: The device that is asked for is not there.
        """
        tune_process(self._compute.threads)
        from daemon.engine.engine import Engine

        activity = Activity()
        self._engine = engine = Engine(self._compute, self._report, activity=activity)
        self._beat = Beat(activity, lambda: engine.loaded_models, self._report)
        self._thread = threading.Thread(target=self._work, args=(engine,), name="engine")
        self._thread.start()
        self._report(WorkerReady(engine.device, engine.loaded_models))
        self._beat.start()

    def submit(self, task: Task) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks."""
        self._running().submit(task)

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the thread."""
        if self._engine is None or self._thread is None or self._beat is None:
            return
        self._engine.stop(drain_s)
        self._thread.join()
        self._beat.stop()

    def _running(self) -> "Engine":
        if self._engine is None:
            raise RuntimeError("the executor has not been started")
        return self._engine

    def _work(self, engine: "Engine") -> None:
        while not engine.ended:
            # A bug or a lost device has been reported as the outcome of every order in flight.
            with contextlib.suppress(Exception):
                engine.run()
