"""What the service manager is told: ready, alive, reloading, stopping.

Comes in: what the daemon's loop has just done, with the time. Goes out: datagrams of sd_notify(3)
to the socket that systemd names, nothing where it names none; for health checks of containers, the
time of change of a file. It never restarts anything: a loop or
a worker that stands still is simply no longer reported alive, and systemd sees to it.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.service.monitoring.health import Health

_EXTENSION_S = 60
_EVERY_S = 5.0


class SystemdNotifier:
    """Speaks to the service manager for one daemon.

    Args:
        address: Of the manager's datagram socket: a path, or "@" and an abstract name; "" for none.
        stall_s: A worker that has work and says nothing for so long is not alive, seconds.
        alive_file: Touched while the daemon is alive, or None.

    Attributes:
        vitals: What is known of the loop and the worker.
    """

    def __init__(
        self, address: str = "", *, stall_s: float = 900, alive_file: Path | None = None
    ) -> None:
        self.health = Health(stall_s)
        self._address = address
        self._alive_file = alive_file
        self._due_at = 0.0
        self._status = ""

    def heard(self, now: float, *, ready: bool = False, died: bool = False) -> None:
        """The worker said something, or ended; see `Vitals.heard`. Once ready, we are up."""
        first = ready and not self.health.ready
        self.health.heard(now, ready=ready, died=died)
        if first:
            self._send("READY=1")

    def advanced(self, now: float, *, working: bool) -> None:
        """The loop has got something done; cheap enough for every file it hashes.

        Args:
            now: Monotonic seconds.
            working: The worker has orders, so that it must be heard of.
        """
        self.health.turned(now, working=working)
        if now < self._due_at:
            return
        self._due_at = now + _EVERY_S
        if not self.health.why_not_alive(now):
            extension = f"EXTEND_TIMEOUT_USEC={_EXTENSION_S * 10**6}"
            self._alive("WATCHDOG=1" if self.health.ready else extension)

    def status(self, text: str) -> None:
        """Say in a line what the daemon is doing, if that is news."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    @contextlib.contextmanager
    def reloading(self, now: float) -> Iterator[None]:
        """While recipes are read anew. Before the service is up this says nothing.

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
        """The daemon ends within so many seconds, whatever TimeoutStopSec says."""
        self.health.stopping = True
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _alive(self, message: str) -> None:
        self._send(message)
        if self._alive_file is not None:
            # Where it cannot be made the health check says so; the daemon has its work to do.
            with contextlib.suppress(OSError):
                self._alive_file.touch()

    def _send(self, message: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that cannot listen must not end the daemon; its own timeouts see to the rest.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(1)
            line.sendto(message.encode(errors="replace"), name)


def systemd_notifier(
    environment: Mapping[str, str], stall_s: float, alive_file: Path | None = None
) -> SystemdNotifier:
    """The service manager that started this process, if one did and wants to be told.

    Args:
        environment: Of this process; NOTIFY_SOCKET names the manager's socket.
        stall_s: The setting of that name, seconds.
        alive_file: The setting of that name.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    return SystemdNotifier(address, stall_s=stall_s, alive_file=alive_file)
