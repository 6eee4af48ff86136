"""The inline executor: the engine in a thread of this process.

Comes in: orders. Goes out: reports, from the engine's thread. For `apply`, where one process is
enough, and for tests; a photograph that kills the process takes its caller along.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.executors.tuning import tune_process
from daemon.job import Compute, Errand, Report, WorkerReady

if TYPE_CHECKING:
    from daemon.engine import Engine


class InlineExecutor:
    """Carries out orders in this process."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._compute = compute
        self._report = report
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Load the engine and begin.

        Raises:
            DeviceError: The device that is asked for is not there.
        """
        tune_process(self._compute.threads)
        from daemon.engine import Engine

        self._engine = Engine(self._compute, self._report)
        self._thread = threading.Thread(target=self._work, args=(self._engine,), name="engine")
        self._thread.start()
        self._report(WorkerReady(self._engine.device))

    def submit(self, errand: Errand) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks."""
        self._running().submit(errand)

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end the thread."""
        if self._engine is None or self._thread is None:
            return
        self._engine.stop(drain_s)
        self._thread.join()

    def _running(self) -> "Engine":
        if self._engine is None:
            raise RuntimeError("the executor has not been started")
        return self._engine

    def _work(self, engine: "Engine") -> None:
        while not engine.ended:
            # A bug or a lost device has been reported as the outcome of every order in flight.
            with contextlib.suppress(Exception):
                engine.run()
