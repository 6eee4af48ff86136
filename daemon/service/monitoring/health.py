"""Signs of life: whether the loop turns, the worker gets on, and the service is ready.

Comes in: what has just happened, with the time, from the loop. Goes out: whether that is life, and
why not; for the service manager and for `/livez` and `/readyz` alike. Reads no clock, ends nothing.
"""

from daemon.engine.activity import MAX_LOAD_S

LOOP_S = 300.0
"""So long the loop may take for one file; it is the units' WatchdogSec."""


class Health:
    """Kept by the loop, read by any thread.

    Args:
        stall_s: A worker that has work and says nothing for so long is not alive, in seconds.

    Attributes:
        ready: A worker has loaded its models once.
        loaded: The worker there is now has loaded its models.
        stopping: The daemon was told to end.
    """

    def __init__(self, stall_s: float = 900) -> None:
        self.ready = self.loaded = self.stopping = False
        self._stall_s = stall_s
        self._began_at: float | None = None
        self._turned_at = self._heard_at = 0.0

    def heard(self, now: float, *, ready: bool = False, died: bool = False) -> None:
        """The worker said something, or ended.

        Args:
            now: Monotonic seconds.
            ready: It has loaded its models.
            died: It ended, so that another one loads.
        """
        self._heard_at = now
        self.loaded = (self.loaded or ready) and not died
        self.ready |= ready

    def turned(self, now: float, *, working: bool) -> None:
        """The loop has got something done.

        Args:
            now: Monotonic seconds.
            working: The worker has orders, so that it must be heard of.
        """
        if self._began_at is None:
            self._began_at = now
        self._turned_at = now
        if not working:
            self._heard_at = now

    def why_not_alive(self, now: float) -> str:
        """What stands still, or "".

        Args:
            now: Monotonic seconds.
        """
        if self._began_at is None:
            return ""
        if now - self._turned_at >= LOOP_S:
            return f"the loop has stood still for {now - self._turned_at:.0f} s"
        if not self.ready:
            late = now - self._began_at >= MAX_LOAD_S
            return f"no worker was ready within {MAX_LOAD_S:g} s" if late else ""
        silent_s = now - self._heard_at
        if silent_s >= (self._stall_s if self.loaded else MAX_LOAD_S):
            return f"the worker has taken no step for {silent_s:.0f} s"
        return ""

    def why_not_ready(self, *, full: bool) -> str:
        """What keeps new photographs from being worked on, or "".

        Args:
            full: The disk is.
        """
        reasons = {
            "the daemon is stopping": self.stopping,
            "the worker loads its models": not self.loaded,
            "the disk is full": full,
        }
        return "; ".join(reason for reason, holds in reasons.items() if holds)
