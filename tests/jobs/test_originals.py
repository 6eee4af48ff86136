import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.jobs.access import Access
from daemon.jobs.ledger.entries import ClaimedFile
from daemon.jobs.originals import reject, retire


def claimed(path: Path, name: str, role: str = "photo") -> ClaimedFile:
    """A file in the work folder that was called otherwise in its inbox."""
    found = path.stat()
    return ClaimedFile(role, Path(name), path, found.st_size, found.st_mtime_ns)  # type: ignore[arg-type]


def group(folder: Path, **contents: str) -> list[ClaimedFile]:
    """A claim of files in a folder of their own, by their names with "_" for "."."""
    folder.mkdir(parents=True)
    files = []
    for number, (key, content) in enumerate(contents.items()):
        name = key.replace("__", "~").replace("_", ".")
        path = folder / f"{number}-{name}"
        path.write_text(content)
        role = "mask" if ".mask." in name else "companion" if number else "photo"
        files.append(claimed(path, name, role))
    return files


def below(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_originals_are_archived(tmp_path: Path) -> None:
    archive = tmp_path / "archive/sub"
    files = group(tmp_path / "work", scan_jpg="photo", scan_xmp="xmp")
    paths = retire(files, archive, "key", Access())
    assert paths == [archive / "scan.jpg", archive / "scan.xmp"]
    assert below(archive) == {"scan.jpg": "photo", "scan.xmp": "xmp"}
    assert retire(files, archive, "key", Access()) == paths


@pytest.mark.parametrize(
    "second",
    [
        {"i_jpg": "two", "i_xmp": "x2", "i_mask_png": "m2", "i_jpg_json": "j2"},
        {"i_jpg": "two", "i_xmp": "x2"},
        {"i_jpg": "one", "i_xmp": "x2"},
        {"i_heic": "two", "i_mask_png": "m2"},
    ],
)
def test_all_files_of_a_group_take_other_names_if_one_is_taken(
    tmp_path: Path, second: dict[str, str]
) -> None:
    archive = tmp_path / "archive"
    first = group(tmp_path / "1", i_jpg="one", i_mask_png="m1", i_xmp="x1")
    retire(first, archive, "11111111", Access())
    before = below(archive)
    paths = retire(group(tmp_path / "2", **second), archive, "22222222", Access())
    names = [name.replace("_", ".").replace("i.", "i~22222222.", 1) for name in second]
    assert [path.name for path in paths] == names
    assert below(archive) == before | dict(zip(names, second.values(), strict=True))


@pytest.mark.parametrize("taken", [(), ("i.jpg",), ("i.xmp",)])
@pytest.mark.parametrize("moves", range(1, 7))
def test_a_crash_between_the_files_of_a_group_leaves_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: tuple[str, ...], moves: int
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for name in taken:
        (archive / name).write_text("another")
    files = group(tmp_path / "1", i_jpg="photo", i_xmp="x", i_jpg_json="j")
    left = [moves]

    def until_killed(real: Callable[..., None]) -> Callable[..., None]:
        def run(*args: object, **options: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            real(*args, **options)

        return run

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr("daemon.system.files.os.link", until_killed(os.link))
        patch.setattr(Path, "unlink", until_killed(Path.unlink))
        retire(files, archive, "11111111", Access())
    for name in taken:  # what was in the way may go meanwhile
        (archive / name).unlink()
    paths = retire(files, archive, "11111111", Access())
    assert {path.suffix: path.read_text() for path in paths} == {
        ".jpg": "photo", ".xmp": "x", ".json": "j",
    }  # fmt: skip
    assert {path.name.split(".")[0] for path in paths} == {paths[0].stem}
    assert len(below(archive)) == 3


def test_of_names_that_a_share_takes_for_one_the_second_is_another(tmp_path: Path) -> None:
    files = group(tmp_path / "1", i_jpg="photo", i_xmp="x", i_XMP="y")
    paths = retire(files, tmp_path / "archive", "11111111", Access())
    assert [path.name for path in paths] == ["i.jpg", "i.xmp", "i~11111111.XMP"]


def test_a_file_that_is_gone_from_the_work_folder_is_nobody_elses(tmp_path: Path) -> None:
    files = group(tmp_path / "1", i_jpg="photo", i_xmp="mine")
    files[1].path.unlink()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/i.xmp").write_text("another's")
    paths = retire(files, tmp_path / "archive", "11111111", Access())
    assert [path.exists() for path in paths] == [True, False]


def test_the_reason_says_what_the_files_beside_a_failed_photograph_were_called(
    tmp_path: Path,
) -> None:
    failed = tmp_path / "failed"
    for number in (1, 2):
        files = group(tmp_path / f"{number}", i_jpg=f"{number}", i_mask_png=f"m{number}")
        kept = reject(files, failed, f"0000000{number}", {"why": "grey"}, Access())
    assert kept == failed / "i~00000002.jpg"
    told = json.loads((failed / "i~00000002.jpg.error.json").read_text())
    assert told == {"why": "grey", "beside": {"i~00000002.mask.png": "i.mask.png"}}
    assert (failed / "i~00000002.mask.png").read_text() == "m2"
    assert (failed / "i.mask.png").read_text() == "m1"


def test_a_reject_keeps_the_original_and_says_why(tmp_path: Path) -> None:
    original = tmp_path / "0-0-scan.jpg"
    original.write_text("broken")
    target = tmp_path / "failed" / "denoise" / "scan.jpg"
    file = claimed(original, "scan.jpg")
    kept = reject([file], target.parent, "key", {"why": "it ends early"}, Access())
    assert kept == target
    assert target.read_text() == "broken"
    error = json.loads((target.parent / "scan.jpg.error.json").read_text())
    assert error == {"why": "it ends early"}


def test_a_rejection_repeated_after_a_crash_gives_no_other_photograph_its_reason(
    tmp_path: Path,
) -> None:
    target, access = tmp_path / "failed" / "a.jpg", Access()
    for number, content in enumerate((b"first", b"second")):
        source = tmp_path / f"{number}.jpg"
        source.write_bytes(content)
        file = claimed(source, "a.jpg")
        kept = reject([file], target.parent, f"{number}", {"why": content.decode()}, access)
    assert reject([file], target.parent, "1", {"why": "second"}, access) == kept
    for path, why in ((target, "first"), (kept, "second")):
        assert json.loads(path.with_name(f"{path.name}.error.json").read_text())["why"] == why


@pytest.mark.parametrize("content", [b"\x89PNG", b'{"mine": true}', b"[]"])
@pytest.mark.parametrize("moves", [True, False])
def test_a_file_named_like_a_reason_is_never_overwritten(
    tmp_path: Path, content: bytes, *, moves: bool
) -> None:
    (tmp_path / "failed").mkdir()
    named_alike = tmp_path / "failed/b.jpg.error.json"
    named_alike.write_bytes(content)
    source = tmp_path / "1-b.jpg"
    source.write_text("original")
    why = {"why": "it ends early", "origin": "/inbox/b.jpg"}
    file = claimed(source, "b.jpg")
    for _ in range(2):  # repeated after a crash
        kept = reject([file], tmp_path / "failed", "key", why, Access(), moves=moves)
        assert kept == tmp_path / "failed/b~key.jpg"
        assert kept.exists() == moves
        assert json.loads((tmp_path / "failed/b~key.jpg.error.json").read_text()) == why
        assert named_alike.read_bytes() == content
    assert len(list((tmp_path / "failed").iterdir())) == 2 + moves


@pytest.mark.parametrize("moves", [True, False])
def test_a_reason_that_the_disk_has_no_room_for_leaves_nothing_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, moves: bool
) -> None:
    source, place = tmp_path / "1-b.jpg", tmp_path / "failed/b.jpg"
    source.write_text("original")
    why = {"why": "it ends early", "origin": "/inbox/b.jpg"}
    file = claimed(source, "b.jpg")

    def full(handle: int, mode: int) -> None:
        os.ftruncate(handle, 5)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("daemon.system.files.os.fchmod", full)
        reject([file], place.parent, "key", why, Access(), moves=moves)
    assert not (tmp_path / "failed/b.jpg.error.json").exists()
    kept = reject([file], place.parent, "key", why, Access(), moves=moves)
    assert kept == place
    assert json.loads((tmp_path / "failed/b.jpg.error.json").read_text()) == why
    assert len(list((tmp_path / "failed").iterdir())) == 1 + moves


def test_a_photograph_that_fails_again_replaces_its_own_reason(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_text("photo")
    file = claimed(tmp_path / "b.jpg", "b.jpg")
    for why in ("it ends early", "it is no picture"):
        told = {"why": why, "origin": "/scans/b.jpg"}
        kept = reject([file], tmp_path / "failed", "key", told, Access(), moves=False)
        assert kept == tmp_path / "failed/b.jpg"
        assert json.loads((tmp_path / "failed/b.jpg.error.json").read_text()) == told
    assert len(list((tmp_path / "failed").iterdir())) == 1
