"""Events of the file system, as hints: which paths are worth a look.

Comes in: folders to watch. Goes out: paths and what may have become of them, gathered until they
are taken. What is missed here, for whatever reason, a scan finds later; nothing is relied on.
"""

import errno
import os
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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

Sort = Literal["written", "complete", "gone", "folder"]
"""written: it may be changing; complete: closed or moved into place; gone: it left this path;
folder: a folder came to this path, or was here and is gone."""

MOST_HINTS = 100_000
"""With more paths to look at than this, a scan is cheaper and needs no memory."""

_EVENTS: list[type[FileSystemEvent]] = [
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
class ChangeHint:
    """What is known of one path since hints were last taken.

    Attributes:
        sort: The last thing that was told of it.
        forget: Something else lies there now, or it shall be taken for new.
    """

    sort: Sort
    forget: bool


class ChangeHints:
    """Hints by path, gathered by any thread and taken by one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._hints: dict[str, ChangeHint] = {}
        self._overflown = False

    def __bool__(self) -> bool:
        return bool(self._hints)

    def add(self, path: str, sort: Sort, *, forget: bool = False) -> None:
        """Take note of a path, and wake the owner if it is the first."""
        with self._lock:
            first = not self._hints
            known = self._hints.get(path)
            if known is not None:
                self._hints[path] = ChangeHint(sort, known.forget or forget)
            elif len(self._hints) < MOST_HINTS:
                self._hints[path] = ChangeHint(sort, forget)
            else:
                self._overflown = True
        if first:
            self._wake()

    def take(self) -> tuple[dict[str, ChangeHint], bool]:
        """All hints since the last call, and whether there were too many to keep."""
        with self._lock:
            hints, self._hints = self._hints, {}
            overflown, self._overflown = self._overflown, False
        return hints, overflown


@dataclass(frozen=True)
class _Watched:
    watch: ObservedWatch
    identity: tuple[int, int]


class Watcher(FileSystemEventHandler):
    """Watches folders with all below them; called by one thread, adds hints from another."""

    def __init__(self, hints: ChangeHints) -> None:
        """Prepare; nothing is watched before `start`."""
        self._hints = hints
        self._observer: BaseObserver | None = None
        self._watched: dict[str, _Watched] = {}

    def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The system will not let us; `strerror` says why.
        """
        try:
            self._observer = _make_observer()
        except OSError as error:
            raise _explained(error) from error
        self._observer.start()

    def stop(self) -> None:
        """Stop listening; none of its threads is left."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = None
        self._watched.clear()

    def keep(self, path: str) -> bool:
        """See to it that a folder is watched: the one that is at this path now.

        A folder that was removed, renamed or replaced lost its watch, or took it along.

        Returns:
            Whether it was watched ever since the last call.

        Raises:
            OSError: The system will not watch it; `strerror` says why.
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
            watch = self._observer.schedule(self, f"{path}/.", recursive=True, event_filter=_EVENTS)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _explained(error) from error
        self._watched[path] = _Watched(watch, identity)
        return False

    def drop(self, path: str) -> None:
        """Watch a folder no longer; the next `keep` watches what is there then."""
        known = self._watched.pop(path, None)
        if known is not None and self._observer is not None:
            self._observer.unschedule(known.watch)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on what happened to which path."""
        source, target = _plain(event.src_path), _plain(event.dest_path)
        match event:
            case FileClosedEvent():
                self._hints.add(source, "complete")
            case FileCreatedEvent() | FileModifiedEvent():
                self._hints.add(source, "written")
            case FileDeletedEvent():
                self._hints.add(source, "gone", forget=True)
            case FileMovedEvent():
                if source:  # it is empty where a file came from outside
                    self._hints.add(source, "gone", forget=True)
                if target:
                    self._hints.add(target, "complete")
            case DirCreatedEvent() | DirDeletedEvent() | DirMovedEvent():
                for path in filter(None, (source, target)):
                    self._hints.add(path, "folder")

    def _is_alive(self, watch: ObservedWatch) -> bool:
        emitters = self._observer.emitters if self._observer is not None else ()
        return any(emitter.watch == watch and emitter.is_alive() for emitter in set(emitters))


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
    """A path as the owner knows it, without the dot behind the watched folder."""
    return os.fsdecode(path).removesuffix("/.").replace("/./", "/", 1)


def _explained(error: OSError) -> OSError:
    names = {
        errno.ENOSPC: "the limit of watches is reached (sysctl fs.inotify.max_user_watches)",
        errno.EMFILE: "the limit of watchers is reached (sysctl fs.inotify.max_user_instances)",
    }
    return OSError(error.errno, names.get(error.errno or 0, error.strerror or str(error)))
