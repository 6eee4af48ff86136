"""The inbox folders: which files in them have arrived whole.

Scans find every file; events of the file system only make it sooner. Nothing is moved or opened
here: the reader process looks at the ends of files. Links, sockets, FIFOs and devices are left
alone.
"""

import math
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from daemon.config.station import InboxFolder, Notice
from daemon.intake.arrivals import Arrival
from daemon.intake.file_reader import FileReads
from daemon.intake.scanner import folders_not_entered, ignored, kind_in_words, walk_files
from daemon.intake.settling import SettlePolicy, SettleTracker
from daemon.intake.watcher import FileEvent, FileEvents, Watcher
from daemon.system.files import shown

_log = structlog.get_logger()

_EMPTY = "empty: it is taken once it has content"


@dataclass(slots=True)
class _Watch:
    """One inbox folder.

    Attributes:
        root: Its absolute path.
        files: Its files.
        not_entered: Absolute paths of folders in it that are not entered.
        scan_due_s: When it must be scanned, monotonic seconds.
        odd: What lies in it and is left alone, by absolute path.
        unwatched: Why it is scanned instead of watched, if it is.
    """

    root: str
    files: SettleTracker
    not_entered: frozenset[str]
    scan_due_s: float = -math.inf
    odd: dict[str, Notice] = field(default_factory=dict)
    unwatched: Notice | None = None


