"""Why a claim is refused, in the words that people read."""

import errno
import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from daemon.intake import reader_process
from daemon.jobs.failure_reasons import Reason
from daemon.service.daemon import RunSummary
from daemon.system.files import sha256_of
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    ended_by_kill,
    open_daemon,
    published_results,
    run_once,
)


def reason(root: Path, name: str) -> str:
    """What is wrong and what to do, as people are told."""
    content = json.loads((root / f"failed/{name}.error.json").read_text())
    return str(Reason(content["why"], content.get("remedy", "")))


def test_a_file_that_cannot_be_hashed_is_named_as_it_was_dropped(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, beneath: Path | None) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    drop_photo(root, "denoise/album/a.png")
    monkeypatch.setattr(reader_process, "sha256_of", refuse)
    assert run_once(root) == RunSummary(failed=1)
    assert reason(root, "denoise/album/a.png") == (
        "[Errno 5] Input/output error: 'denoise/album/a.png'"
    )


@pytest.mark.parametrize("side", ["mask", "hints"])
def test_a_huge_side_file_is_refused_by_its_size_before_it_is_read(root: Path, side: str) -> None:
    recipe = {"mask": "inpaint", "hints": "colorize"}[side]
    drop_photo(root, f"{recipe}/a.png")
    huge = root / f"inbox/{recipe}/a.{side}.png"
    huge.touch()
    os.truncate(huge, 20_000_000_000)
    began = time.monotonic()
    assert run_once(root) == RunSummary(failed=1)
    assert time.monotonic() - began < 5
    assert reason(root, f"{recipe}/a.png") == (
        f"{recipe}/a.{side}.png: 20000.0 MB; allowed: at most 2000 MB; "
        "raise the setting max_file_mb"
    )


def test_a_file_that_ends_the_daemon_while_it_is_read_is_found_and_set_aside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        drop_photo(root, f"denoise/{name}.png", size=len(name) + ord(name))
    read = sha256_of

    def die_of_b(path: Path, beneath: Path | None) -> str:
        if path.name.endswith("b.png"):
            os._exit(137)
        return read(path)

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(reader_process, "sha256_of", die_of_b)
        while ended_by_kill(partial(run_once, root)):
            kills += 1
            assert kills < 10
    assert kills == 6
    assert sorted(published_results(root)) == ["denoise/a.png", "denoise/c.png"]
    assert reason(root, "denoise/b.png") == "the daemon was killed 6 times while it read this"
    assert_no_leftovers(root)


def test_five_kills_while_a_file_is_read_are_not_its_fault(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/a.png")
    drop_photo(root, "denoise/b.png", size=9)
    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(reader_process, "sha256_of", lambda path, beneath: os._exit(137))
            assert ended_by_kill(partial(run_once, root))
    assert run_once(root) == RunSummary(done=2)


def test_results_are_heard_of_while_many_files_are_hashed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in range(8, 20):
        drop_photo(root, f"denoise/{size}.png", size=size)

    def slow(path: Path, beneath: Path | None) -> str:
        time.sleep(0.2)
        return sha256_of(path)

    monkeypatch.setattr(reader_process, "sha256_of", slow)
    with open_daemon(root) as daemon:
        began = time.monotonic()
        daemon.turn(at_once=True)
        assert time.monotonic() - began < 2
        assert daemon.once().done == 12


def test_a_file_that_is_no_photograph_is_named_as_it_was_dropped(root: Path) -> None:
    (root / "inbox/denoise/album").mkdir(parents=True)
    (root / "inbox/denoise/album/text.jpg").write_text("this is no picture")
    assert run_once(root) == RunSummary(failed=1)
    why = reason(root, "denoise/album/text.jpg")
    assert why.startswith("denoise/album/text.jpg: starts with b'this is '")
