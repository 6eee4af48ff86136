import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.system.files import (
    alternative,
    fit_name,
    make_folder,
    move_to_free,
    os_error_text,
    place,
    replace_file,
    sha256_of,
    shown,
)


@pytest.fixture(params=["links", "no links", "other file system"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The three kinds of target: link works, is unknown to the file system, or crosses it."""
    code = {"no links": errno.EPERM, "other file system": errno.EXDEV}.get(request.param)
    if code is not None:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("daemon.system.files.os.link", refuse)
    return str(request.param)


def write(path: Path, text: str = "a photograph") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_placing_gives_the_content_a_second_name(tmp_path: Path, links: str) -> None:
    source = write(tmp_path / "source")
    assert place(source, tmp_path / "target")
    assert (tmp_path / "target").read_text() == "a photograph"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]


def test_placing_never_overwrites_other_content(tmp_path: Path, links: str) -> None:
    source, target = write(tmp_path / "source"), write(tmp_path / "target", "somebody's picture")
    assert not place(source, target)
    assert target.read_text() == "somebody's picture"


def test_placing_again_after_a_crash_is_fine(tmp_path: Path, links: str) -> None:
    source = write(tmp_path / "source")
    assert place(source, tmp_path / "target")
    assert place(source, tmp_path / "target")


def test_an_empty_file_of_somebody_else_keeps_its_name(tmp_path: Path, links: str) -> None:
    source, target = write(tmp_path / "source"), write(tmp_path / "target", "")
    assert not place(source, target)
    assert target.read_text() == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("kind", ["dangling link", "link to the same", "folder", "FIFO"])
def test_what_is_no_regular_file_keeps_its_name(tmp_path: Path, links: str, kind: str) -> None:
    source, target = write(tmp_path / "source"), tmp_path / "target"
    match kind:
        case "dangling link":
            target.symlink_to(tmp_path / "nowhere")
        case "link to the same":
            target.symlink_to(source)
        case "folder":
            target.mkdir()
        case _:
            os.mkfifo(target)
    before = target.lstat().st_ino
    assert not place(source, target)
    assert target.lstat().st_ino == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("call", ["fsync", "open", "rename"])
def test_a_copy_that_fails_leaves_nothing(
    tmp_path: Path, links: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    if links == "links":
        pytest.skip("nothing is copied")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = write(tmp_path / "source")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            place(source, tmp_path / "target")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


_KILLED = """
import errno, os, shutil, sys
from pathlib import Path
from daemon.system.files import place

def refuse(*_, **__):
    raise OSError(errno.EXDEV, "cross-device link")

os.link = refuse
setattr(sys.modules[sys.argv[1]], sys.argv[2], lambda *_, **__: os._exit(9))
place(Path(sys.argv[3]), Path(sys.argv[4]))
"""


@pytest.mark.parametrize("call", ["shutil.copystat", "os.fsync"])
@pytest.mark.parametrize("then", ["is free", "holds the same", "holds other content"])
def test_what_a_killed_copy_left_goes_when_the_copy_is_repeated(
    tmp_path: Path, links: str, call: str, then: str
) -> None:
    if links == "links":
        pytest.skip("nothing is copied")
    source, target = write(tmp_path / "staged" / "source"), tmp_path / "out" / "target"
    target.parent.mkdir()
    arguments = [*call.split("."), str(source), str(target)]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert killed.returncode == 9
    assert len(list(target.parent.iterdir())) == 1
    if then != "is free":
        write(target, "a photograph" if then == "holds the same" else "another's")
    assert place(source, target) == (then != "holds other content")
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_a_file_is_replaced_on_another_file_system_too(tmp_path: Path, links: str) -> None:
    source, target = write(tmp_path / "source", "new"), write(tmp_path / "out" / "a", "old")
    replace_file(source, target)
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a"]


def test_moving_to_a_taken_name_takes_another_and_keeps_both(tmp_path: Path, links: str) -> None:
    write(tmp_path / "archive" / "scan.jpg", "first")
    source = write(tmp_path / "work" / "0-scan.jpg", "second")
    moved = move_to_free(source, tmp_path / "archive/scan.jpg", "abcd1234")
    assert moved.name == "scan~abcd1234.jpg"
    assert moved.read_text() == "second"
    assert (tmp_path / "archive" / "scan.jpg").read_text() == "first"
    assert not source.exists()


def test_a_third_file_of_the_name_finds_a_free_one_too(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for text in ("first", "second", "third"):
        move_to_free(write(tmp_path / "x", text), folder / "scan.jpg", "abcd1234")
    assert sorted(p.read_text() for p in folder.iterdir()) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "name", ["é" * 127 + ".jpg", "x" * 251 + ".jpg", os.fsdecode(b"\xff" * 255), "." * 255]
)
def test_long_names_are_shortened_so_that_a_record_fits(name: str) -> None:
    fitted = fit_name(name)
    assert len(os.fsencode(fitted)) + len(".error.json") <= 255
    assert fitted != fit_name("y" + name[1:])
    if name.endswith(".jpg"):
        assert fitted.endswith(".jpg")
        fitted.encode()  # text stays text


def test_short_names_stay() -> None:
    assert fit_name("scan.jpg") == "scan.jpg"
    assert alternative("scan.jpg", "12ab") == "scan~12ab.jpg"


def test_undecodable_names_can_be_shown() -> None:
    assert shown(Path(os.fsdecode(b"caf\xe9.jpg"))) == "caf\\xe9.jpg"


def test_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_what_the_system_refuses_is_told_with_the_names_that_people_know() -> None:
    places = {Path("/work/0-a.png"): "album/a.png"}
    refused = OSError(errno.EIO, "Input/output error", "/work/0-a.png")
    assert os_error_text(refused, places) == "[Errno 5] Input/output error: 'album/a.png'"
    moved = OSError(errno.EXDEV, "Cross-device link", "/work/0-a.png", None, "/in/a.png")
    assert (
        os_error_text(moved, places) == "[Errno 18] Cross-device link: 'album/a.png' -> '/in/a.png'"
    )
    for other in (OSError(errno.EIO, "Input/output error", "/x.png"), OSError("closed")):
        assert os_error_text(other, places) == str(other)


def test_the_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == wanted


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere", "a link that leads nowhere is where a folder must be"),
        ("file", "a file is where a folder must be"),
    ],
)
def test_what_is_in_the_way_of_a_folder_is_called_by_its_name(
    tmp_path: Path, target: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileExistsError) as refused:
        make_folder(tmp_path / "link")
    assert refused.value.strerror == said
