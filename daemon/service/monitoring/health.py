"""Health of the daemon: whether its loop turns, its workers make progress, and it is ready.

systemd's watchdog, `/livez` and `/readyz` go by the same answers. It reads no clock and restarts
nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from daemon.engine.activity import MAX_LOAD_S
from daemon.messages.reports import ONLY_WORKER

LOOP_S = 300.0
"""Seconds the loop may take for one turn; the same number is WatchdogSec in the systemd units."""

SILENT_S = 60.0
"""Seconds of silence after which a worker is no longer called ready."""

STANDS_STILL_S = 30.0
"""Seconds for one turn of the loop after which people are told that it stands still."""

_IDLE_S = 30.0
"""Seconds of silence that are no sign in a worker without tasks: it says something every 10 s."""


@dataclass
class _WorkerHealth:
    """When something was heard of one worker, in monotonic seconds.

    Attributes:
        loaded: It has loaded its models.
        working: It has tasks, or is to be ready soon, so it must report.
        heard_at: It last reported, or had nothing to do.
        reported_at: It last reported.
    """

    loaded: bool = False
    working: bool = False
    heard_at: float = 0.0
    reported_at: float = 0.0


class Health:
    """Updated by the loop, read by any thread.

    Args:
        stall_s: Seconds of silence after which a worker counts as hung.

    Attributes:
        ready: A worker was ready at least once.
        stopping: The daemon is about to end.
        held_up: Why nothing is started for now, or "".
        held_recipes: By name, why a recipe is held back; the others go on.
    """

    def __init__(self, stall_s: float = 900) -> None:
        self.ready = self.stopping = False
        self.held_up = ""
        self.held_recipes: Mapping[str, str] = {}
        self._stall_s = stall_s
        self._began_at: float | None = None
        self._advanced_at = 0.0
        self._workers = {ONLY_WORKER: _WorkerHealth()}

    @property
    def loaded(self) -> bool:
        """Whether a worker that is there has loaded its models."""
        return any(one.loaded for one in list(self._workers.values()))

    def worker_loaded(self) -> dict[str, bool]:
        """Whether each worker has loaded its models, by name; any thread may call it."""
        return {name: one.loaded for name, one in list(self._workers.items())}

    def worker_reported(
        self, now: float, *, ready: bool = False, died: bool = False, worker: str = ONLY_WORKER
    ) -> None:
        """Record that a worker reported something, or ended.

        Args:
            now: Monotonic seconds.
            ready: It has loaded its models.
            died: It ended; the next one has to load first.
            worker: Its name.
        """
        one = self._workers.setdefault(worker, _WorkerHealth())
        one.heard_at = one.reported_at = now
        one.loaded = (one.loaded or ready) and not died
        self.ready |= ready

    def loop_advanced(self, now: float, *, working: bool | Collection[str]) -> None:
        """Record that the loop made progress.

        Args:
            now: Monotonic seconds.
            working: Workers that have tasks or are being started, so they must report; True for
                all of them.
        """
        if self._began_at is None:
            self._began_at = now
        self._advanced_at = now
        for name, one in self._workers.items():
            one.working = working if isinstance(working, bool) else name in working
            if not one.working:
                one.heard_at = now

    def stands_still_s(self, now: float) -> float:
        """Seconds for which the loop has stood still, in monotonic `now`; 0 while it turns."""
        stood_s = now - self._advanced_at
        return stood_s if self._began_at is not None and stood_s >= STANDS_STILL_S else 0.0

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
        there = [one for one in list(self._workers.values()) if one.loaded or one.working]
        whys = [self._without_step(one, now, self._limit_s(one)) for one in there]
        return whys[0] if whys and all(whys) else ""

    def stalled(self, now: float) -> dict[str, str]:
        """Workers that must be replaced, each with why: no progress, or stopped while idle.

        Args:
            now: Monotonic seconds.
        """
        whys = {name: self._why_stalled(one, now) for name, one in self._workers.items()}
        return {name: why for name, why in whys.items() if why}

    def _why_stalled(self, one: _WorkerHealth, now: float) -> str:
        limit_s = self._limit_s(one)
        return self._without_step(one, now, limit_s) or _silent_for(one, now, limit_s)

    def _limit_s(self, one: _WorkerHealth) -> float:
        return self._stall_s if one.loaded else MAX_LOAD_S

    def _without_step(self, one: _WorkerHealth, now: float, limit_s: float) -> str:
        silent_s = now - one.heard_at
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
        if now is not None:
            stood_s = self.stands_still_s(now)  # it hears no worker then
            still = f"the loop has stood still for {stood_s:.0f} s"
            silent = still if stood_s >= SILENT_S else self._why_all_silent(now)
        reasons = {
            "the daemon is stopping": self.stopping,
            "the worker loads its models": not self.loaded,
            silent: bool(silent),
            self.held_up: bool(self.held_up),
            "the disk is full": full,
        }
        return "; ".join(reason for reason, holds in reasons.items() if holds)

    def _why_all_silent(self, now: float) -> str:
        """Why no worker that has loaded its models gets on, or ""."""
        limit_s = min(SILENT_S, self._stall_s)
        whys = [
            self._without_step(one, now, limit_s) or _silent_for(one, now, limit_s)
            for one in list(self._workers.values())
            if one.loaded
        ]
        return whys[0] if whys and all(whys) else ""


def _silent_for(one: _WorkerHealth, now: float, limit_s: float) -> str:
    silent_s = now - one.reported_at
    if not one.loaded or one.working or silent_s < max(limit_s, _IDLE_S):
        return ""
    return f"the idle worker has said nothing for {silent_s:.0f} s"
