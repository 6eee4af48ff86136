"""Inboxes: which files have arrived whole. Scans are the truth, events only hints.

Comes in: folders. Goes out: arrivals, each once until it changes. It moves nothing, opens files
only to look at their ends, and leaves links, sockets, pipes and devices where they are.
"""

import os
import queue
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchdog.events import (
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from daemon.files import shown
from daemon.ignored import ignored as is_ignored
from daemon.photo import ends_early
from daemon.station import Arrival, InboxFolder, Notice

_log = structlog.get_logger()

CLOSED_S = 0.2
"""Unchanged for so long after a close or a move into place is enough."""

_Place = tuple[int, str]
"""Index of an inbox folder, and a path below it."""


@dataclass
class _Candidate:
    """A file that is watched until it stops changing; times are monotonic seconds."""

    size_bytes: int
    mtime_ns: int
    changed_at: float
    closed: bool = False


class Inbox:
    """Watches folders; owned and called by one thread."""

    def __init__(
        self,
        folders: Sequence[InboxFolder],
        *,
        settle_s: float,
        settle_polled_s: float,
        rescan_s: float,
        arriving_s: float,
        wake: Callable[[], None],
    ) -> None:
        """Prepare; nothing is watched before `start`.

        Args:
            folders: What to watch. A folder inside another one belongs to itself only.
            settle_s: Unchanged for so long = complete.
            settle_polled_s: The same where no events come.
            rescan_s: Between scans.
            arriving_s: A file that ends early and changed within this is still arriving.
            wake: Called from another thread when there may be something new.
        """
        self._folders = tuple(folders)
        self._settle_s = settle_s
        self._settle_polled_s = settle_polled_s
        self._rescan_s = rescan_s
        self._arriving_s = arriving_s
        self._hints: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        self._handler = _Hints(self._hints, wake)
        self._observer: BaseObserver | None = None
        self._watched: dict[int, ObservedWatch] = {}
        self._candidates: dict[_Place, _Candidate] = {}
        self._handed: dict[_Place, tuple[int, int]] = {}
        self._odd: dict[Path, Notice] = {}
        self._scan_at = 0.0

    def start(self) -> None:
        """Begin to listen for events."""
        self._observer = Observer()
        self._observer.start()
        self._watch()

    def stop(self) -> None:
        """Stop listening."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def hint(self, path: Path) -> None:
        """Look at this file again, even if it was handed out before."""
        self._hints.put((str(path), False))

    def settled(self, now: float, limit: int, *, at_once: bool = False) -> list[Arrival]:
        """Files that stopped changing, each once until it changes, vanishes or is hinted.

        Args:
            now: Monotonic seconds.
            limit: How many at most; the rest comes with the next call.
            at_once: What is older than `settle_s` by its own time needs no watching.
        """
        if now >= self._scan_at:
            self._scan(now)
            self._scan_at = now + self._rescan_s
        self._take_hints(now)
        arrivals: list[Arrival] = []
        for place, candidate in list(self._candidates.items()):
            if len(arrivals) >= limit:
                break
            if now >= self._due_at(place, candidate) or (at_once and self._is_old(candidate)):
                arrival = self._look(place, candidate, now)
                if arrival is not None:
                    arrivals.append(arrival)
        return arrivals

    def next_due_s(self, now: float) -> float:
        """Seconds until something may settle or a scan is due."""
        due = [self._due_at(*item) for item in self._candidates.items()]
        return max(0.0, min([self._scan_at, *due]) - now)

    def unsettled(self) -> int:
        """How many files are watched that have not settled yet, empty ones left out."""
        return sum(candidate.size_bytes > 0 for candidate in self._candidates.values())

    def notices(self) -> list[Notice]:
        """What lies in an inbox and is left alone, and why."""
        return list(self._odd.values())

    def _due_at(self, place: _Place, candidate: _Candidate) -> float:
        settle_s = self._settle_polled_s if self._folders[place[0]].polled else self._settle_s
        if candidate.closed:
            settle_s = min(settle_s, CLOSED_S)
        return candidate.changed_at + settle_s

    def _is_old(self, candidate: _Candidate) -> bool:
        return time.time() - candidate.mtime_ns / 1e9 >= self._settle_s

    def _look(self, place: _Place, candidate: _Candidate, now: float) -> Arrival | None:
        """Hand a due candidate out, or watch it on."""
        folder, relative = self._folders[place[0]], Path(place[1])
        path = folder.path / relative
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
            same = (found.st_size, found.st_mtime_ns) == (candidate.size_bytes, candidate.mtime_ns)
            young = time.time() - found.st_mtime < self._arriving_s
            if not same or found.st_size == 0 or (young and ends_early(path)):
                closed = candidate.closed and same and found.st_size > 0
                self._candidates[place] = _Candidate(
                    found.st_size, found.st_mtime_ns, now, closed=closed
                )
                return None
        except FileNotFoundError:
            del self._candidates[place]
            return None
        except OSError as error:
            self._notice(path, f"cannot be read: {error.strerror}")
            del self._candidates[place]
            return None
        del self._candidates[place]
        self._handed[place] = (found.st_size, found.st_mtime_ns)
        return Arrival(folder, relative, found.st_size, found.st_mtime_ns)

    def _scan(self, now: float) -> None:
        """Find everything, whatever events have said."""
        self._watch()
        self._odd = {path: notice for path, notice in self._odd.items() if _exists(path)}
        found: set[_Place] = set()
        for index in range(len(self._folders)):
            for relative, size_bytes, mtime_ns in self._walk(index, ""):
                found.add((index, relative))
                self._saw((index, relative), size_bytes, mtime_ns, now)
        for known in (self._candidates, self._handed):
            for place in [place for place in known if place not in found]:
                del known[place]  # type: ignore[attr-defined]

    def _walk(self, index: int, below: str) -> Iterator[tuple[str, int, int]]:
        folder = os.path.join(self._folders[index].path, below) if below else None  # noqa: PTH118
        top = folder or str(self._folders[index].path)
        others = {str(f.path) for i, f in enumerate(self._folders) if i != index}
        try:
            with os.scandir(top) as entries:
                children = list(entries)
        except FileNotFoundError:
            if not below:
                self._notice(Path(top), "this inbox folder is not there")
            return
        except OSError as error:
            self._notice(Path(top), f"cannot be read: {error.strerror}")
            return
        for entry in children:
            if is_ignored(entry.name) or entry.path in others:
                continue
            relative = f"{below}/{entry.name}" if below else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(index, relative)
                    continue
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it vanished meanwhile
            if stat.S_ISREG(found.st_mode):
                yield relative, found.st_size, found.st_mtime_ns
            else:
                self._notice(Path(entry.path), f"{_kind(found.st_mode)}, left alone")

    def _saw(self, place: _Place, size_bytes: int, mtime_ns: int, now: float) -> None:
        if self._handed.get(place) == (size_bytes, mtime_ns):
            return
        self._handed.pop(place, None)
        known = self._candidates.get(place)
        if known is None or (known.size_bytes, known.mtime_ns) != (size_bytes, mtime_ns):
            self._candidates[place] = _Candidate(size_bytes, mtime_ns, now)

    def _take_hints(self, now: float) -> None:
        while True:
            try:
                name, closed = self._hints.get_nowait()
            except queue.Empty:
                return
            place = self._place(name)
            if place is None:
                continue
            path = self._folders[place[0]].path / place[1]
            if any(is_ignored(part) for part in Path(place[1]).parts) or _linked(path, place[1]):
                continue
            try:
                found = path.lstat()
            except OSError:
                self._candidates.pop(place, None)
                self._handed.pop(place, None)
                continue
            if stat.S_ISDIR(found.st_mode):
                for relative, size_bytes, mtime_ns in self._walk(place[0], place[1]):
                    self._saw((place[0], relative), size_bytes, mtime_ns, now)
            elif stat.S_ISREG(found.st_mode):
                self._handed.pop(place, None)
                self._candidates[place] = _Candidate(
                    found.st_size, found.st_mtime_ns, now, closed=closed
                )

    def _place(self, name: str) -> _Place | None:
        """Which inbox a path lies in: the deepest that holds it."""
        path = Path(name)
        inside = [i for i, f in enumerate(self._folders) if path.is_relative_to(f.path)]
        if not inside:
            return None
        index = max(inside, key=lambda i: len(self._folders[i].path.parts))
        relative = path.relative_to(self._folders[index].path)
        return None if relative == Path() else (index, str(relative))

    def _watch(self) -> None:
        """Listen wherever nobody listens yet; folders that are not there come with a later scan."""
        if self._observer is None:
            return
        for index, folder in enumerate(self._folders):
            there = folder.path.is_dir()
            if folder.polled or (there and index in self._watched):
                continue
            try:
                if index in self._watched:  # it is gone, and its watch with it
                    self._observer.unschedule(self._watched.pop(index))
                if there:
                    path = str(folder.path)
                    watch = self._observer.schedule(self._handler, path, recursive=True)
                    self._watched[index] = watch
            except OSError as error:  # scans still find everything, only later
                _log.warning("no_events", folder=shown(folder.path), why=str(error))

    def _notice(self, path: Path, what: str) -> None:
        if path not in self._odd or self._odd[path].what != what:
            self._odd[path] = Notice(path, what, time.time())
            _log.warning("left_alone", path=shown(path), why=what)


class _Hints(FileSystemEventHandler):
    """Runs in the observer's thread: only notes which paths to look at."""

    def __init__(
        self, hints: "queue.SimpleQueue[tuple[str, bool]]", wake: Callable[[], None]
    ) -> None:
        self._hints = hints
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        name = event.dest_path if moved else event.src_path
        if event.event_type in ("opened", "closed_no_write") or not name:
            return
        self._hints.put((os.fsdecode(name), moved or isinstance(event, FileClosedEvent)))
        self._wake()


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _linked(path: Path, relative: str) -> bool:
    """Whether a folder between the inbox and the file is a symbolic link."""
    above = path.parents[: len(Path(relative).parts) - 1]
    return any(parent.is_symlink() for parent in above)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "symbolic link", stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe"}
    return kinds.get(stat.S_IFMT(mode), "device")
