import errno
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.jobs import publication as publication_module
from daemon.jobs import xmp_sidecars
from daemon.jobs.access import Access
from daemon.jobs.case_folding import FoldedNames
from daemon.jobs.publication import Publication, is_published, publish, record_path
from daemon.system import files


def staged(
    tmp_path: Path, content: dict[str, str], *, job: str = "job-1", stem: str = "scan"
) -> Publication:
    """A staged result; keys are names with {stem}."""
    staging = tmp_path / "staged" / job
    staging.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, (name, text) in enumerate(content.items()):
        (staging / str(number)).write_text(text)
        entries.append((str(number), name, "digest"))
    outputs = [{"sha256": "digest"}] * len(content)
    record = {"job": job, "outputs": outputs}
    return Publication(tmp_path / "out", stem, "12345678", staging, tuple(entries), record)


def only(results: Sequence[object]) -> Path:
    (result,) = results
    assert isinstance(result, Path)
    return result


def test_a_result_and_its_record_are_published(tmp_path: Path) -> None:
    result = only(publish([staged(tmp_path, {"{stem}.png": "pixels"})], Access(0o640)))
    assert result == tmp_path / "out" / "scan.png"
    assert result.read_text() == "pixels"
    assert result.stat().st_mode & 0o777 == 0o640
    record = json.loads(record_path(result).read_text())
    assert record["job"] == "job-1"
    assert record["outputs"] == [{"file": "scan.png", "sha256": "digest"}]
    assert is_published(result)


def test_other_content_under_the_name_is_kept_and_the_result_takes_another(tmp_path: Path) -> None:
    first = only(publish([staged(tmp_path, {"{stem}.png": "first"})], Access()))
    second = only(publish([staged(tmp_path, {"{stem}.png": "second"}, job="job-2")], Access()))
    assert (first.name, first.read_text()) == ("scan.png", "first")
    assert (second.name, second.read_text()) == ("scan~12345678.png", "second")
    third = only(publish([staged(tmp_path, {"{stem}.png": "third"}, job="job-3")], Access()))
    assert third.read_text() == "third"
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_all_files_of_a_result_share_one_stem(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan.frames").mkdir()
    (tmp_path / "out" / "scan.frames" / "01.png").write_text("somebody's")
    content = {"{stem}.webp": "film", "{stem}.frames/00.png": "a", "{stem}.frames/01.png": "b"}
    result = only(publish([staged(tmp_path, content)], Access()))
    assert result.name == "scan~12345678.webp"
    assert (tmp_path / "out" / "scan~12345678.frames" / "01.png").read_text() == "b"
    assert (tmp_path / "out" / "scan.frames" / "01.png").read_text() == "somebody's"
    names = [o["file"] for o in json.loads(record_path(result).read_text())["outputs"]]
    assert names[2] == "scan~12345678.frames/01.png"


def test_a_sidecar_is_named_after_its_result_and_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scan.png.xmp").write_text("somebody's")
    content = {
        "{stem}.png": "pixels",
        xmp_sidecars.AFTER_STEM: "one",
        xmp_sidecars.AFTER_NAME: "two",
    }
    publication = staged(tmp_path, content)
    outputs, beside = [{"width": 8}], [{"from": "scan.xmp"}, {"from": "scan.jpg.xmp"}]
    record = {**publication.record, "outputs": outputs, "sidecars": beside}
    result = only(publish([replace(publication, record=record)], Access()))
    assert result.name == "scan~12345678.png"
    there = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.xmp")}
    named = {"scan~12345678.xmp": "one", "scan~12345678.png.xmp": "two"}
    assert there == {"scan.png.xmp": "somebody's", **named}
    told = json.loads(record_path(result).read_text())
    assert told["outputs"] == [{"file": result.name, "width": 8}]
    assert told["sidecars"] == [
        {"file": "scan~12345678.xmp", "from": "scan.xmp"},
        {"file": "scan~12345678.png.xmp", "from": "scan.jpg.xmp"},
    ]


@pytest.mark.parametrize("stem", ["x" * 250, "\u00e9" * 119, "{result}.xmp"])
def test_a_sidecar_follows_its_result_however_that_is_named(tmp_path: Path, stem: str) -> None:
    content = {
        "{stem}.png": "pixels",
        xmp_sidecars.AFTER_STEM: "one",
        xmp_sidecars.AFTER_NAME: "two",
    }
    result = only(publish([staged(tmp_path, content, stem=stem)], Access()))
    assert result.with_suffix(".xmp").read_text() == "one"
    assert result.with_name(f"{result.name}.xmp").read_text() == "two"


@pytest.mark.parametrize("calls_before_the_crash", range(9))
def test_a_crash_at_any_call_leaves_one_result_after_publishing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls_before_the_crash: int
) -> None:
    content = {"{stem}.webp": "film", "{stem}.frames/00.png": "a", xmp_sidecars.AFTER_STEM: "xmp"}
    publication = staged(tmp_path, content)
    left = calls_before_the_crash

    class Crash(BaseException):
        pass

    def crashing(real: object) -> object:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            return real(*args, **kwargs)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        for name in ("place", "write_json", "sync_folders", "make_folder"):
            patch.setattr(publication_module, name, crashing(getattr(publication_module, name)))
        patch.setattr(files, "place", crashing(files.place))
        try:
            publish([publication], Access())
        except Crash:
            assert not (tmp_path / "out" / "scan.webp.json").exists()
    again = Publication.load(publication.dump())
    result = only(publish([again], Access()))
    assert result.name == "scan.webp"
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert found == ["scan.frames", "scan.frames/00.png", "scan.webp", "scan.webp.json", "scan.xmp"]


