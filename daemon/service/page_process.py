"""The process of the page, which the daemon starts beside its work where `web_port` is set.

The loop never waits for it: it starts one, looks whether it lives, and starts another one later if
it does not, or if a signal has stopped it. What the page writes to its log is the daemon's.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import structlog

from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.system.kernel_kills import is_stopped

_log = structlog.get_logger()

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 300.0
"""Seconds until a page that ended is started again; the wait doubles while it does not stay."""

_STAYS_S = 60.0
"""Seconds after which a page that ends is no longer one that does not start."""

_STOPPED_S = 30.0
"""Seconds after which a page that a signal has stopped is ended, so that another one answers."""

_END_S = 5.0
"""Seconds that the page gets to end with the daemon."""


class PageProcess:
    """Keeps one page running; owned by the daemon's loop."""

    def __init__(
        self,
        command: Sequence[str],
        start: Callable[[Sequence[str]], "subprocess.Popen[bytes]"] | None = None,
        stopped: Callable[[int], bool] = is_stopped,
    ) -> None:
        """Start nothing before the first turn.

        Args:
            command: Program and arguments; none: there is no page.
            start: Starts a process.
            stopped: Whether a signal has stopped the process with an id.
        """
        self._command = command
        self._start = start or _started
        self._is_stopped = stopped
        self._stopped_since: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0.0
        self._wait_s = _FIRST_WAIT_S
        self._due_at = 0.0

    def turn(self, now: float) -> None:
        """Start the page if it does not run and its time has come; `now` in monotonic seconds."""
        if not self._command:
            return
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                self._end_if_stopped(self._process, now)
                return
            self._ended(code, now)
        if now < self._due_at:
            return
        try:
            self._process = self._start(self._command)
        except OSError as error:
            self._wait(now)
            _log.warning("page_not_started", why=str(error), again_in_s=self._due_at - now)
            return
        self._began_at = now
        _log.info("page_started", process=self._process.pid)

    def close(self) -> None:
        """End the page; one that does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        process.kill()
        process.wait()

    def _end_if_stopped(self, process: "subprocess.Popen[bytes]", now: float) -> None:
        """Kill a page that stays stopped: it holds its port, and answers nobody."""
        if not self._is_stopped(process.pid):
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = now
        elif now - self._stopped_since >= _STOPPED_S:
            self._stopped_since = None
            _log.warning("page_stopped", process=process.pid, stopped_s=_STOPPED_S)
            process.kill()

    def _ended(self, code: int, now: float) -> None:
        self._process = self._stopped_since = None
        if now - self._began_at >= _STAYS_S:
            self._wait_s = _FIRST_WAIT_S
        self._wait(now)
        _log.warning("page_ended", code=code, again_in_s=round(self._due_at - now))

    def _wait(self, now: float) -> None:
        self._due_at = now + self._wait_s
        self._wait_s = min(_LONGEST_WAIT_S, 2 * self._wait_s)


def page_command(station: Station, settings: Settings) -> tuple[str, ...]:
    """The command that serves the page of a station; none where `web_port` is not set."""
    if settings.web_port is None:
        return ()
    where = ("--station", os.fspath(station.root))
    return (sys.executable, "-m", "daemon", *where, "web", "--parent", str(os.getpid()))


def _started(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
