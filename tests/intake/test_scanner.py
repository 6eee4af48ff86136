"""One walk through folders, whoever asks: inbox, bulk jobs and estimates."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.bulk.walk import slices
from daemon.config.recipe import recipe_named
from daemon.config.station import InboxFolder, Station
from daemon.config.station_setup import known_recipes
from daemon.intake.inbox import Inbox
from daemon.intake.scanner import Folder, walk_files, walk_folders
from daemon.jobs.ledger.bulk import BulkJob
from daemon.photo import Limits
from daemon.service.estimate import work_in
from tests.support.descriptors import path_of
from tests.support.file_reads import ReadsNow

TREE = (
    "z.png",
    "a.png",
    "b/2.png",
    "b/1.png",
    "b/x/3.png",
    "b.c/4.png",
    "B/5.png",
    "deep/er/6.png",
)
"""Photographs in no particular order; each is as many pixels wide as its place in this list."""

IN_ORDER = (
    "a.png",
    "z.png",
    "B/5.png",
    "b/1.png",
    "b/2.png",
    "b/x/3.png",
    "b.c/4.png",
    "deep/er/6.png",
)

IGNORED = (
    ".hidden.png",
    "._a.png",
    ".folder/a.png",
    "half.png.part",
    "half.PART",
    "half.crdownload",
    "half.png.filepart",
    "half.jpg.3f2a91bc.partial",
    "half.jpg.opdownload",
    "half.jpg.aria2",
    "half.jpg.!ut",
    "half.jpg.!qB",
    "half.jpg.rsync-tmp",
    "half.jpg.download/a.png",
    "copy.jpg~",
    "copy.jpg.~1~",
    "#copy.jpg#",
    "~$a.png",
    "Thumbs.db",
    "@eaDir/a.png",
    "__MACOSX/a.png",
    "b/.stfolder/a.png",
)


def put(path: Path, width: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, 1000)).save(path, "PNG")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Photographs among what no walk may enter, follow or take for a photograph."""
    root, outside = tmp_path / "tree", tmp_path / "outside"
    for width, name in enumerate(TREE, 1):
        put(root / name, width)
    for name in IGNORED:
        put(root / name)
    put(outside / "a.png")
    (root / "link").symlink_to(outside)
    (root / "link.png").symlink_to(outside / "a.png")
    (root / "dangling.png").symlink_to("nowhere")
    os.mkfifo(root / "b/fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.png"))
    return root


def by_inbox(tree: Path) -> tuple[list[str], dict[str, str]]:
    away = tree.parent / "away"
    inbox = Inbox(
        [InboxFolder(tree, "denoise", away, away, away)],
        settle_s=0,
        settle_polled_s=0,
        rescan_s=60,
        arriving_s=0,
        reads=ReadsNow(),
        wake=lambda: None,
    )
    found = [arrival.relative.as_posix() for arrival in inbox.settled(1.0, 1000, at_once=True)]
    return found, {n.path.relative_to(tree).as_posix(): n.what for n in inbox.notices(1.0)}


def by_bulk(tree: Path) -> tuple[list[str], dict[str, str]]:
    station = Station(*(tree.parent / name for name in ("station", "state", "logs", "config")))
    recipe = recipe_named("denoise", known_recipes(None))
    parts = list(slices(BulkJob("job", "1", "denoise", (tree,), 0.0, 0.0), recipe, station, set()))
    found = [
        (part.path / name).relative_to(tree).as_posix() for part in parts for name in part.names
    ]
    passed_over = (odd for part in parts for odd in part.passed_over)
    return found, {Path(path).relative_to(tree).as_posix(): why for path, why in passed_over}


def by_estimate(tree: Path) -> list[str]:
    recipe = recipe_named("denoise", known_recipes(None))
    return [TREE[round(size * 1000) - 1] for size in work_in(recipe, [tree], Limits()).megapixels]


LEFT_ALONE = {
    "link": "symbolic link, left alone",
    "link.png": "symbolic link, left alone",
    "dangling.png": "symbolic link, left alone",
    "b/fifo.png": "FIFO, left alone",
    "socket.png": "socket, left alone",
}


def test_everybody_finds_the_same_files_in_the_same_order(tree: Path) -> None:
    assert by_inbox(tree) == (list(IN_ORDER), LEFT_ALONE)
    assert by_bulk(tree) == (list(IN_ORDER), LEFT_ALONE)
    assert by_estimate(tree) == list(IN_ORDER)


@pytest.mark.parametrize("user", [by_inbox, by_bulk])
def test_everybody_says_the_same_of_a_folder_that_cannot_be_read(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: Callable[[Path], tuple[list[str], dict[str, str]]],
) -> None:
    real = os.scandir

    def scandir(folder: int) -> Any:  # noqa: ANN401
        if path_of(folder).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    found, passed_over = user(tree)
    assert found == [name for name in IN_ORDER if not name.startswith("b/")]
    assert passed_over["b"] == "cannot be read: Permission denied"
    assert by_estimate(tree) == found


def test_the_root_may_be_a_link_and_folders_may_be_shut_out(tree: Path) -> None:
    link = tree.with_name("way-in")
    link.symlink_to(tree)
    shut = {f"{link}/b", f"{link}/deep/er"}
    found = [folder.relative for folder in walk_folders(str(link), not_entered=shut)]
    assert found == ["", "B", "b.c", "deep"]


def test_a_walk_may_be_of_one_sub_folder(tree: Path) -> None:
    found = [path for path, _ in walk_files(str(tree), "b")]
    assert found == ["b/fifo.png", "b/1.png", "b/2.png", "b/x/3.png"]


@pytest.mark.parametrize("start", [(), ("B",), ("b",), ("b", "x"), ("deep", "er"), ("c",)])
def test_a_walk_goes_on_where_it_stopped(tree: Path, start: tuple[str, ...]) -> None:
    whole = [folder.parts for folder in walk_folders(str(tree))]
    rest = [folder.parts for folder in walk_folders(str(tree), start=start)]
    assert rest == [parts for parts in whole if parts >= start]


def test_folders_before_the_start_are_not_listed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    real = os.scandir

    def scandir(folder: int) -> Any:  # noqa: ANN401
        listed.append(Path(path_of(folder)).relative_to(tree).as_posix())
        return real(folder)

    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    list(walk_folders(str(tree), start=("b", "x")))
    assert listed == [".", "b", "b/x", "b.c", "deep", "deep/er"]


def test_what_vanishes_while_it_is_walked_is_left_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = walk_files(str(tree))
    next(path for path, _ in walk if path == "a.png")
    (tree / "z.png").unlink()
    (tree / "b.c").rename(tree.with_name("away"))
    left = [path for path, _ in walk]
    assert "z.png" not in left
    assert not [path for path in left if path.startswith("b.c")]
    assert left[-1] == "deep/er/6.png"


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert list(walk_folders(str(tmp_path / "gone"))) == [Folder((), (), ())]
    assert list(walk_files(str(tmp_path / "gone"))) == []


def test_names_that_are_no_text_are_walked(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9 \xff.png")
    (tmp_path / odd).write_bytes(b"")
    assert [path for path, _ in walk_files(str(tmp_path))] == [odd]
