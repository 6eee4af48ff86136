"""When the files of an inbox folder settle: a file that stops changing has arrived.

Scans and events say what they saw of each file; a file is handed out once, and again only after it
changes. Files are opened only to look at their ends, and not here: the reader process does that.
"""

import contextlib
import heapq
import itertools
import math
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.config.station import InboxFolder
from daemon.intake.arrivals import Arrival
from daemon.intake.file_reader import FileReads
from daemon.intake.reader_process import Answer, EndQuestion, EndRead
from daemon.intake.scanner import kind_in_words

COMPLETE_S = 0.2
"""Seconds without a change that are enough after a file was closed or moved into place."""

_CONTROL_FILE = ".aria2"
"""Ending of the file that aria2 keeps beside a download, which has its own name from the start."""

_MAX_ASKED = 1024
"""Files whose ends are looked at by the reader at a time."""

_NEVER = math.inf
_Signature = tuple[int, int, int]


@dataclass(frozen=True)
class SettlePolicy:
    """How long a file must be left alone, in seconds; see the settings of the same names."""

    settle_s: float
    settle_polled_s: float
    arriving_s: float


@dataclass(slots=True)
class _Seen:
    """A file as last seen. Times are monotonic seconds.

    Attributes:
        signature: Size, time of change, and the inode number where those can be relied on.
        since_s: When it was first seen with this signature.
        due_s: When to look whether it has settled; infinite once it has been handed out.
        announced: An event told of it, or no event was to be expected.
        scan: Number of the last scan that saw it.
        whole: Its end was found, or is not to be looked for.
    """

    signature: _Signature
    since_s: float
    due_s: float
    announced: bool
    scan: int
    whole: bool = False