class Inbox:
    """Watches the inbox folders of a station; used by one thread."""

    def __init__(
        self,
        folders: Sequence[InboxFolder],
        *,
        settle_s: float,
        settle_polled_s: float,
        rescan_s: float,
        arriving_s: float,
        reads: FileReads,
        wake: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing is watched before `start`, but `settled` scans without it, too.

        Args:
            folders: The inbox folders. Files in a folder inside another one arrive in the inner
                one only; results, rejected and archived originals never arrive.
            settle_s: Seconds without a change after which a file is complete.
            settle_polled_s: The same where no events come, and the time between scans there.
            rescan_s: Seconds between scans of the other folders.
            arriving_s: A file that ends early and changed within these seconds is still arriving.
            reads: Looks at the ends of files.
            wake: Called from another thread when there may be something new.
            wall: Returns UTC seconds since the epoch, to compare with the times of files.
        """
        policy = SettlePolicy(settle_s, settle_polled_s, arriving_s)
        self._settle_s, self._settle_polled_s = settle_s, settle_polled_s
        self._rescan_s = rescan_s
        self._wall = wall
        self._events = FileEvents(wake)
        self._watcher = Watcher(self._events)
        self._watches = [
            _Watch(
                str(folder.path.absolute()),
                SettleTracker(folder, policy, reads, wall),
                folders_not_entered(folder, folders),
            )
            for folder in folders
        ]

    def start(self) -> None:
        """Begin to listen for events."""
        try:
            self._watcher.start()
        except OSError as error:
            for watch in self._watches:
                self._poll(watch, str(error.strerror))
        for watch in self._watches:
            self._listen(watch)

    def stop(self) -> None:
        """Stop listening."""
        self._watcher.stop()

    def contains(self, path: Path) -> bool:
        """Whether a path lies in one of the inbox folders."""
        return any(path.is_relative_to(watch.root) for watch in self._watches)

    def look_again(self, path: Path) -> None:
        """Look at a file again, even if it was handed out before; any thread may call this."""
        self._events.add(str(path.absolute()), "written", forget=True)

    def settled(self, now: float, limit: int, *, at_once: bool = False) -> list[Arrival]:
        """Files that stopped changing, each once until it changes, vanishes or is looked at again.

        Folders that are due are scanned. Call this after `next_due_s` or when `wake` was called.

        Args:
            now: Monotonic seconds.
            limit: Most files to return; the others come with the next call.
            at_once: A file that is older than `settle_s` by its own time needs no watching.
        """
        self._take_events(now)
        arrivals: list[Arrival] = []
        for watch in self._watches:
            if watch.scan_due_s <= now:
                self._scan(watch, now, at_once=at_once)
            arrivals += watch.files.settled(now, limit - len(arrivals))
            if watch.files.missed_events and not watch.files.polled:
                self._poll(watch, "no events came for what was put there")
        return arrivals

    def next_due_s(self, now: float) -> float:
        """Seconds until something may settle or a scan is due."""
        if self._events:
            return 0.0
        due = [min(watch.scan_due_s, watch.files.due_s()) for watch in self._watches]
        return max(0.0, min(due, default=now + self._rescan_s) - now)

    def unsettled(self) -> int:
        """Number of files that may still settle, without empty ones and those handed out."""
        return sum(watch.files.unsettled() for watch in self._watches)

    def notices(self, now: float, *, at_once: bool = False) -> list[Notice]:
        """Files that are left alone in the inboxes, and folders that cannot be read or watched.

        Args:
            now: Monotonic seconds.
            at_once: Include empty files that may have been made a moment ago.
        """
        found: list[Notice] = []
        for watch in self._watches:
            found += [*watch.odd.values(), *([watch.unwatched] if watch.unwatched else [])]
            for relative in watch.files.empty(now, at_once=at_once):
                found.append(Notice(Path(watch.root, relative), _EMPTY, self._wall()))
        return found

    def _take_events(self, now: float) -> None:
        events, overflown = self._events.take()
        for watch in self._watches:
            if watch.root in events:  # it came or went; the watch belongs to a folder that is gone
                self._watcher.drop(watch.root)
            if overflown or watch.root in events:
                watch.scan_due_s = now
        folders = [path for path, event in events.items() if event.kind == "folder"]
        for watch in self._watches if folders else ():
            inside = [p for p in folders if p.startswith(watch.root + "/")]
            watch.files.forget_below({path[len(watch.root) + 1 :] for path in inside})
        for path, event in events.items():
            inside_of = [w for w in self._watches if path.startswith(w.root + "/")]
            if inside_of:
                watch = max(inside_of, key=lambda w: len(w.root))
                self._follow(watch, path[len(watch.root) + 1 :], event, now)

    def _follow(self, watch: _Watch, relative: str, event: FileEvent, now: float) -> None:
        """Look at the path of an event; a folder on the way may be a link or not be entered."""
        if event.forget:
            watch.files.forget(relative)
        path = watch.root
        status: os.stat_result | None = None
        for part in relative.split("/"):
            path = f"{path}/{part}"
            if ignored(part) or (status is not None and not stat.S_ISDIR(status.st_mode)):
                return
            try:
                status = os.lstat(path)
            except OSError:
                watch.files.forget(relative)
                return
            if path in watch.not_entered and stat.S_ISDIR(status.st_mode):
                return
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            self._look(watch, relative, kind_in_words(status.st_mode) or status, now, event)
        elif event.kind == "folder":
            for found, content in walk_files(watch.root, relative, watch.not_entered):
                self._look(watch, found, content, now, event)

    def _look(
        self,
        watch: _Watch,
        relative: str,
        found: os.stat_result | str,
        now: float,
        event: FileEvent,
    ) -> None:
        if isinstance(found, str):
            self._leave(watch, watch.odd, relative, found)
        else:
            watch.files.saw_event(relative, found, now, complete=event.kind == "complete")

    def _scan(self, watch: _Watch, now: float, *, at_once: bool) -> None:
        """Find everything in one folder, whatever events have told."""
        listening = self._listen(watch)  # before the scan, so that nothing falls between the two
        there = Path(watch.root).is_dir()
        known, watch.odd = watch.odd, {}
        if not there:
            self._leave(watch, known, "", "this inbox folder is not there")
        watch.files.begin_scan(events_expected=listening)
        for relative, found in walk_files(watch.root, "", watch.not_entered):
            if isinstance(found, str):
                self._leave(watch, known, relative, found)
            else:
                watch.files.scanned(relative, found, now, at_once=at_once)
        watch.files.end_scan()
        wait_s = self._settle_polled_s if watch.files.polled else self._rescan_s
        watch.scan_due_s = now + max(0.05, wait_s if there else min(wait_s, self._settle_s))

    def _leave(self, watch: _Watch, known: dict[str, Notice], relative: str, why: str) -> None:
        """Leave something where it is, and log that once."""
        path = f"{watch.root}/{relative}" if relative else watch.root
        notice = known.get(path)
        if notice is None or notice.what != why:
            notice = Notice(Path(path), why, self._wall())
            _log.warning("left_alone", path=shown(path), why=why)
        watch.odd[path] = notice

    def _listen(self, watch: _Watch) -> bool:
        """Watch a folder, or poll it if that fails; says whether it was watched without a break."""
        if watch.files.polled:
            return False
        try:
            return self._watcher.ensure_watched(watch.root)
        except OSError as error:
            self._poll(watch, str(error.strerror))
            return False

    def _poll(self, watch: _Watch, why: str) -> None:
        watch.files.poll()
        notice = Notice(Path(watch.root), f"scanned, because {why}", self._wall())
        watch.unwatched = notice
        watch.scan_due_s = -math.inf
        _log.warning("polled", folder=shown(watch.root), every_s=self._settle_polled_s, why=why)
