"""Files moved out of folders that others may write to, and back."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from daemon.system import files, shared_folder
from daemon.system.files import open_regular
from daemon.system.safe_open import folder_beneath
from daemon.system.shared_folder import give_back, take_copy, take_file


def write(path: Path, text: str = "a photograph") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def other_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every rename out of an open folder cross file systems."""
    rename = os.rename

    def crossing(
        old: Path, new: Path, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        if src_dir_fd is not None:
            raise OSError(errno.EXDEV, "cross-device link")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", crossing)


def test_a_claim_across_file_systems_is_verified_before_the_source_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_file_system(monkeypatch)
    source = write(tmp_path / "inbox" / "scan.jpg")
    (tmp_path / "work").mkdir()
    take_copy(source, tmp_path / "work" / "0-scan.jpg", source.parent)
    assert (tmp_path / "work" / "0-scan.jpg").read_text() == "a photograph"
    assert not source.exists()


def test_a_claim_across_file_systems_leaves_a_file_that_is_larger_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_file_system(monkeypatch)
    source = write(tmp_path / "scan.jpg")
    with pytest.raises(OSError, match="larger than the setting max_file_mb allows"):
        take_copy(source, tmp_path / "0-scan.jpg", source.parent, max_bytes=3)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.jpg"]


def test_a_claim_across_file_systems_gives_up_if_the_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_file_system(monkeypatch)
    source = write(tmp_path / "scan.jpg")
    real = files.copy_open

    def copy_while_written(old: BinaryIO, target: Path) -> None:
        real(old, target)
        with source.open("a") as file:
            file.write(" that goes on")

    monkeypatch.setattr(shared_folder, "copy_open", copy_while_written)
    with pytest.raises(BlockingIOError):
        take_copy(source, tmp_path / "0-scan.jpg", source.parent)
    assert source.read_text() == "a photograph that goes on"
    assert [p.name for p in tmp_path.iterdir()] == ["scan.jpg"]


def test_what_is_no_regular_file_any_more_is_not_claimed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BlockingIOError, match="it is not a regular file any more"):
        take_file(link, tmp_path / "taken", link.parent)
    assert link.is_symlink()
    assert not (tmp_path / "taken").is_symlink()


def test_a_claim_across_file_systems_that_cannot_be_ended_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"photo")

    unlink = os.unlink

    def refuse(path: Path, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            raise PermissionError(errno.EACCES, "not yours")
        unlink(path)

    other_file_system(monkeypatch)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        take_copy(source, target, source.parent)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("moved", ["renamed", "copied"])
def test_a_folder_that_became_a_link_gives_nothing(tmp_path: Path, moved: str) -> None:
    take = take_file if moved == "renamed" else take_copy
    outside = write(tmp_path / "outside" / "scan.jpg")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "album").symlink_to(outside.parent)
    with pytest.raises(NotADirectoryError, match="album"):
        take(inbox / "album" / "scan.jpg", tmp_path / "taken", inbox)
    with pytest.raises(NotADirectoryError, match="album"):
        open_regular(inbox / "album" / "scan.jpg", inbox)
    source = write(tmp_path / "work" / "0-scan.jpg", "another")
    with pytest.raises(NotADirectoryError, match="album"):
        give_back(source, inbox / "album" / "new.jpg", inbox, "key")
    assert source.read_text() == "another"
    assert [p.name for p in outside.parent.iterdir()] == ["scan.jpg"]
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize("path", ["../outside/scan.jpg", "a/../../outside/scan.jpg"])
def test_no_path_leads_out_of_its_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path / "outside" / "scan.jpg")
    (tmp_path / "inbox" / "a").mkdir(parents=True)
    with pytest.raises(OSError, match="not the names of folders"):
        open_regular(tmp_path / "inbox" / path, tmp_path / "inbox")
    with pytest.raises(OSError, match="does not lie below"):
        open_regular(tmp_path / "outside" / "scan.jpg", tmp_path / "inbox")


