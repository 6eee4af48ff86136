"""Copies in the background: when a name is given, what is asked, and that no part file is left."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import daemon.jobs.copy_process as copying
from daemon.jobs.access import Access
from daemon.jobs.file_copies import BackgroundCopies, CopyPendingError
from daemon.jobs.publication import Publication, publish
from daemon.system.files import copy_durably, part_path, same_content
from tests.support.copiers import CopierThread, put_on_another_disk
from tests.support.waiting import wait_for


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on another disk."""
    folder = tmp_path / "out"
    folder.mkdir()
    put_on_another_disk(folder, monkeypatch)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    path.write_text("pixels")
    return path


@pytest.fixture
def copies() -> Iterator[BackgroundCopies]:
    background = BackgroundCopies(lambda: None, CopierThread)
    yield background
    background.close()


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were copied."""
    names: list[str] = []

    def copy(source: Path, target: Path) -> None:
        names.append(source.name)
        copy_durably(source, target)

    monkeypatch.setattr(copying, "copy_durably", copy)
    return names


def delivered(copies: BackgroundCopies) -> None:
    def idle() -> bool:
        copies.deliver()
        return not copies.busy

    wait_for(idle, "the answers")


def placed(copies: BackgroundCopies, source: Path, target: Path) -> bool:
    with pytest.raises(CopyPendingError) as pending:
        copies.place(source, target)
    assert copies.is_pending(pending.value.questions)
    delivered(copies)
    assert not copies.is_pending(pending.value.questions)
    return copies.place(source, target)


def publication_of(tmp_path: Path, out: Path, *names: str) -> Publication:
    staging = tmp_path / "staged"
    staging.mkdir()
    for name in names:
        (staging / name).write_text(f"pixels of {name}")
    files = tuple((name, f"{{stem}}-{name}", "digest") for name in names)
    return Publication(out, "a", "12345678", staging, files, {"job": "job-1"})


def published(copies: BackgroundCopies, publication: Publication) -> Path:
    """Publish in as many turns as it takes."""
    while True:
        (result,) = publish([publication], Access(), copies=copies)
        if isinstance(result, Path):
            return result
        assert isinstance(result, CopyPendingError)
        delivered(copies)


def test_on_one_disk_a_name_is_a_link_and_nothing_is_asked(
    tmp_path: Path, source: Path, copies: BackgroundCopies
) -> None:
    copies.prepare([(source, tmp_path / "name.png")])
    assert copies.place(source, tmp_path / "name.png")
    assert copies.place(source, tmp_path / "name.png")
    assert source.stat().st_nlink == 2
    assert not copies.busy


def test_a_copy_gets_its_name_once_it_is_whole_and_leaves_no_part(
    out: Path, source: Path, copies: BackgroundCopies
) -> None:
    assert placed(copies, source, out / "a.png")
    assert [path.name for path in out.iterdir()] == ["a.png"]
    assert (out / "a.png").read_text() == "pixels"


def test_a_name_that_is_taken_while_a_copy_runs_costs_no_second_copy(
    out: Path, source: Path, copies: BackgroundCopies, copied: list[str]
) -> None:
    with pytest.raises(CopyPendingError):
        copies.place(source, out / "a.png")
    (out / "a.png").write_text("of somebody else")
    delivered(copies)
    assert not copies.place(source, out / "a.png")
    assert copies.place(source, out / "b.png")
    assert copied == ["source.png"]
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    assert (out / "a.png").read_text() == "of somebody else"


def test_a_source_that_changed_since_is_copied_again(
    out: Path, source: Path, copies: BackgroundCopies
) -> None:
    with pytest.raises(CopyPendingError):
        copies.place(source, out / "a.png")
    delivered(copies)
    source.write_text("other pixels")
    assert placed(copies, source, out / "a.png")
    assert (out / "a.png").read_text() == "other pixels"
    assert len(list(out.iterdir())) == 1


def test_a_copy_that_somebody_cut_short_gets_no_name(
    out: Path, source: Path, copies: BackgroundCopies
) -> None:
    with pytest.raises(CopyPendingError):
        copies.place(source, out / "a.png")
    delivered(copies)
    part_path(source, out).write_text("pix")
    assert placed(copies, source, out / "a.png")
    assert (out / "a.png").read_text() == "pixels"


def test_what_the_file_system_refuses_is_raised_once_and_leaves_nothing(
    out: Path, source: Path, copies: BackgroundCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(source: Path, target: Path) -> None:
        target.write_text("pix")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy_durably", fill)
        with pytest.raises(OSError, match="No space left"):
            placed(copies, source, out / "a.png")
    assert list(out.iterdir()) == []
    assert placed(copies, source, out / "a.png")


def test_copies_that_are_forgotten_leave_no_part_whether_whole_or_not(
    out: Path, source: Path, copies: BackgroundCopies
) -> None:
    for forget_first in (True, False):
        with pytest.raises(CopyPendingError):
            copies.place(source, out / "a.png")
        if forget_first:
            copies.forget([source])
            assert not copies.busy
            wait_for(lambda: not copies._answered.empty(), "the answer")
            copies.deliver()
        else:
            delivered(copies)
            assert len(list(out.iterdir())) == 1
            copies.forget([source])
        assert list(out.iterdir()) == []


def test_the_end_removes_copies_that_got_no_name(
    out: Path, source: Path, copies: BackgroundCopies
) -> None:
    with pytest.raises(CopyPendingError):
        copies.place(source, out / "a.png")
    delivered(copies)
    copies.close()
    assert list(out.iterdir()) == []


def test_all_files_of_a_result_are_copied_before_any_has_its_name(
    tmp_path: Path, out: Path, copies: BackgroundCopies, copied: list[str]
) -> None:
    publication = publication_of(tmp_path, out, "1.png", "2.png")
    published(copies, publication)
    assert sorted(copied) == ["1.png", "2.png"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("a-1.png", "a-1.png.json", "a-2.png"),
    ]


def test_after_a_crash_a_copy_is_compared_in_the_background_and_not_doubled(
    tmp_path: Path, out: Path, copies: BackgroundCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    publication = publication_of(tmp_path, out, "1.png")
    (out / "a-1.png").write_text("pixels of 1.png")
    part = part_path(publication.staging / "1.png", out)
    part.write_text("of a copier that was killed")
    compared: list[Path] = []
    real = same_content

    def same(one: Path, other: Path) -> bool:
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(copying, "same_content", same)
    monkeypatch.setattr("daemon.system.files.same_content", None)  # the loop reads nothing
    assert published(copies, publication) == out / "a-1.png"
    assert compared == [out / "a-1.png"]
    assert sorted(path.name for path in out.iterdir()) == ["a-1.png", "a-1.png.json"]
