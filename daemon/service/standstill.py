"""Tells people that the daemon's loop stands still, and for which disk it waits.

The loop cannot tell that itself. Before it uses a folder it has asked whether the disk answers, but
a share may fail at any moment, and a system call on it ends only when the share is back.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from daemon.config.station import Station
from daemon.service.monitoring.health import Health
from daemon.service.status_publisher import read_trouble
from daemon.system.disk_probe import DiskProbe
from daemon.system.files import shown
from daemon.system.json_files import write_whole

_log = structlog.get_logger()

_LOOK_S = 5.0
"""Seconds between looks at the loop."""


class StandstillWatch:
    """Looks at the loop of one daemon from a thread of its own."""

    def __init__(
        self, station: Station, folders: Sequence[Path], health: Health, disks: DiskProbe
    ) -> None:
        """Prepare; `watching` begins.

        Args:
            station: Gets the message, which `status` shows.
            folders: Where the loop reads and writes.
            health: Knows when the loop advanced.
            disks: Says which folders do not answer.
        """
        self._station = station
        self._folders = folders
        self._health = health
        self._disks = disks
        self._told = ""
        self._ended = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the block ends."""
        thread = threading.Thread(target=self._run, name="standstill-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(_LOOK_S)

    def look(self, now: float, utc: float) -> None:
        """Tell of a standstill once, and of its end; `now` is monotonic, `utc` since the epoch."""
        stood_s = self._health.stands_still_s(now)
        if stood_s and not self._told:
            silent = self._disks.silent(self._folders)
            names = ", ".join(shown(folder) for folder in silent)
            many = "their disks do" if len(silent) > 1 else "its disk does"
            where = f"for {names}: {many} not answer" if silent else "for something unknown"
            self._told = f"the daemon stands still and waits {where}"
            _log.error("loop_stands_still", why=self._told, seconds=round(stood_s))
            with contextlib.suppress(OSError):
                write_whole(self._station.trouble, {"what": self._told, "since": utc - stood_s})
        elif self._told and not stood_s:
            _log.info("loop_goes_on")
            self._forget()

    def _forget(self) -> None:
        trouble = read_trouble(self._station)
        if trouble is not None and trouble.what == self._told:
            with contextlib.suppress(OSError):
                self._station.trouble.unlink(missing_ok=True)
        self._told = ""

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                self.look(time.monotonic(), time.time())
            except Exception:  # whatever it is, it must not end the watch
                _log.exception("standstill_watch_failed")
        if self._told:
            self._forget()