def test_the_inbox_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "disk" / "album" / "scan.jpg")
    (tmp_path / "inbox").symlink_to(tmp_path / "disk")
    take_file(tmp_path / "inbox/album/scan.jpg", tmp_path / "taken", tmp_path / "inbox")
    assert (tmp_path / "taken").read_text() == "a photograph"


def test_what_is_given_back_replaces_nothing(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write(inbox / "scan.jpg", "a newer one")
    places = [
        give_back(write(tmp_path / "work", text), inbox / "scan.jpg", inbox, "key")
        for text in ("one", "one", "two")
    ]
    assert [place.read_text() for place in places] == ["one", "one", "two"]
    assert (inbox / "scan.jpg").read_text() == "a newer one"
    assert len(list(inbox.iterdir())) == 3


def test_a_folder_that_is_made_again_is_as_open_as_the_inbox(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    inbox.chmod(0o2775)
    group = next((g for g in os.getgroups() if g != inbox.stat().st_gid), None)
    if os.geteuid() == 0:
        group = 4242
    if group is not None:
        os.chown(inbox, -1, group)
        inbox.chmod(0o2775)
    before = os.umask(0o077)
    try:
        give_back(write(tmp_path / "work"), inbox / "a" / "b" / "scan.jpg", inbox, "key")
    finally:
        os.umask(before)
    wanted = inbox.stat()
    for folder in (inbox / "a", inbox / "a" / "b"):
        found = folder.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o2775, wanted.st_gid)


def test_what_took_the_name_meanwhile_stays_when_a_link_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, rename = tmp_path / "scan.jpg", os.rename
    link.symlink_to("elsewhere")

    def then_somebody_drops_a_photograph(old: str, new: Path, *, src_dir_fd: int) -> None:
        rename(old, new, src_dir_fd=src_dir_fd)
        monkeypatch.undo()
        write(link)

    monkeypatch.setattr(os, "rename", then_somebody_drops_a_photograph)
    with pytest.raises(BlockingIOError):
        take_file(link, tmp_path / "taken", tmp_path)
    assert link.read_text() == "a photograph"
    assert not link.is_symlink()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    write(tmp_path / "inbox" / "a" / "scan.jpg")
    before = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else set()
    for _ in range(3):
        with folder_beneath(tmp_path / "inbox", ["a"], listing=True):
            pass
        with pytest.raises(FileNotFoundError):
            take_file(tmp_path / "inbox/gone/x", tmp_path / "y", tmp_path / "inbox")
        with pytest.raises(NotADirectoryError):
            open_regular(tmp_path / "inbox/a/scan.jpg/x", tmp_path / "inbox")
    if before:
        assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_racing_swap_of_folder_and_link_reaches_nothing_outside(tmp_path: Path) -> None:
    inbox, outside, work = (tmp_path / name for name in ("inbox", "outside", "work"))
    for number in range(300):
        write(outside / f"{number}.jpg", "secret")
    (inbox / "album").mkdir(parents=True)
    work.mkdir()
    swapping = threading.Event()

    def swap() -> None:
        album, real, link = inbox / "album", inbox / "real", inbox / "link"
        link.symlink_to(outside)
        while not swapping.is_set():
            album.rename(real)
            link.rename(album)
            album.rename(link)
            real.rename(album)

    thread = threading.Thread(target=swap)
    thread.start()
    taken = refused = 0
    try:
        for number in range(300):
            for _ in range(5):
                path, target = inbox / "album" / f"{number}.jpg", work / f"{number}"
                try:
                    take_file(path, target, inbox)
                    taken += 1
                except OSError:
                    refused += 1
                try:
                    open_regular(path, inbox).close()
                    taken += 1
                except OSError:
                    refused += 1
    finally:
        swapping.set()
        thread.join()
    assert (taken, refused) == (0, 3000)
    assert len(list(outside.iterdir())) == 300
