"""Decides which events of the daemon are worth a message to people.

It watches failed jobs, dying workers and the disk, and hands messages to a function; it sends
nothing itself and reads no clock.
"""

from collections import deque
from collections.abc import Callable

from daemon.system.text import paragraph

Notify = Callable[[str, str, str], None]
"""(kind, title, text) -> None: sends a message to people; see `Notifier.notify`."""

_HOUR_S = 3600.0

_DEATHS = 3
"""Deaths of workers in an hour that are worth a message.

One bad photograph causes two or three; by then it is found and set aside.
"""


class Alarms:
    """Turns the events of one daemon into messages.

    Args:
        notify: Sends a message, or holds it back during a quiet period.
        station: Name of the station, for the messages.
        failures_per_hour: Failed jobs in an hour; one more is worth a message.
    """

    def __init__(self, notify: Notify, station: str, failures_per_hour: int) -> None:
        self._notify = notify
        self._station = station
        self._failures_per_hour = failures_per_hour
        self._failures: deque[float] = deque(maxlen=failures_per_hour + 1)
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._full = False

    def jobs_failed(self, jobs: int, now: float) -> None:
        """Record jobs that ended in failed/; `now` in monotonic seconds."""
        if self._too_many(self._failures, jobs, now):
            self._notify(
                "failures",
                f"{self._station}: photographs fail",
                f"More than {self._failures_per_hour} photographs failed within an hour "
                "(notify_failures_per_hour). `restored status` lists them with their reasons; "
                "`restored retry` puts them back.",
            )

    def worker_died(self, reason: str, now: float) -> None:
        """Record a worker that ended by itself; `now` in monotonic seconds."""
        if self._too_many(self._deaths, 1, now):
            self._notify(
                "worker-deaths",
                f"{self._station}: the worker keeps dying",
                f"It died {_DEATHS} times within an hour. The last time: {paragraph(reason)}",
            )

    def disk_checked(self, *, full: bool) -> None:
        """Record whether the disk is full now; only the change to full is a message."""
        if full and not self._full:
            self._notify(
                "disk-full",
                f"{self._station}: the disk is full",
                "No photograph is taken in until there is space; then work goes on by itself.",
            )
        self._full = full

    def _too_many(self, times: deque[float], events: int, now: float) -> bool:
        """Add events; whether that makes too many in an hour. If so, counting starts again."""
        too_many = False
        for _ in range(events):
            times.append(now)
            if len(times) == times.maxlen and now - times[0] < _HOUR_S:
                times.clear()
                too_many = True
        return too_many
