"""A folder of an inbox that somebody exchanges for a link while the daemon looks and claims."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from daemon.intake.scanner import list_files, walk_files
from daemon.jobs.ledger.writer import Ledger
from daemon.photo import Limits, Photo, is_truncated, read_header
from daemon.photo.reading import read_picture
from tests.support.fakes import everything_below
from tests.support.station_runs import run_once

PHOTOS = 12


def save_photo(path: Path, colour: str, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)


@contextmanager
def swapping(folder: Path, outside: Path) -> Iterator[None]:
    """Exchange a folder for a link to another one, to and fro, as fast as it goes."""
    real, link = folder.with_name(".real"), folder.with_name(".link")
    link.symlink_to(outside)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            folder.rename(real)
            link.rename(folder)
            folder.rename(link)
            real.rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        link.unlink()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody else's photographs."""
    for number in range(PHOTOS):
        save_photo(tmp_path / "outside" / f"{number}.png", "red", size=20 + number)
    return tmp_path / "outside"


def test_nothing_outside_is_taken_while_a_folder_is_swapped(root: Path, outside: Path) -> None:
    album = root / "inbox" / "denoise" / "album"
    for number in range(PHOTOS):
        save_photo(album / f"{number}.png", "blue", size=20 + number)
    before = everything_below(outside)
    own = set(everything_below(album).values())
    with swapping(album, outside):
        for _ in range(4):
            run_once(root)
    run_once(root)
    assert everything_below(outside) == before
    results = {
        content
        for name, content in everything_below(root / "outbox").items()
        if name.endswith(".png")
    }
    assert results <= {content[::-1] for content in own}
    kept = [*everything_below(root / "archive").values(), *everything_below(album).values()]
    assert sorted(kept) == sorted(own)
    assert everything_below(root / "failed") == {}
    assert list((root / ".restored" / "work").iterdir()) == []


@pytest.mark.parametrize("moment", ["intend", "queue"])
def test_a_swap_between_the_look_and_the_claim_gains_nothing(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    album = root / "inbox" / "denoise" / "album"
    for number in range(PHOTOS):
        save_photo(album / f"{number}.png", "blue", size=20 + number)
    before, own = everything_below(outside), everything_below(album)
    real = getattr(Ledger, moment)

    def swap_first(*args: object) -> object:
        if not album.is_symlink():
            album.rename(root / "elsewhere")
            album.symlink_to(outside)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, moment, swap_first)
        run_once(root)
    assert everything_below(outside) == before
    taken = everything_below(root / "archive").values()
    assert sorted([*taken, *everything_below(root / "elsewhere").values()]) == sorted(own.values())
    assert everything_below(root / "failed") == {}


def test_a_folder_that_is_a_link_by_now_is_not_looked_into(tmp_path: Path, outside: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "album").symlink_to(outside)
    path = inbox / "album" / "1.png"
    assert list_files(str(inbox), "album") == ()
    assert list(walk_files(str(inbox), "album")) == []
    for read in (
        lambda: is_truncated(path, beneath=inbox),
        lambda: read_header(path, Limits(), beneath=inbox),
        lambda: read_picture(
            Photo(path, path.name, "", read_header(path, Limits()), beneath=inbox), Limits()
        ),
    ):
        with pytest.raises(NotADirectoryError, match="album"):
            read()
