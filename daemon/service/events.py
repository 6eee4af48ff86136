"""The queue of everything that wakes the daemon's loop.

Reports of an executor, wake-ups of watchers and signals of the process arrive from any thread; the
loop takes all of them at once. No report is ever dropped.
"""

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.messages.reports import Report


@dataclass(frozen=True)
class LoopEvents:
    """Events since the loop last looked.

    Attributes:
        reports: Reports of the executor, in their order.
        reload: SIGHUP came.
        stop: SIGTERM or SIGINT came.
    """

    reports: tuple[Report, ...]
    reload: bool
    stop: bool


class EventQueue:
    """Filled by any thread, emptied by the loop."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Report | int | None] = queue.SimpleQueue()

    def put(self, report: Report) -> None:
        """Add a report."""
        self._items.put(report)

    def wake(self) -> None:
        """End the loop's sleep without an event."""
        self._items.put(None)

    def take(self, wait_s: float) -> LoopEvents:
        """Sleep until something comes, at most `wait_s` seconds, and take all of it."""
        items: list[Report | int | None] = []
        with contextlib.suppress(queue.Empty):
            items.append(self._items.get(timeout=max(0.0, wait_s)))
            while True:
                items.append(self._items.get_nowait())
        signals = {item for item in items if isinstance(item, int)}
        reports = tuple(i for i in items if i is not None and not isinstance(i, int))
        return LoopEvents(reports, signal.SIGHUP in signals, bool(signals - {signal.SIGHUP}))

    @contextlib.contextmanager
    def receiving_signals(self) -> Iterator[None]:
        """Receive the signals of this process here; `SimpleQueue.put` is safe in a handler."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {s: signal.signal(s, lambda number, _: self._items.put(number)) for s in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
