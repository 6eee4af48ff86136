"""The pulse of an engine: what it has done since it was last asked, and whether it gets on.

Comes in: passes, steps and refusals, as they happen, from the engine's threads. Goes out: counts,
and whether any of it is progress. Touches no device; a step that waits for ever has no pulse.
"""

import contextlib
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from daemon.messages.reports import BATCH_SIZE_BOUNDS, BatchCounts

MAX_LOAD_S = 600.0
"""Seconds a worker may spend loading models: cold disks and large checkpoints take minutes."""

_LONGEST_S = 3600.0
"""Whatever takes longer in one go counts as hung, however busy it is."""

_BUSY_S = 0.5
"""Processor time that proves work: a thread that waits for a lock uses a thousandth of it a second,
large photographs are decoded for minutes without a word from the library."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(eq=False)
class _Running:
    """Something that runs now.

    Attributes:
        since: When it began, or last said something, on the monotonic clock.
        used_s: Reads the processor time that it has used, in seconds; None if it is believed.
        may_take_s: After so long it is hung.
        credited_s: So much of the time it has used has been taken for progress.
    """

    since: float
    used_s: Callable[[], float] | None
    may_take_s: float = _LONGEST_S
    credited_s: float = 0.0


class Activity:
    """Counts; told by many threads, asked by one.

    Args:
        clock: Monotonic seconds.
        thread_s: Makes a function that reads the processor time of the thread that calls now.
        process_s: Reads the processor time of this process.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        thread_s: "Callable[[], Callable[[], float]] | None" = None,
        process_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._thread_s = thread_s or _own_clock
        self._process_s = process_s
        self._lock = threading.Lock()
        self._running: list[_Running] = []
        self._pass: _Running | None = None
        self._busy_from: float | None = None
        self._events = 0
        self._sizes = [0] * (len(BATCH_SIZE_BOUNDS) + 1)
        self._calls = self._refused = 0
        self._busy_s = 0.0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Around a step of a photograph, in the thread that takes it: decoding, say."""
        running = self._enter(self._thread_s())
        try:
            yield
        finally:
            self._leave(running)

    @contextlib.contextmanager
    def device(self, *, by_processor: bool) -> Iterator[None]:
        """Around a pass through the device.

        Args:
            by_processor: The pass is computed by this process, so that the time it uses proves
                work; one who waits for a GPU uses time as well, be it hung or not.
        """
        self._pass = running = self._enter(self._process_s if by_processor else _nothing)
        self._busy_from = running.since
        try:
            yield
        finally:
            self._count_busy()
            self._pass = self._busy_from = None
            self._leave(running)

    def loading(self, load: Callable[P, R]) -> Callable[P, R]:
        """A function that loads a model, as one that may take its time."""

        def watched(*args: P.args, **kwargs: P.kwargs) -> R:
            running = self._enter(None, MAX_LOAD_S)
            try:
                return load(*args, **kwargs)
            finally:
                self._leave(running)

        return watched

    def tick(self) -> None:
        """A long pass has come to its next step."""
        with self._lock:
            self._events += 1
            if self._pass is not None:
                self._pass.since = self._clock()

    def passed(self, calls: int) -> None:
        """A group of so many calls has been answered."""
        with self._lock:
            self._sizes[bisect_left(BATCH_SIZE_BOUNDS, calls)] += 1
            self._calls += calls

    def refused(self) -> None:
        """Memory did not suffice for a group."""
        with self._lock:
            self._refused += 1

    def take(self) -> tuple[BatchCounts, bool]:
        """What was done since the last call, and whether there was progress."""
        self._count_busy()
        with self._lock:
            work = BatchCounts(tuple(self._sizes), self._calls, self._busy_s, self._refused)
            self._sizes = [0] * len(self._sizes)
            self._calls = self._refused = 0
            self._busy_s = 0.0
            now = self._clock()
            # All of them are asked, so that each is credited.
            busy = [_gets_on(running, now) for running in self._running]
            progress = bool(self._events) or any(busy)
            self._events = 0
            return work, progress

    def _count_busy(self) -> None:
        with self._lock:
            if self._busy_from is not None:
                now = self._clock()
                self._busy_s += now - self._busy_from
                self._busy_from = now

    def _enter(
        self, used_s: Callable[[], float] | None, may_take_s: float = _LONGEST_S
    ) -> _Running:
        running = _Running(self._clock(), used_s, may_take_s, used_s() if used_s else 0.0)
        with self._lock:
            self._running.append(running)
        return running

    def _leave(self, running: _Running) -> None:
        # Under the lock: nobody may read the clock of a thread that has ended.
        with self._lock:
            self._running.remove(running)
            self._events += 1


def _gets_on(running: _Running, now: float) -> bool:
    if now - running.since >= running.may_take_s:
        return False
    if running.used_s is None:
        return True
    used_s = running.used_s()
    if used_s - running.credited_s < _BUSY_S:
        return False
    running.credited_s = used_s
    return True


def _own_clock() -> Callable[[], float]:
    """Reads the processor time of the calling thread, while that lives; from any thread."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _nothing() -> float:
    return 0.0
