"""Deaths of workers: whether a photograph, the machine or somebody outside is at fault.

When a worker dies with several photographs in flight, nobody knows which of them it was. They
become suspects: each half of them runs by itself, and halves again, until one that kills is alone.
Only such a photograph is ever at fault, and only if a worker in which it died does other work well,
or nothing else was tried. If several different ones die alone in turn, it is the worker or the
machine.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from daemon.messages.reports import ONLY_WORKER
from daemon.system.clock import is_over

_LONGEST_WAIT_S = 600.0
"""Longest wait in seconds before the worker is tried again; the wait doubles up to that."""

_GIVES_UP = 5
"""Waits in a row after which `once` leaves the rest to the next run."""

T = TypeVar("T")


@dataclass
class _Suspect:
    """A photograph that was in flight when a worker died.

    Attributes:
        lived_before: Tasks that had ended, by worker, before it became a suspect.
        deaths: Workers that died by themselves while it was alone.
        died_in: Names of the workers that ended while it was alone in them.
    """

    lived_before: Counter[str]
    deaths: int = 0
    died_in: set[str] = field(default_factory=set)


class DeathWatch:
    """Judges deaths of workers; it remembers those since the daemon's start.

    Args:
        attempts: Workers that must die with a photograph alone before it is at fault.
        retry_s: Seconds to wait after several photographs died in turn; it doubles each time.
    """

    def __init__(self, attempts: int, retry_s: float) -> None:
        self._attempts = attempts
        self._retry_s = retry_s
        self._lived: Counter[str] = Counter()
        self._suspects: dict[int, _Suspect] = {}
        self._in_turn: set[int] = set()
        self._killed_in_turn = 0
        self._waits = 0
        self._wait_s = self._until = 0.0
        self._why = ""

    @property
    def needs_control(self) -> bool:
        """Whether other work should show next that the worker does it well."""
        return bool(self._in_turn)

    def lived(self, row: int, worker: str = ONLY_WORKER) -> None:
        """Record that a task ended and its worker lived: the machine is not at fault."""
        self._lived[worker] += 1
        self._suspects.pop(row, None)
        self._in_turn.clear()
        self._killed_in_turn = self._waits = 0
        self._until, self._why = 0.0, ""

    def suspect(self, rows: Iterable[int]) -> None:
        """Record that a worker died while these jobs were in flight."""
        for row in rows:
            self._suspects.setdefault(row, _Suspect(self._lived.copy()))

    def died_alone(
        self, row: int, why: str, now: float, *, outside: bool, worker: str = ONLY_WORKER
    ) -> None:
        """Record that a worker died while this job alone was in flight.

        Args:
            row: The job.
            why: How the worker ended.
            now: UTC seconds since the epoch.
            outside: Something outside of the worker ended it, which is nobody's fault.
            worker: Its name.
        """
        self.suspect([row])
        self._suspects[row].deaths += not outside
        self._suspects[row].died_in.add(worker)
        self._killed_in_turn += outside
        if outside or not self._is_controlled(row):
            self._in_turn.add(row)
        if len(self._in_turn) > 1 or self._killed_in_turn >= self._attempts:
            self._waits += 1
            self._wait_s = min(_LONGEST_WAIT_S, self._retry_s * 2 ** (self._waits - 1))
            self._until = now + self._wait_s
            self._why = (
                "the worker dies whatever it works on, so no photograph fails for it; look at the "
                f"device, at memory, and who kills it; the last time: {why}"
            )

    def is_at_fault(self, row: int, deaths: int) -> bool:
        """Whether a photograph has proved to kill workers.

        Args:
            row: Its job.
            deaths: Workers that have died with it alone, also before the daemon's start.
        """
        if deaths < self._attempts:
            return False
        if self._is_controlled(row):
            return True
        # Nothing else was tried, so that only its own deaths can tell.
        return self._in_turn == {row} and self._suspects[row].deaths >= self._attempts

    def why_waiting(self, now: float) -> str:
        """Why nothing is started for now, or ""; `now` in UTC seconds since the epoch."""
        if not self._why or is_over(self._until, now, self._wait_s):
            return ""
        return f"{self._why}; it is tried again after {self._wait_s:.0f} s"

    @property
    def why_hopeless(self) -> str:
        """Why it is no use to wait for the worker any longer, or ""."""
        return self._why if self._waits >= _GIVES_UP else ""

    def _is_controlled(self, row: int) -> bool:
        """Whether a worker in which this job died lived through other work since it is a suspect.

        What another worker did proves nothing: the fault may be that of one worker's device.
        """
        suspect = self._suspects.get(row)
        return suspect is not None and any(
            self._lived[worker] > suspect.lived_before[worker] for worker in suspect.died_in
        )


def halves(suspects: Sequence[T]) -> list[Sequence[T]]:
    """Divide suspects into the two groups that run next, each by itself."""
    middle = (len(suspects) + 1) // 2
    return [half for half in (suspects[:middle], suspects[middle:]) if half]
