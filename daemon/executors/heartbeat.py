"""Reports a heartbeat about once a second while an engine makes progress.

It has a thread of its own, since the engine's loop may be deep in one forward pass. While nothing
makes progress it reports nothing, so that a hung engine is a silent one. An engine that has nothing
to do is heard too, less often, so that a process that was stopped while idle is a silent one.
"""

import threading
import time
from collections.abc import Callable

from daemon.engine.activity import Activity
from daemon.messages.reports import BatchCounts, Heartbeat, LoadedModel

_EVERY_S = 1.0

IDLE_EVERY_S = 10.0
"""Seconds between two heartbeats of an engine that has nothing to do."""


class HeartbeatThread:
    """Reports heartbeats until it is stopped.

    Args:
        activity: Activity of the engine.
        loaded_models: Tells which models are loaded; called from this thread.
        report: Called with every heartbeat, from this thread.
        is_idle: Tells whether the engine has nothing to do; called from this thread.
        every_s: Seconds between two looks at the activity.
    """

    def __init__(
        self,
        activity: Activity,
        loaded_models: Callable[[], tuple[LoadedModel, ...]],
        report: Callable[[Heartbeat], None],
        is_idle: Callable[[], bool] = lambda: False,
        every_s: float = _EVERY_S,
    ) -> None:
        self._activity = activity
        self._loaded_models = loaded_models
        self._report = report
        self._is_idle = is_idle
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Report what has not been reported yet, and end the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        stopping = False
        reported_at = time.monotonic()
        while not stopping:
            stopping = self._stopping.wait(self._every_s)
            counts, progress = self._activity.collect()
            now = time.monotonic()
            idle_for_long = now - reported_at >= IDLE_EVERY_S and self._is_idle()
            if progress or counts != BatchCounts() or idle_for_long:
                self._report(Heartbeat(counts, self._loaded_models()))
                reported_at = now
