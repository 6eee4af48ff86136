import errno
import json
import os
from pathlib import Path

import pytest

from daemon.jobs.access import Access
from daemon.jobs.originals import reject, retire


def test_originals_are_archived_or_deleted(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("one")
    two.write_text("two")
    target = tmp_path / "archive" / "sub" / "scan.jpg"
    assert retire(one, target, "key", Access(), keep=True) == target
    assert target.read_text() == "one"
    assert retire(two, target, "key", Access(), keep=False) is None
    assert not two.exists()
    assert retire(two, target, "key", Access(), keep=True) is None


def test_a_reject_keeps_the_original_and_says_why(tmp_path: Path) -> None:
    original = tmp_path / "0-0-scan.jpg"
    original.write_text("broken")
    target = tmp_path / "failed" / "denoise" / "scan.jpg"
    kept = reject(original, target, "key", {"why": "it ends early"}, Access())
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
        kept = reject(source, target, f"{number}", {"why": content.decode()}, access)
    assert reject(source, target, "1", {"why": "second"}, access) == kept
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
    for _ in range(2):  # repeated after a crash
        place = tmp_path / "failed/b.jpg"
        kept = reject(source if moves else None, place, "key", why, Access())
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

    def full(handle: int, mode: int) -> None:
        os.ftruncate(handle, 5)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("daemon.system.files.os.fchmod", full)
        reject(source if moves else None, place, "key", why, Access())
    assert not (tmp_path / "failed/b.jpg.error.json").exists()
    kept = reject(source if moves else None, place, "key", why, Access())
    assert kept == place
    assert json.loads((tmp_path / "failed/b.jpg.error.json").read_text()) == why
    assert len(list((tmp_path / "failed").iterdir())) == 1 + moves


def test_a_photograph_that_fails_again_replaces_its_own_reason(tmp_path: Path) -> None:
    for why in ("it ends early", "it is no picture"):
        told = {"why": why, "origin": "/scans/b.jpg"}
        kept = reject(None, tmp_path / "failed/b.jpg", "key", told, Access())
        assert kept == tmp_path / "failed/b.jpg"
        assert json.loads((tmp_path / "failed/b.jpg.error.json").read_text()) == told
    assert len(list((tmp_path / "failed").iterdir())) == 1
