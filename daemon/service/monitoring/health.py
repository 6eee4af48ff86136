"""Health of the daemon: whether its loop turns, its worker makes progress, and it is ready.

systemd's watchdog, `/livez` and `/readyz` go by the same answers. It reads no clock and restarts
nothing.
"""

from collections.abc import Mapping

from daemon.engine.activity import MAX_LOAD_S

LOOP_S = 300.0
"""Seconds the loop may take for one turn; the same number is WatchdogSec in the systemd units."""

SILENT_S = 60.0
"""Seconds of silence after which a worker is no longer called ready."""

_IDLE_S = 30.0
"""Seconds of silence that are no sign in a worker without tasks: it says something every 10 s."""


class Health:
    """Updated by the loop, read by any thread.

    Args:
        stall_s: Seconds of silence after which a worker counts as hung.

    Attributes:
        ready: A worker was ready at least once.
        loaded: The present worker has loaded its models.
        stopping: The daemon is about to end.
        held_up: Why nothing is started for now, or "".
        held_recipes: By name, why a recipe is held back; the others go on.
    """

    def __init__(self, stall_s: float = 900) -> None:
        self.ready = self.loaded = self.stopping = False
        self.held_up = ""
        self.held_recipes: Mapping[str, str] = {}
        self._stall_s = stall_s
        self._began_at: float | None = None
        self._advanced_at = self._heard_at = self._reported_at = 0.0
        self._working = False

    def worker_reported(self, now: float, *, ready: bool = False, died: bool = False) -> None:
        """Record that the worker reported something, or ended.

        Args:
            now: Monotonic seconds.
            ready: It has loaded its models.
            died: It ended; the next one has to load first.
        """
        self._heard_at = self._reported_at = now
        self.loaded = (self.loaded or ready) and not died
        self.ready |= ready

    def loop_advanced(self, now: float, *, working: bool) -> None:
        """Record that the loop made progress.

        Args:
            now: Monotonic seconds.
            working: The worker has tasks, so it must report.
        """
        if self._began_at is None:
            self._began_at = now
        self._advanced_at = now
        self._working = working
        if not working:
            self._heard_at = now

    def why_not_alive(self, now: float) -> str:
        """The part that has stopped making progress, or "".

        Args:
            now: Monotonic seconds.
        """
        if self._began_at is None:
            return ""
        if now - self._advanced_at >= LOOP_S:
            return f"the loop has stood still for {now - self._advanced_at:.0f} s"
        if not self.ready:
            late = now - self._began_at >= MAX_LOAD_S
            return f"no worker was ready within {MAX_LOAD_S:g} s" if late else ""
        return self._without_step(now, self._limit_s)

    def why_stalled(self, now: float) -> str:
        """Why the worker must be replaced: it does not get on, or was stopped while idle; or "".

        Args:
            now: Monotonic seconds.
        """
        return self._without_step(now, self._limit_s) or self._silent_for(now, self._limit_s)

    @property
    def _limit_s(self) -> float:
        return self._stall_s if self.loaded else MAX_LOAD_S

    def _silent_for(self, now: float, limit_s: float) -> str:
        silent_s = now - self._reported_at
        if not self.loaded or self._working or silent_s < max(limit_s, _IDLE_S):
            return ""
        return f"the idle worker has said nothing for {silent_s:.0f} s"

    def _without_step(self, now: float, limit_s: float) -> str:
        silent_s = now - self._heard_at
        if self._began_at is None or silent_s < limit_s:
            return ""
        return f"the worker has taken no step for {silent_s:.0f} s"

    def why_not_ready(self, *, full: bool, now: float | None = None) -> str:
        """The reason why no new photographs are restored, or "".

        Args:
            full: The disk is full.
            now: Monotonic seconds; None leaves out whether the worker gets on.
        """
        silent = ""
        if self.loaded and now is not None:
            limit_s = min(SILENT_S, self._stall_s)
            silent = self._without_step(now, limit_s) or self._silent_for(now, limit_s)
        reasons = {
            "the daemon is stopping": self.stopping,
            "the worker loads its models": not self.loaded,
            silent: bool(silent),
            self.held_up: bool(self.held_up),
            "the disk is full": full,
        }
        return "; ".join(reason for reason, holds in reasons.items() if holds)
