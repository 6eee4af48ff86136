"""Reports to the service manager: ready, alive, reloading, stopping (sd_notify(3)).

Messages go as datagrams to the socket that systemd names in NOTIFY_SOCKET; without one, nowhere.
For health checks of containers, a file is touched while the daemon is alive. Nothing is restarted
here: a loop or a worker that hangs is no longer reported alive, and systemd restarts the service.
"""

import contextlib
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from daemon.messages.reports import ONLY_WORKER
from daemon.service.monitoring.health import Health
from daemon.system.text import printable

_EXTEND_S = 60
"""Seconds of start-up time asked for at a time, while models load."""

_INTERVAL_S = 5.0
"""Seconds between two reports that the daemon is alive."""


class SystemdNotifier:
    """Reports to the service manager for one daemon.

    Args:
        socket_name: Datagram socket of the manager: a path, or "@" and an abstract name; ""
            for none.
        stall_s: Seconds of silence after which a worker that has tasks counts as hung.
        alive_file: Touched while the daemon is alive, or None.

    Attributes:
        health: What is known of the loop and the worker.
    """

    def __init__(
        self, socket_name: str = "", *, stall_s: float = 900, alive_file: Path | None = None
    ) -> None:
        self.health = Health(stall_s)
        self._socket_name = socket_name
        self._alive_file = alive_file
        self._due_at = 0.0
        self._status = ""

    def worker_reported(
        self, now: float, *, ready: bool = False, died: bool = False, worker: str = ONLY_WORKER
    ) -> None:
        """Record a report of a worker, or its end; the first that is ready starts the service."""
        first = ready and not self.health.ready
        self.health.worker_reported(now, ready=ready, died=died, worker=worker)
        if first:
            self._send("READY=1")

    def loop_advanced(self, now: float, *, working: bool | Collection[str]) -> None:
        """Record that the loop made progress; cheap enough to call in every turn.

        Args:
            now: Monotonic seconds.
            working: As in `Health.loop_advanced`.
        """
        self.health.loop_advanced(now, working=working)
        if now < self._due_at:
            return
        self._due_at = now + _INTERVAL_S
        if not self.health.why_not_alive(now):
            extension = f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 10**6}"
            self._alive("WATCHDOG=1" if self.health.ready else extension)

    def status(self, text: str) -> None:
        """Show a line about what the daemon is doing in `systemctl status`, if it has changed."""
        if text != self._status:
            self._status = text
            # A line break would end the status; what follows would be read as another message.
            self._send(f"STATUS={printable(text)}")

    @contextlib.contextmanager
    def reloading(self, now: float) -> Iterator[None]:
        """Report that recipes are being read again; silent before the service is ready.

        Args:
            now: Monotonic seconds.
        """
        ready = self.health.ready
        if ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}")
        try:
            yield
        finally:
            if ready:
                self._send("READY=1")

    def stopping(self, seconds: float) -> None:
        """Report that the daemon ends within `seconds`, whatever TimeoutStopSec is."""
        self.health.stopping = True
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _alive(self, message: str) -> None:
        self._send(message)
        if self._alive_file is not None:
            # If it cannot be made, the health check fails and says so; the work goes on.
            with contextlib.suppress(OSError):
                self._alive_file.touch()

    def _send(self, message: str) -> None:
        if not self._socket_name:
            return
        name = (
            "\0" + self._socket_name[1:] if self._socket_name.startswith("@") else self._socket_name
        )
        # A manager that does not listen must not end the daemon; its timeouts take care of it.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(1)
            line.sendto(message.encode(errors="replace"), name)


def systemd_notifier(
    environment: Mapping[str, str], stall_s: float, alive_file: Path | None = None
) -> SystemdNotifier:
    """A notifier for the service manager that started this process, if one did.

    Args:
        environment: Environment variables; NOTIFY_SOCKET names the manager's socket.
        stall_s: The setting `stall_s`, in seconds.
        alive_file: The setting `alive_file`.
    """
    socket_name = environment.get("NOTIFY_SOCKET", "")
    return SystemdNotifier(socket_name, stall_s=stall_s, alive_file=alive_file)