class SettleTracker:
    """The files of one inbox folder, by their path below it."""

    def __init__(
        self,
        folder: InboxFolder,
        policy: SettlePolicy,
        reads: FileReads,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start without files.

        Args:
            folder: The inbox folder.
            policy: How long files must have been left alone.
            reads: Looks at the ends of files.
            wall: Returns UTC seconds since the epoch, to compare with the times of files.
        """
        self.folder = folder
        self.polled = folder.polled
        self._numbered = not folder.polled
        self._events_expected = False
        self._missed: set[int] = set()
        self._root = str(folder.path.absolute())
        self._policy = policy
        self._reads = reads
        self._wall = wall
        self._files: dict[str, _Seen] = {}
        self._asked = 0
        self._due: list[tuple[float, int, str]] = []
        self._count = itertools.count()
        self._scan = 0

    @property
    def settle_s(self) -> float:
        """Seconds that a file must stay unchanged."""
        return self._policy.settle_polled_s if self.polled else self._policy.settle_s

    @property
    def missed_events(self) -> bool:
        """Whether events cannot be relied on: two scans found files that no event told of.

        One scan proves nothing, since the kernel drops events when very many come at a time.
        """
        return len(self._missed) > 1

    def poll(self) -> None:
        """Expect no events from now on."""
        self.polled = True
        self._missed.clear()

    def begin_scan(self, *, events_expected: bool) -> None:
        """Begin a new scan of the whole folder.

        Args:
            events_expected: The folder was watched since the last scan.
        """
        self._scan += 1
        self._events_expected = events_expected

    def end_scan(self) -> None:
        """Forget what the scan did not see."""
        for relative in [name for name, seen in self._files.items() if seen.scan != self._scan]:
            self.forget(relative)

    def scanned(self, relative: str, status: os.stat_result, now: float, *, at_once: bool) -> None:
        """Take note of a file that a scan found.

        Args:
            relative: Its path.
            status: Its `lstat`.
            now: Monotonic seconds.
            at_once: A file older than `settle_s` by its own time needs no watching.
        """
        seen = self._saw(relative, status, now, announced=not self._events_expected)
        seen.scan = self._scan
        old = self._wall() - status.st_mtime >= self._policy.settle_s
        if at_once and old and now < seen.due_s < _NEVER:
            self._wait(relative, seen, now)

    def saw_event(
        self, relative: str, status: os.stat_result, now: float, *, complete: bool = False
    ) -> None:
        """Take note of a file that an event told of; `complete`: it was closed or moved in."""
        seen = self._saw(relative, status, now, announced=True)
        seen.scan = self._scan
        if seen.due_s < _NEVER:
            self._wait(relative, seen, now + (COMPLETE_S if complete else self.settle_s))

    def forget(self, relative: str) -> None:
        """Take a file for new when it is seen again."""
        self._files.pop(relative, None)

    def forget_below(self, folders: Collection[str]) -> None:
        """Forget all files below some folders, which are given relative to this one."""
        for relative in list(self._files):
            above = relative
            while "/" in above:
                above = above[: above.rfind("/")]
                if above in folders:
                    self.forget(relative)
                    break

    def settled(self, now: float, limit: int) -> list[Arrival]:
        """Files that stopped changing, each once, in the order in which they are due."""
        arrivals: list[Arrival] = []
        while self.due_s() <= now and len(arrivals) < limit:
            _, _, relative = heapq.heappop(self._due)
            arrival = self._confirm(relative, self._files[relative], now)
            if arrival is not None:
                arrivals.append(arrival)
        return arrivals

    def due_s(self) -> float:
        """When the next file may have settled, in monotonic seconds.

        Never while the ends of very many are being looked at: an answer wakes the loop.
        """
        while self._due:
            due_s, _, relative = self._due[0]
            seen = self._files.get(relative)
            if seen is not None and seen.due_s == due_s:
                is_held_back = self._asked >= _MAX_ASKED and not seen.whole
                return _NEVER if is_held_back else due_s
            heapq.heappop(self._due)  # a later look replaced this one
        return _NEVER

    def unsettled(self) -> int:
        """Number of files that may still settle, without empty ones and those handed out."""
        return sum(s.due_s < _NEVER and s.signature[0] > 0 for s in self._files.values())

    def empty(self, now: float, *, at_once: bool) -> list[str]:
        """Files without content; unless `at_once`, only those that were empty for `arriving_s`."""
        return [
            relative
            for relative, seen in self._files.items()
            if seen.signature[0] == 0 and (at_once or now - seen.since_s >= self._policy.arriving_s)
        ]

    def _saw(self, relative: str, status: os.stat_result, now: float, *, announced: bool) -> _Seen:
        """Note the state of a file; one that is new or has changed must settle."""
        signature = self._signature(status)
        seen = self._files.get(relative)
        if seen is None or seen.signature != signature:
            seen = _Seen(signature, now, _NEVER, announced, self._scan)
            self._files[relative] = seen
            self._wait(relative, seen, now + self.settle_s)
        seen.announced |= announced
        return seen

    def _wait(self, relative: str, seen: _Seen, due_s: float) -> None:
        seen.due_s = due_s
        heapq.heappush(self._due, (due_s, next(self._count), relative))

    def _confirm(self, relative: str, seen: _Seen, now: float) -> Arrival | None:
        """Look at a file that is due, and hand it out if it is whole and unchanged."""
        path = f"{self._root}/{relative}"
        try:
            status = os.lstat(path)
        except OSError:
            status = None
        if status is None or kind_in_words(status.st_mode):
            self.forget(relative)
            return None
        if self._signature(status) != seen.signature:
            self._saw(relative, status, now, announced=True)
            return None
        seen.due_s = _NEVER
        if status.st_size == 0:  # not ready; it is looked at again when it grows
            return None
        if not (seen.whole or self._is_whole(relative, status, seen, now)):
            return None
        if not seen.announced:
            self._missed.add(self._scan)
        return Arrival(
            self.folder,
            Path(relative),
            status.st_size,
            status.st_mtime_ns,
            settled_s=now - seen.since_s,
            missed=not seen.announced,
            came_at=status.st_ctime,
        )

    def _is_whole(self, relative: str, status: os.stat_result, seen: _Seen, now: float) -> bool:
        """Whether a file can be handed out without a look at its end; else have that looked at.

        A file dated in the future counts as new for `arriving_s` after it was seen, not for ever.
        """
        age_s = max(self._wall() - status.st_mtime, now - seen.since_s)
        left_s = self._policy.arriving_s - age_s
        if left_s <= 0:
            return True
        path = f"{self._root}/{relative}"
        again_s = now + min(left_s, max(COMPLETE_S, self.settle_s))
        with contextlib.suppress(OSError):  # whoever claims it will say why it cannot be read
            if os.path.lexists(f"{path}{_CONTROL_FILE}"):
                self._wait(relative, seen, again_s)
                return False
        self._asked += 1
        looked = partial(self._end_looked_at, relative, seen, now, again_s)
        self._reads.ask(EndQuestion(Path(path), Path(self._root)), looked)
        return False

    def _end_looked_at(
        self, relative: str, seen: _Seen, now: float, again_s: float, answer: Answer
    ) -> None:
        """Have a file handed out whose end was found, and the others looked at again later."""
        self._asked -= 1
        if self._files.get(relative) is not seen:
            return  # it changed or vanished meanwhile
        seen.whole = not (isinstance(answer, EndRead) and answer.truncated)
        # What is whole goes before all whose end was not looked at yet.
        self._wait(relative, seen, seen.since_s if seen.whole else again_s)

    def _signature(self, status: os.stat_result) -> _Signature:
        # Network file systems may number a file anew whenever they look at it.
        inode = status.st_ino if self._numbered else 0
        return status.st_size, status.st_mtime_ns, inode
