"""The inbox with the system's own events: real time, waited for with a deadline."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver

from daemon.config.station import InboxFolder
from daemon.intake.inbox import Inbox
from tests.support.file_reads import ReadsNow

DEADLINE_S = 20.0
FOREVER_S = 3600.0


def folder_at(path: Path) -> InboxFolder:
    out = path.parent / "out"
    return InboxFolder(path, None, outbox=out / "o", failed=out / "f", archive=out / "a")


class Watched:
    """An inbox that listens; only events can make its files settle before the deadline."""

    def __init__(self, path: Path, settle_s: float = FOREVER_S) -> None:
        self.path = path
        self.woken = threading.Event()
        self.inbox = Inbox(
            [folder_at(path)],
            settle_s=settle_s,
            settle_polled_s=0.3,
            rescan_s=FOREVER_S,
            arriving_s=0,
            reads=ReadsNow(),
            wake=self.woken.set,
        )
        self.inbox.start()
        self.inbox.settled(time.monotonic(), 100)

    def arrivals(self, *expected: str) -> set[str]:
        """What arrives until all that is expected has, or the deadline is over."""
        found: set[str] = set()
        end = time.monotonic() + DEADLINE_S
        while not found >= set(expected) and (now := time.monotonic()) < end:
            found |= {os.fspath(a.relative) for a in self.inbox.settled(now, 100)}
            self.woken.wait(min(0.5, self.inbox.next_due_s(time.monotonic())))
            self.woken.clear()
        return found

    def rescan(self) -> None:
        """Let an hour pass at once, as far as scans are concerned."""
        self.inbox.settled(time.monotonic() + FOREVER_S, 0)


Listen = Callable[..., Watched]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    begun: list[Watched] = []

    def start(path: Path | None = None, settle_s: float = FOREVER_S) -> Watched:
        if path is None:
            path = tmp_path / "in"
            path.mkdir()
        begun.append(Watched(path, settle_s))
        return begun[-1]

    yield start
    for watched in begun:
        watched.inbox.stop()


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    return path


def test_a_closed_file_arrives_long_before_settle_s_and_wakes_the_owner(listen: Listen) -> None:
    watched = listen()
    write(watched.path / "a.jpg")
    assert watched.woken.wait(DEADLINE_S)
    assert watched.arrivals("a.jpg") == {"a.jpg"}


def test_a_file_moved_in_from_outside_arrives_long_before_settle_s(
    listen: Listen, tmp_path: Path
) -> None:
    watched = listen()
    write(tmp_path / "a.jpg").rename(watched.path / "a.jpg")
    assert watched.arrivals("a.jpg") == {"a.jpg"}


def test_a_file_that_is_still_open_waits_for_settle_s(listen: Listen) -> None:
    watched = listen()
    with (watched.path / "open.jpg").open("wb") as file:
        file.write(b"first")
        file.flush()
        write(watched.path / "closed.jpg")
        assert watched.arrivals("closed.jpg") == {"closed.jpg"}
    assert watched.arrivals("open.jpg") == {"open.jpg"}


def test_names_that_are_no_text_arrive_by_their_events(listen: Listen) -> None:
    watched = listen()
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    write(watched.path / name)
    assert watched.arrivals(name) == {name}


def test_files_in_folders_made_later_arrive(listen: Listen) -> None:
    watched = listen(settle_s=0.3)
    write(watched.path / "new/deep/a.jpg")
    write(watched.path / "new/deep/b.jpg")
    assert watched.arrivals("new/deep/a.jpg", "new/deep/b.jpg") == {
        "new/deep/a.jpg",
        "new/deep/b.jpg",
    }


def test_a_folder_moved_in_brings_its_files(listen: Listen, tmp_path: Path) -> None:
    watched = listen(settle_s=0.3)
    write(tmp_path / "album/deep/a.jpg")
    (tmp_path / "album").rename(watched.path / "album")
    assert watched.arrivals("album/deep/a.jpg") == {"album/deep/a.jpg"}


def test_a_folder_moved_out_and_in_again_brings_its_files_again(
    listen: Listen, tmp_path: Path
) -> None:
    watched = listen(settle_s=0.3)
    write(watched.path / "album/a.jpg")
    assert watched.arrivals("album/a.jpg") == {"album/a.jpg"}
    (watched.path / "album").rename(tmp_path / "album")
    write(watched.path / "b.jpg")
    assert watched.arrivals("b.jpg") == {"b.jpg"}
    (tmp_path / "album").rename(watched.path / "album")
    assert watched.arrivals("album/a.jpg") == {"album/a.jpg"}


def test_an_inbox_that_was_removed_and_made_again_is_watched_again(listen: Listen) -> None:
    watched = listen(settle_s=0.3)
    shutil.rmtree(watched.path)
    watched.path.mkdir()
    write(watched.path / "a.jpg")
    assert watched.arrivals("a.jpg") == {"a.jpg"}  # by a scan that the removal brought about
    write(watched.path / "b.jpg")
    assert watched.arrivals("b.jpg") == {"b.jpg"}  # by an event


def test_an_inbox_that_was_replaced_is_watched_at_its_path(listen: Listen, tmp_path: Path) -> None:
    watched = listen()
    watched.path.rename(tmp_path / "old")
    watched.path.mkdir()
    watched.rescan()
    write(tmp_path / "old/a.jpg")
    write(watched.path / "b.jpg")
    assert watched.arrivals("b.jpg") == {"b.jpg"}


def test_an_inbox_that_is_a_link_to_a_folder_is_watched(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "in").symlink_to(tmp_path / "disk")
    watched = listen(tmp_path / "in")
    write(tmp_path / "disk/a.jpg")
    assert watched.arrivals("a.jpg") == {"a.jpg"}


def test_a_folder_beyond_the_limit_of_watches_is_scanned_instead(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(BaseObserver, "schedule", refuse)
    watched = listen()
    write(watched.path / "a.jpg")
    assert watched.arrivals("a.jpg") == {"a.jpg"}
    (notice,) = watched.inbox.notices(0)
    assert "fs.inotify.max_user_watches" in notice.what


def test_a_system_that_gives_no_watcher_has_its_folders_scanned(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> BaseObserver:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr("daemon.intake.watcher._make_observer", refuse)
    watched = listen()
    write(watched.path / "a.jpg")
    assert watched.arrivals("a.jpg") == {"a.jpg"}


def test_no_thread_is_left_after_stop(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    before = set(threading.enumerate())
    watched = Watched(tmp_path / "in")
    assert set(threading.enumerate()) > before
    watched.inbox.stop()
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before
