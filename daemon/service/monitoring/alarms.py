"""Alarms: what of the daemon's work is worth waking a person for.

Comes in: failures, deaths of workers and the state of the disk, with the time. Goes out: messages,
through the function given at construction. Decides nothing else, and sends nothing itself.
"""

from collections import deque
from collections.abc import Callable

Tell = Callable[[str, str, str], None]
"""Told of a kind, a title and a text."""

_HOUR_S = 3600.0
_DEATHS = 3
"""Deaths of workers in an hour: one photograph's fault is two or three, then it is found."""


class Alarms:
    """Watches one daemon.

    Args:
        tell: Sends, or holds back while it is quiet.
        station: Name of the station, for the messages.
        failures_per_hour: More than so many in an hour are worth a message.
    """

    def __init__(self, tell: Tell, station: str, failures_per_hour: int) -> None:
        self._tell = tell
        self._station = station
        self._failures_per_hour = failures_per_hour
        self._failures: deque[float] = deque(maxlen=failures_per_hour + 1)
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._full = False

    def failed(self, jobs: int, now: float) -> None:
        """So many jobs ended in failed/; `now` in monotonic seconds."""
        if self._too_many(self._failures, jobs, now):
            self._tell(
                "failures",
                f"{self._station}: photographs fail",
                f"More than {self._failures_per_hour} photographs failed within an hour "
                "(notify_failures_per_hour). `restored status` lists them with their reasons; "
                "`restored retry` puts them back.",
            )

    def died(self, reason: str, now: float) -> None:
        """A worker ended unasked; `now` in monotonic seconds."""
        if self._too_many(self._deaths, 1, now):
            self._tell(
                "worker-deaths",
                f"{self._station}: the worker keeps dying",
                f"It died {_DEATHS} times within an hour. The last time: {reason}",
            )

    def disk(self, *, full: bool) -> None:
        """Whether the disk is full now."""
        if full and not self._full:
            self._tell(
                "disk-full",
                f"{self._station}: the disk is full",
                "No photograph is taken in until there is space; then work goes on by itself.",
            )
        self._full = full

    def _too_many(self, times: deque[float], events: int, now: float) -> bool:
        """Whether the window is full of events of one hour; it starts anew once that was told."""
        told = False
        for _ in range(events):
            times.append(now)
            if len(times) == times.maxlen and now - times[0] < _HOUR_S:
                times.clear()
                told = True
        return told
