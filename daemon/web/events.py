"""Tells open pages that something has changed, by server-sent events.

One thread looks about once a second, and only while somebody listens. What changed is not sent:
a page asks for what it shows.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from daemon.config.station import Station

MAX_LISTENERS = 64
"""Pages that are told at a time; more have to be loaded again to see what is new."""

_LOOK_S = 1.0
_PING_S = 20.0
"""Seconds after which a silent stream says that it lives, so that proxies leave it open."""


Mark = tuple[tuple[int, int, int], ...]
"""States of the files that say what the daemon does; two that are equal mean no change."""


def look(station: Station) -> Mark:
    """What there is now: each commit of the ledger changes the file of its log."""
    log = station.ledger.with_name(f"{station.ledger.name}-wal")
    paths = (station.ledger, log, station.lock, station.paused)
    return tuple(map(_state_of, (*paths, station.loaded_models, station.trouble)))


def _state_of(path: Path) -> tuple[int, int, int]:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return 0, 0, 0


class EventHub:
    """Everybody who listens."""

    def __init__(self, look: Callable[[], Mark], look_s: float = _LOOK_S) -> None:
        """Begin with nobody.

        Args:
            look: Says what there is now; called in a thread.
            look_s: Seconds between two looks.
        """
        self._look = look
        self._look_s = look_s
        self._listeners: dict[asyncio.Queue[None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    async def listen(self) -> AsyncIterator[bytes]:
        """Events as they go over the wire, until the reader goes away."""
        mine: asyncio.Queue[None] = asyncio.Queue(1)
        if not self._join(mine):
            yield b"retry: 60000\nevent: full\ndata: {}\n\n"
            return
        try:
            yield b"retry: 3000\n\n"
            while not self._closing:
                try:
                    await asyncio.wait_for(mine.get(), _PING_S)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                yield b"event: changed\ndata: {}\n\n"
        finally:
            with self._lock:
                self._listeners.pop(mine, None)

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake.set()

    def _join(self, mine: "asyncio.Queue[None]") -> bool:
        with self._lock:
            if len(self._listeners) >= MAX_LISTENERS or self._closing:
                return False
            self._listeners[mine] = asyncio.get_running_loop()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        return True

    def _run(self) -> None:
        last: Mark | None = None
        while True:
            with self._lock:
                if self._closing or not self._listeners:
                    self._thread = None
                    return
            mark = self._look()
            if last is not None and mark != last:
                self._tell()
            last = mark
            self._wake.wait(self._look_s)

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for listener, loop in listeners:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_put, listener)


def _put(listener: "asyncio.Queue[None]") -> None:
    """One event that waits says as much as several."""
    with contextlib.suppress(asyncio.QueueFull):
        listener.put_nowait(None)
