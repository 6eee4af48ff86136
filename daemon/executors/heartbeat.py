"""The heartbeat of an executor: about once a second, whoever gave orders hears that they get on.

Comes in: the pulse of an engine. Goes out: reports, from a thread of its own, since the engine's
may be deep in one pass. Says nothing while nothing gets on, so that a hung engine is a silent one.
"""

import threading
from collections.abc import Callable

from daemon.engine.activity import Activity
from daemon.messages.reports import BatchCounts, Heartbeat, LoadedModel

_EVERY_S = 1.0


class Beat:
    """Reports while the engine gets on.

    Args:
        activity: Of the engine.
        residents: Says which models are loaded; from any thread.
        report: Is told; from this thread.
        every_s: Between two looks at the pulse, in seconds.
    """

    def __init__(
        self,
        activity: Activity,
        loaded_models: Callable[[], tuple[LoadedModel, ...]],
        report: Callable[[Heartbeat], None],
        every_s: float = _EVERY_S,
    ) -> None:
        self._activity = activity
        self._loaded_models = loaded_models
        self._report = report
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="beat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with a last report of what has not been told."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every_s)
            work, progress = self._activity.collect()
            if progress or work != BatchCounts():
                self._report(Heartbeat(work, self._loaded_models()))