def test_one_that_cannot_be_published_does_not_disturb_its_neighbours(tmp_path: Path) -> None:
    good = staged(tmp_path, {"{stem}.png": "pixels"})
    (tmp_path / "file").write_text("not a folder")
    bad = replace(
        staged(tmp_path, {"{stem}.png": "x"}, job="job-2"), folder=tmp_path / "file" / "x"
    )
    first, second = publish([bad, good], Access())
    assert isinstance(first, OSError)
    assert isinstance(second, Path)
    assert is_published(second)


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b"[]", b"null", b"\xff", b'{"job": "job-1"}' + b" " * (16 << 20)],
    ids=["deep", "list", "null", "no text", "more than 16 MB"],
)
def test_a_record_that_somebody_else_wrote_keeps_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    strange = tmp_path / "out" / "scan.png.json"
    strange.write_bytes(content)
    result = only(publish([staged(tmp_path, {"{stem}.png": "pixels"})], Access()))
    assert (result.name, strange.read_bytes()) == ("scan~12345678.png", content)


def test_a_fifo_or_a_link_in_place_of_a_record_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "scan.png.json")
    own = tmp_path / "own.json"
    own.write_text('{"job": "job-1"}')
    (tmp_path / "out" / "scan~12345678.png.json").symlink_to(own)
    result = only(publish([staged(tmp_path, {"{stem}.png": "pixels"})], Access()))
    assert result.name == "scan~12345678-2.png"


def test_a_redone_result_that_was_deleted_replaces_its_own_record(tmp_path: Path) -> None:
    result = only(publish([staged(tmp_path, {"{stem}.png": "pixels"})], Access()))
    result.unlink()
    again = only(publish([staged(tmp_path, {"{stem}.png": "pixels, anew"})], Access()))
    assert again == result
    assert again.read_text() == "pixels, anew"


def test_names_that_are_bytes_and_long_are_published(tmp_path: Path) -> None:
    stem = os.fsdecode(b"\xe9" * 250)
    result = only(publish([staged(tmp_path, {"{stem}.png": "x"}, stem=stem)], Access()))
    assert is_published(result)
    assert len(os.fsencode(record_path(result).name)) <= 255


def test_names_that_a_share_takes_for_one_do_not_clash(tmp_path: Path) -> None:
    def named(stem: str, number: int) -> Publication:
        content = {"{stem}.png": f"{number}", "{stem}.frames/0.png": f"{number}"}
        return staged(tmp_path, content, job=f"job-{number}", stem=stem)

    names = FoldedNames()
    together = publish([named("IMG_1", 1), named("img_1", 2)], Access(), names)
    later = publish([named("Img_1", 3)], Access(), names)
    after_restart = publish([named("Zo\u00eb", 4), named("Zoe\u0308", 5)], Access())
    found = [path.name for path in (*together, *later, *after_restart) if isinstance(path, Path)]
    assert found == [
        "IMG_1.png",
        "img_1~12345678.png",
        "Img_1~12345678-2.png",
        "Zo\u00eb.png",
        "Zoe\u0308~12345678.png",
    ]
    there = [name.casefold() for name in os.listdir(tmp_path / "out")]  # noqa: PTH208
    assert len(set(there)) == len(there) == 15


def test_a_folder_is_listed_again_only_if_others_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    real = os.scandir

    def scandir(path: Path) -> Any:  # noqa: ANN401
        listed.append(path)
        return real(path)

    monkeypatch.setattr("daemon.jobs.case_folding.os.scandir", scandir)
    names = FoldedNames()
    for number in range(20):
        name = f"{number}"
        publish([staged(tmp_path, {"{stem}.png": name}, job=name, stem=name)], Access(), names)
    assert len(listed) == 1
    (tmp_path / "out/IMG.png").write_text("somebody's")
    os.utime(tmp_path / "out", (1, 1))
    result = only(publish([staged(tmp_path, {"{stem}.png": "x"}, stem="img")], Access(), names))
    assert (result.name, len(listed)) == ("img~12345678.png", 2)


@pytest.mark.parametrize("name", ["scan.png", "scan.png.json"])
def test_a_dangling_link_keeps_its_name_and_the_result_takes_another(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "nowhere")
    result = only(publish([staged(tmp_path, {"{stem}.png": "pixels"})], Access()))
    assert (result.name, is_published(result)) == ("scan~12345678.png", True)
    assert (tmp_path / "out" / name).is_symlink()


def test_a_disk_that_does_not_sync_disturbs_no_other_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(folders: Iterable[Path]) -> None:
        if tmp_path / "bad" in folders:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("daemon.jobs.publication.sync_folders", sync)
    good = staged(tmp_path, {"{stem}.png": "pixels"})
    other = staged(tmp_path, {"{stem}.png": "x"}, job="job-2")
    first, second = publish([replace(other, folder=tmp_path / "bad"), good], Access())
    assert isinstance(first, OSError)
    assert isinstance(second, Path)
    assert not (tmp_path / "bad/scan.png.json").exists()
