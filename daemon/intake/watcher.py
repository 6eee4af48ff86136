"""Events of the file system: which paths are worth a look.

Events are gathered by path until the inbox takes them. They may be missed for many reasons, and
nothing relies on them: a scan finds later what no event told of.
"""

import contextlib
import errno
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

_log = structlog.get_logger()

EventKind = Literal["written", "complete", "gone", "folder"]
"""written: the file may be changing; complete: it was closed or moved into place; gone: it left
this path; folder: a folder came to this path, or left it."""

MAX_EVENTS = 100_000
"""Most paths that are kept; beyond that a scan is cheaper and needs no memory."""

_WATCHED_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


@dataclass(frozen=True)
class FileEvent:
    """Events of one path since they were last taken.

    Attributes:
        kind: The last thing that happened to it.
        forget: Another file may lie there now, or the file must be taken for new.
    """

    kind: EventKind
    forget: bool


class FileEvents:
    """Events by path, gathered by any thread and taken by one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._events: dict[str, FileEvent] = {}
        self._overflown = False

    def __bool__(self) -> bool:
        return bool(self._events)

    def add(self, path: str, kind: EventKind, *, forget: bool = False) -> None:
        """Take note of an event, and wake the owner if it is the first."""
        with self._lock:
            first = not self._events
            known = self._events.get(path)
            if known is not None:
                self._events[path] = FileEvent(kind, known.forget or forget)
            elif len(self._events) < MAX_EVENTS:
                self._events[path] = FileEvent(kind, forget)
            else:
                self._overflown = True
        if first:
            self._wake()

    def take(self) -> tuple[dict[str, FileEvent], bool]:
        """All events since the last call, and whether there were too many to keep."""
        with self._lock:
            events, self._events = self._events, {}
            overflown, self._overflown = self._overflown, False
        return events, overflown


@dataclass(frozen=True)
class _Watched:
    watch: ObservedWatch
    identity: tuple[int, int]


class Watcher(FileSystemEventHandler):
    """Watches folders with all below them; called by one thread, adds events from another."""

    def __init__(self, events: FileEvents) -> None:
        """Prepare; nothing is watched before `start`."""
        self._events = events
        self._observer: BaseObserver | None = None
        self._watched: dict[str, _Watched] = {}

    def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The system refuses; `strerror` says why.
        """
        try:
            self._observer = _make_observer()
        except OSError as error:
            raise _explained(error) from error
        self._observer.start()

    def stop(self) -> None:
        """Stop listening and end the threads."""
        if self._observer is not None:
            with _errors_logged():
                self._observer.stop()
                self._observer.join()
        self._observer = None
        self._watched.clear()

    def ensure_watched(self, path: str) -> bool:
        """Watch the folder that is at a path now, unless it is watched already.

        A folder that was removed, renamed or replaced has lost its watch or taken it along.

        Returns:
            Whether this folder was watched without a break since the last call.

        Raises:
            OSError: The system refuses to watch it; `strerror` says why.
        """
        if self._observer is None:
            return False
        try:
            status = Path(path).stat()
        except OSError:
            self.drop(path)
            return False
        identity = (status.st_dev, status.st_ino)
        known = self._watched.get(path)
        if known and known.identity == identity and self._is_alive(known.watch):
            return True
        self.drop(path)
        try:
            # The dot has the folder itself watched where the path is a symbolic link to it.
            watch = self._observer.schedule(
                self, f"{path}/.", recursive=True, event_filter=_WATCHED_EVENTS
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _explained(error) from error
        except Exception as error:
            raise OSError(errno.EIO, f"watching fails: {type(error).__name__}") from error
        self._watched[path] = _Watched(watch, identity)
        return False

    def drop(self, path: str) -> None:
        """Stop watching a folder; the next `keep` watches what is at its path then."""
        known = self._watched.pop(path, None)
        if known is not None and self._observer is not None:
            with _errors_logged():
                self._observer.unschedule(known.watch)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Add an event of watchdog under its path."""
        source, target = _plain(event.src_path), _plain(event.dest_path)
        match event:
            case FileClosedEvent():
                self._events.add(source, "complete")
            case FileCreatedEvent() | FileModifiedEvent():
                self._events.add(source, "written")
            case FileDeletedEvent():
                self._events.add(source, "gone", forget=True)
            case FileMovedEvent():
                if source:  # it is empty where a file came from outside
                    self._events.add(source, "gone", forget=True)
                if target:
                    self._events.add(target, "complete")
            case DirCreatedEvent() | DirDeletedEvent() | DirMovedEvent():
                for path in filter(None, (source, target)):
                    self._events.add(path, "folder")

    def _is_alive(self, watch: ObservedWatch) -> bool:
        emitters = self._observer.emitters if self._observer is not None else ()
        return any(emitter.watch == watch and emitter.is_alive() for emitter in set(emitters))


@contextlib.contextmanager
def _errors_logged() -> Iterator[None]:
    """Go on when the library stumbles: folders renamed to and fro confuse its tables."""
    try:
        yield
    except Exception as error:
        _log.warning("watch_not_ended", why=f"{type(error).__name__}: {error}")


def _make_observer() -> BaseObserver:
    if sys.platform != "linux":
        return Observer()
    from watchdog.observers.inotify import InotifyObserver
    from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

    # Every event behind a move out of the inbox (each claim is one) waits so long for the other
    # half of the move. The kernel puts both halves into one read, so 20 ms is plenty; 0.5 s, the
    # library's value, would be felt between drop and result.
    InotifyMoveEventGrouper.delay = 0.02
    # Two folders made within each other may be watched twice, which costs nothing.
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
    # Full events: a file moved in from outside is told apart from one that was just created.
    return InotifyObserver(generate_full_events=True)


def _plain(path: bytes | str) -> str:
    """A path of watchdog as the owner knows it: without the dot behind the watched folder."""
    return os.fsdecode(path).removesuffix("/.").replace("/./", "/", 1)


def _explained(error: OSError) -> OSError:
    names = {
        errno.ENOSPC: "the limit of watches is reached (sysctl fs.inotify.max_user_watches)",
        errno.EMFILE: "the limit of watchers is reached (sysctl fs.inotify.max_user_instances)",
    }
    return OSError(error.errno, names.get(error.errno or 0, error.strerror or str(error)))
