"""The activity of an engine: what it has done, and whether it makes progress.

The engine's threads tell it what they begin and end. Whatever ends is progress. Work that goes on
is progress only while it uses processor time, as a thread that hangs uses none. A wait for a GPU is
progress only when it ends, or a step of it does.
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
"""Seconds that loading a model may take: cold disks and large checkpoints take minutes."""

_LONGEST_S = 3600.0
"""Seconds after which one piece of work counts as hung, however busy it is."""

_BUSY_S = 0.5
"""Seconds of processor time that prove progress.

A thread that waits for a lock uses a thousandth of it each second. A library may decode a large
photograph for minutes without a call to us.
"""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(eq=False)
class _Running:
    """A piece of work that runs now.

    Attributes:
        since: When it began, or last ended a part, in seconds on the monotonic clock.
        used_s: Reads the processor time that it has used, in seconds; None if it is trusted.
        limit_s: Seconds after which it counts as hung.
        credited_s: Processor time that has already been taken for progress, in seconds.
    """

    since: float
    used_s: Callable[[], float] | None
    limit_s: float = _LONGEST_S
    credited_s: float = 0.0


class Activity:
    """Counts what an engine does and sees whether it makes progress. One thread collects.

    Args:
        clock: Reads the monotonic clock, in seconds.
        thread_clock: Makes a function that reads the processor time of the thread that makes it, in
            seconds, and may be called from any thread.
        process_s: Reads the processor time of this process, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        thread_clock: "Callable[[], Callable[[], float]] | None" = None,
        process_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._thread_clock = thread_clock or _own_clock
        self._process_s = process_s
        self._lock = threading.Lock()
        self._running: list[_Running] = []
        self._pass: _Running | None = None
        self._busy_since: float | None = None
        self._has_progressed = False
        self._sizes = [0] * (len(BATCH_SIZE_BOUNDS) + 1)
        self._calls = self._out_of_memory = 0
        self._busy_s = 0.0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Wrap a step of a run, such as decoding, in the thread that runs it."""
        running = self._enter(self._thread_clock())
        try:
            yield
        finally:
            self._leave(running)

    @contextlib.contextmanager
    def forward_pass(self, *, on_cpu: bool) -> Iterator[None]:
        """Wrap a forward pass.

        Args:
            on_cpu: This process computes it, so that its processor time proves progress. A process
                that waits for a GPU uses processor time as well, even if the GPU hangs.
        """
        self._pass = running = self._enter(self._process_s if on_cpu else _no_time)
        self._busy_since = running.since
        try:
            yield
        finally:
            self._count_busy()
            self._pass = self._busy_since = None
            self._leave(running)

    def loading(self, load: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function that loads a model, which may take MAX_LOAD_S without progress."""

        def watched(*args: P.args, **kwargs: P.kwargs) -> R:
            running = self._enter(None, MAX_LOAD_S)
            try:
                return load(*args, **kwargs)
            finally:
                self._leave(running)

        return watched

    def tick(self) -> None:
        """Note that a long forward pass has come to its next step."""
        with self._lock:
            self._has_progressed = True
            if self._pass is not None:
                self._pass.since = self._clock()

    def count_batch(self, calls: int) -> None:
        """Count a batch of this many calls that was answered."""
        with self._lock:
            self._sizes[bisect_left(BATCH_SIZE_BOUNDS, calls)] += 1
            self._calls += calls

    def count_out_of_memory(self) -> None:
        """Count a batch that did not fit into memory."""
        with self._lock:
            self._out_of_memory += 1

    def collect(self) -> tuple[BatchCounts, bool]:
        """Work done since the last call, and whether there was progress."""
        self._count_busy()
        with self._lock:
            counts = BatchCounts(tuple(self._sizes), self._calls, self._busy_s, self._out_of_memory)
            self._sizes = [0] * len(self._sizes)
            self._calls = self._out_of_memory = 0
            self._busy_s = 0.0
            now = self._clock()
            # A list, not a generator: each must be looked at, so that its time is credited.
            busy = [_makes_progress(running, now) for running in self._running]
            progress = self._has_progressed or any(busy)
            self._has_progressed = False
            return counts, progress

    def _count_busy(self) -> None:
        with self._lock:
            if self._busy_since is not None:
                now = self._clock()
                self._busy_s += now - self._busy_since
                self._busy_since = now

    def _enter(self, used_s: Callable[[], float] | None, limit_s: float = _LONGEST_S) -> _Running:
        running = _Running(self._clock(), used_s, limit_s, used_s() if used_s else 0.0)
        with self._lock:
            self._running.append(running)
        return running

    def _leave(self, running: _Running) -> None:
        # Under the lock, as the processor clock of a thread that has ended must not be read.
        with self._lock:
            self._running.remove(running)
            self._has_progressed = True


def _makes_progress(running: _Running, now: float) -> bool:
    if now - running.since >= running.limit_s:
        return False
    if running.used_s is None:
        return True
    used_s = running.used_s()
    if used_s - running.credited_s < _BUSY_S:
        return False
    running.credited_s = used_s
    return True


def _own_clock() -> Callable[[], float]:
    """A reader of the calling thread's processor time, valid in any thread while that one lives."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _no_time() -> float:
    return 0.0
