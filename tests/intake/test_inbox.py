"""The inbox: what counts as arrived. Time is passed in."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.config.station import InboxFolder
from daemon.intake.arrivals import Arrival
from daemon.intake.file_reader import Answered
from daemon.intake.inbox import Inbox
from daemon.intake.reader_process import EndRead, Question
from tests.support.file_reads import ReadsNow

LONG_AGO = 1_000_000_000.0


def folder_at(path: Path, **changes: object) -> InboxFolder:
    path.mkdir(parents=True, exist_ok=True)
    beside = path.parent
    places = {"outbox": beside / "out", "failed": beside / "failed", "archive": beside / "archive"}
    values: dict[str, Any] = {"path": path, "recipe": None} | places | changes
    return InboxFolder(**values)


class Clock:
    """Time that passes when it is told to, for the inbox and for the files' own times."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return LONG_AGO + self.now

    def touch(self, path: Path) -> None:
        os.utime(path, (self.wall(), self.wall()), follow_symlinks=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., Inbox]


@pytest.fixture
def make(clock: Clock) -> Make:
    def inbox(*folders: InboxFolder, **changes: object) -> Inbox:
        patience = {"settle_s": 2, "settle_polled_s": 10, "rescan_s": 60, "arriving_s": 30}
        given: dict[str, Any] = {"reads": ReadsNow(), "wake": lambda: None, "wall": clock.wall}
        keywords = given | patience | changes
        return Inbox(folders, **keywords)

    return inbox


@pytest.fixture
def inbox(tmp_path: Path, make: Make) -> Inbox:
    """The inbox of one folder, `in`, which is not scanned yet."""
    return make(folder_at(tmp_path / "in"))


def write(path: Path, content: bytes = b"not a picture", clock: Clock | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if clock is not None:
        clock.touch(path)
    return path


def names(arrivals: list[Arrival]) -> list[str]:
    return sorted(str(arrival.relative) for arrival in arrivals)


def after(inbox: Inbox, clock: Clock, seconds: float, **options: bool) -> list[str]:
    clock.now += seconds
    return names(inbox.settled(clock.now, 1000, **options))


def test_a_file_arrives_after_settle_s_without_a_change(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    write(tmp_path / "in/sub/a.jpg")
    assert after(inbox, clock, 0) == []
    assert inbox.unsettled() == 1
    assert inbox.next_due_s(clock.now) == pytest.approx(2)
    assert after(inbox, clock, 1.9) == []
    assert after(inbox, clock, 0.1) == ["sub/a.jpg"]
    assert inbox.unsettled() == 0
    assert after(inbox, clock, 120) == []


def test_an_arrival_says_size_and_time_of_what_was_seen(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    folder = folder_at(tmp_path / "in")
    inbox = make(folder)
    path = write(tmp_path / "in/a.jpg", b"12345", clock)
    after(inbox, clock, 0)
    (arrival,) = inbox.settled(clock.now + 2, 10)
    assert arrival == Arrival(folder, Path("a.jpg"), 5, path.stat().st_mtime_ns)


def test_a_file_that_still_grows_settles_anew(tmp_path: Path, inbox: Inbox, clock: Clock) -> None:
    path = write(tmp_path / "in/a.jpg", b"1", clock)
    after(inbox, clock, 0)
    clock.now += 1
    write(path, b"12", clock)
    assert after(inbox, clock, 1.5) == []
    assert after(inbox, clock, 1.9) == []
    assert after(inbox, clock, 0.1) == ["a.jpg"]


def test_a_file_that_changes_without_growing_settles_anew(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg", b"1", clock)
    after(inbox, clock, 0)
    clock.now += 1
    write(path, b"2", clock)
    assert after(inbox, clock, 1) == []
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_handed_out_again(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg", b"1")
    os.utime(path, ns=(7, 7))
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == ["a.jpg"]
    other = write(tmp_path / "b.jpg", b"2")
    os.utime(other, ns=(7, 7))
    other.replace(path)
    after(inbox, clock, 60)
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_a_file_that_must_be_looked_at_again_is_handed_out_again(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg")
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == ["a.jpg"]
    inbox.look_again(path)
    assert inbox.next_due_s(clock.now) == 0
    assert after(inbox, clock, 0) == []
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_an_event_wakes_the_owner_once_until_events_are_taken(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    woken: list[int] = []
    inbox = make(folder_at(tmp_path / "in"), wake=lambda: woken.append(1))
    inbox.look_again(tmp_path / "in/a.jpg")
    inbox.look_again(tmp_path / "in/b.jpg")
    assert len(woken) == 1
    after(inbox, clock, 0)
    inbox.look_again(tmp_path / "in/a.jpg")
    assert len(woken) == 2


def test_events_outside_the_folders_change_nothing(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    after(inbox, clock, 0)
    write(tmp_path / "elsewhere/a.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "in/.hidden/a.jpg")
    write(tmp_path / "in/sub/b.jpg")
    for name in ("elsewhere/a.jpg", "in/link/a.jpg", "in/.hidden/a.jpg", "in/none", "in/sub", "in"):
        inbox.look_again(tmp_path / name)
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == ["sub/b.jpg"]  # the hint at the folder itself had it scanned


def test_more_files_than_asked_for_come_with_the_next_calls(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    inbox = make(folder_at(tmp_path / "one"), folder_at(tmp_path / "two"))
    for n in range(5):
        write(tmp_path / f"one/{n}.jpg")
        write(tmp_path / f"two/{n}.jpg")
    inbox.settled(clock.now, 4)
    clock.now += 2
    batches = [inbox.settled(clock.now, 4) for _ in range(4)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 0]
    assert len({arrival.path for batch in batches for arrival in batch}) == 10


def test_the_ends_of_few_files_are_looked_at_at_a_time(
    tmp_path: Path, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Question, Answered]] = []
    monkeypatch.setattr(ReadsNow, "ask", lambda _, *question: asked.append(question))
    monkeypatch.setattr("daemon.intake.settling._MAX_ASKED", 3)
    inbox = make(folder_at(tmp_path / "one"))
    for n in range(7):
        write(tmp_path / f"one/{n}.jpg")
    inbox.settled(clock.now, 10)
    clock.now += 2
    found: list[Arrival] = []
    for _ in range(8):
        assert inbox.settled(clock.now, 10) == []
        assert len(asked) == min(3, 7 - len(found))
        assert inbox.next_due_s(clock.now) > 0  # the loop sleeps until an answer comes
        if asked:
            _, answered = asked.pop(0)
            answered(EndRead(truncated=False))
            found += inbox.settled(clock.now, 10)
    assert len({arrival.path for arrival in found}) == 7


def test_a_file_that_vanishes_before_it_settles_does_not_arrive(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg")
    after(inbox, clock, 0)
    path.unlink()
    assert after(inbox, clock, 2) == []
    assert inbox.unsettled() == 0


def test_a_file_that_was_away_during_a_scan_arrives_again(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg")
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == ["a.jpg"]
    path.rename(tmp_path / "a.jpg")
    assert after(inbox, clock, 60) == []
    (tmp_path / "a.jpg").rename(path)
    assert after(inbox, clock, 60) == []
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_an_empty_file_is_not_ready_until_it_has_content(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg", b"", clock)
    after(inbox, clock, 0)
    assert after(inbox, clock, 30, at_once=True) == []
    assert inbox.unsettled() == 0
    write(path, b"1", clock)
    after(inbox, clock, 60)
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_a_picture_that_ends_early_is_still_arriving_while_it_is_young(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 50).save(whole)
    path = write(tmp_path / "in/a.jpg", whole.read_bytes()[:-100], clock)
    after(inbox, clock, 0)
    assert after(inbox, clock, 3) == []
    assert inbox.unsettled() == 1
    for _ in range(25):
        assert after(inbox, clock, 1) == []
    assert after(inbox, clock, 2.5) == ["a.jpg"]
    write(path, whole.read_bytes(), clock)
    after(inbox, clock, 60)
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_a_picture_that_a_download_manager_still_writes_is_arriving(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    write(tmp_path / "in/a.jpg", clock=clock)
    control = write(tmp_path / "in/a.jpg.aria2", clock=clock)
    after(inbox, clock, 0)
    assert after(inbox, clock, 3) == []
    control.unlink()
    assert after(inbox, clock, 2) == ["a.jpg"]


def test_a_truncated_picture_dated_in_the_future_does_not_wait_for_ever(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    os.utime(path, (clock.wall() + 9e6, clock.wall() + 9e6))
    after(inbox, clock, 0)
    assert after(inbox, clock, 29) == []
    assert after(inbox, clock, 1) == ["a.png"]


def test_at_once_takes_what_is_old_and_lets_the_young_settle(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    write(tmp_path / "in/old.jpg", clock=clock)
    clock.now += 2
    write(tmp_path / "in/young.jpg", clock=clock)
    assert after(inbox, clock, 0, at_once=True) == ["old.jpg"]
    assert inbox.unsettled() == 1
    assert after(inbox, clock, 2, at_once=True) == ["young.jpg"]


def test_polled_folders_are_scanned_more_often_and_settle_later(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    inbox = make(folder_at(tmp_path / "in", polled=True))
    after(inbox, clock, 0)
    write(tmp_path / "in/a.jpg")
    assert inbox.next_due_s(clock.now) == pytest.approx(10)
    assert after(inbox, clock, 10) == []
    assert after(inbox, clock, 9.9) == []
    assert after(inbox, clock, 0.1) == ["a.jpg"]


def test_a_rescan_finds_what_no_event_told_of(tmp_path: Path, inbox: Inbox, clock: Clock) -> None:
    after(inbox, clock, 0)
    write(tmp_path / "in/a.jpg")
    assert after(inbox, clock, 59) == []
    after(inbox, clock, 1)
    assert after(inbox, clock, 2) == ["a.jpg"]


IGNORED = (
    ".hidden.jpg",
    "._a.jpg",
    "~$a.jpg",
    "a.jpg.part",
    "a.CRDOWNLOAD",
    "a.tmp",
    "a.filepart",
    ".syncthing.a.jpg.tmp",
    "~syncthing~a.jpg.tmp",
    ".nfs0001",
    "Thumbs.db",
    "THUMBS.DB",
    "Desktop.ini",
    "@eaDir/a.jpg",
    "__MACOSX/sub/a.jpg",
    ".git/a.jpg",
    "sub/.stversions/a.jpg",
)


def test_ignored_names_are_passed_over_at_every_level(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    kept = ["a~$b.jpg", "part", "my.part.jpg", "tmp.jpg", "Thumbs.db.png"]
    for name in (*IGNORED, *kept):
        write(tmp_path / "in" / name)
    after(inbox, clock, 0)
    for name in IGNORED:
        inbox.look_again(tmp_path / "in" / name)
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == sorted(kept)
    assert inbox.notices(0) == []


def test_links_sockets_and_fifos_are_reported_once_and_left_at_every_level(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    write(tmp_path / "outside/a.jpg")
    sub = tmp_path / "in/deep/sub"
    sub.mkdir(parents=True)
    (sub / "file.jpg").symlink_to(tmp_path / "outside/a.jpg")
    (tmp_path / "in/folder").symlink_to(tmp_path / "outside")
    (sub / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(sub / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(sub / "sock"))
        after(inbox, clock, 0)
    told = {n.path.relative_to(tmp_path / "in").as_posix(): n.what for n in inbox.notices(0)}
    assert told == {
        "deep/sub/file.jpg": "symbolic link, left alone",
        "folder": "symbolic link, left alone",
        "deep/sub/dangling": "symbolic link, left alone",
        "deep/sub/fifo.jpg": "FIFO, left alone",
        "deep/sub/sock": "socket, left alone",
    }
    since = {notice.since for notice in inbox.notices(0)}
    assert after(inbox, clock, 60) == []
    assert len(inbox.notices(0)) == 5
    assert {notice.since for notice in inbox.notices(0)} == since
    (sub / "fifo.jpg").unlink()
    after(inbox, clock, 60)
    assert len(inbox.notices(0)) == 4
    assert (tmp_path / "in/folder").is_symlink()


def test_a_file_that_became_a_link_before_it_settled_does_not_arrive(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    path = write(tmp_path / "in/a.jpg")
    after(inbox, clock, 0)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert after(inbox, clock, 2) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_reported(tmp_path: Path, inbox: Inbox, clock: Clock) -> None:
    (tmp_path / "in/shut").mkdir(mode=0)
    after(inbox, clock, 0)
    assert [n.what for n in inbox.notices(0)] == ["cannot be read: Permission denied"]


def test_a_folder_the_system_will_not_list_is_reported_and_the_rest_goes_on(
    tmp_path: Path, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in/shut/a.jpg")
    write(tmp_path / "in/b.jpg")
    real, shut = os.scandir, (tmp_path / "in/shut").stat()

    def scandir(folder: int) -> Iterator[os.DirEntry[str]]:
        if os.path.samestat(os.fstat(folder), shut):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    after(inbox, clock, 0)
    assert after(inbox, clock, 2) == ["b.jpg"]
    (notice,) = inbox.notices(0)
    assert (notice.path, notice.what) == (
        tmp_path / "in/shut",
        "cannot be read: Permission denied",
    )


def test_names_that_are_no_text_or_very_long_arrive(
    tmp_path: Path, inbox: Inbox, clock: Clock
) -> None:
    odd = [b"\xff\xfe caf\xe9.jpg", b"x" * 251 + b".jpg", b"line\nbreak.jpg", b"a\\b.jpg"]
    for name in odd:
        write(tmp_path / "in" / os.fsdecode(name))
    after(inbox, clock, 0)
    inbox.look_again(tmp_path / "in" / os.fsdecode(odd[0]))
    after(inbox, clock, 0)
    clock.now += 2
    arrivals = inbox.settled(clock.now, 10)
    assert sorted(os.fsencode(a.relative) for a in arrivals) == sorted(odd)
    assert all(arrival.path.is_file() for arrival in arrivals)


def test_an_inbox_inside_another_belongs_to_itself_only(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    outer = folder_at(tmp_path / "in")
    inner = folder_at(tmp_path / "in/inner", recipe="denoise", outbox=tmp_path / "in/results")
    inbox = make(outer, inner)
    for name in ("a.jpg", "inner/b.jpg", "results/c.jpg"):
        write(tmp_path / "in" / name)
    after(inbox, clock, 0)
    inbox.look_again(tmp_path / "in/results/c.jpg")
    after(inbox, clock, 0)
    clock.now += 2
    found = {(a.folder.recipe, str(a.relative)) for a in inbox.settled(clock.now, 10)}
    assert found == {(None, "a.jpg"), ("denoise", "b.jpg")}


def test_a_folder_that_is_not_there_is_reported_and_found_soon_after_it_comes(
    tmp_path: Path, make: Make, clock: Clock
) -> None:
    folder = folder_at(tmp_path / "in")
    folder.path.rmdir()
    inbox = make(folder)
    after(inbox, clock, 0)
    assert [n.what for n in inbox.notices(0)] == ["this inbox folder is not there"]
    write(tmp_path / "in/a.jpg")
    after(inbox, clock, 2)
    assert after(inbox, clock, 2) == ["a.jpg"]
    assert inbox.notices(0) == []


def test_more_events_than_are_kept_become_a_scan(
    tmp_path: Path, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.watcher.MAX_EVENTS", 2)
    after(inbox, clock, 0)
    for n in range(5):
        inbox.look_again(write(tmp_path / f"in/{n}.jpg"))
    after(inbox, clock, 0)
    assert len(after(inbox, clock, 2)) == 5


def test_many_thousand_files_arrive_each_once(tmp_path: Path, inbox: Inbox, clock: Clock) -> None:
    for n in range(5000):
        (tmp_path / f"in/{n}.jpg").write_bytes(b"x")
    after(inbox, clock, 0)
    clock.now += 2
    found: list[Path] = []
    while batch := inbox.settled(clock.now, 256):
        found += [arrival.path for arrival in batch]
    assert len(found) == len(set(found)) == 5000


def test_a_watched_folder_whose_events_fail_to_come_twice_is_scanned_instead(
    tmp_path: Path, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.watcher.Watcher.ensure_watched", lambda *_: True)
    after(inbox, clock, 0)
    for name in ("a.jpg", "b.jpg"):
        assert inbox.notices(0) == []
        write(tmp_path / "in" / name)
        after(inbox, clock, 60)
        assert after(inbox, clock, 2) == [name]
    assert [n.what for n in inbox.notices(0)] == [
        "scanned, because no events came for what was put there"
    ]
    write(tmp_path / "in/c.jpg")
    assert after(inbox, clock, 0) == []
    assert after(inbox, clock, 10) == ["c.jpg"]
    assert after(inbox, clock, 60) == []


def test_an_arrival_knows_how_long_it_settled_and_whether_events_missed_it(
    tmp_path: Path, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.watcher.Watcher.ensure_watched", lambda *_: True)
    after(inbox, clock, 0)
    inbox.look_again(write(tmp_path / "in/told.jpg"))
    after(inbox, clock, 0)
    clock.now += 3
    (told,) = inbox.settled(clock.now, 10)
    assert told.settled_s == pytest.approx(3)
    assert not told.missed
    write(tmp_path / "in/missed.jpg")
    after(inbox, clock, 60)
    clock.now += 2
    (missed,) = inbox.settled(clock.now, 10)
    assert missed.settled_s == pytest.approx(2)
    assert missed.missed
