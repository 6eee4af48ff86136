"""What a browser sends becomes files in an inbox: whole, within bounds, under safe names."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from daemon.config.recipe import Recipe
from daemon.config.station_setup import known_recipes, make_station, open_station
from daemon.intake.scanner import walk_files
from daemon.web import uploads as module
from daemon.web.uploads import PART_BYTES, UploadRefusedError, Uploads, checked_path
from tests.support.fakes import everything_below
from tests.support.station_runs import write_settings
from tests.support.web_site import csrf_of, open_site, visit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_station(tmp_path / "station")
    write_settings(tmp_path / "station", max_file_mb=20)
    return tmp_path / "station"


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def uploads(root: Path, now: list[float]) -> Uploads:
    return Uploads(*open_station(root), clock=lambda: now[0])


@pytest.fixture(scope="module")
def denoise() -> Recipe:
    return next(one for one in known_recipes(None) if one.name == "denoise")


def test_a_file_appears_when_it_is_whole_and_not_before(
    root: Path, uploads: Uploads, denoise: Recipe
) -> None:
    upload = uploads.begin(denoise, "album/a.jpg", 6)
    assert uploads.add(upload.id, 0, b"abc") is None
    assert list(walk_files(str(root / "inbox"))) == []
    assert uploads.add(upload.id, 0, b"abc") is None  # sent twice
    assert uploads.add(upload.id, 3, b"def") == "a.jpg"
    assert everything_below(root / "inbox") == {"denoise/album/a.jpg": b"abcdef"}


def test_no_file_takes_the_name_of_another(root: Path, uploads: Uploads, denoise: Recipe) -> None:
    for content in (b"one", b"two", b"one"):
        uploads.add(uploads.begin(denoise, "a.jpg", 3).id, 0, content)
    found = everything_below(root / "inbox")
    assert sorted(found.values()) == [b"one", b"one", b"two"]
    assert found["denoise/a.jpg"] == b"one"


def test_a_file_system_without_links_takes_files_too(
    root: Path, uploads: Uploads, denoise: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object, **options: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    for content in (b"one", b"two"):
        uploads.add(uploads.begin(denoise, "a.jpg", 3).id, 0, content)
    assert sorted(everything_below(root / "inbox").values()) == [b"one", b"two"]


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "..", "../a.jpg", "a/../b.jpg", "/etc/passwd", ".a.jpg", "a/.git/b.jpg", "a.jpg/",
        "a\0.jpg", "a\n.jpg", "a\u202e.jpg", "a\\b.jpg", "C:a.jpg", "a.html", "a.svg.exe", "a.txt",
        "x.part", "a.jpg.tmp", "/".join("abcdefghij") + "/a.jpg", "a" * 2000 + ".jpg",
        "<script>.jpg",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_is_no_photograph_is_refused(path: str) -> None:
    with pytest.raises(UploadRefusedError):
        checked_path(path, None)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.JPG", ((), "a.JPG")),
        ("box 1/a b.tif", (("box 1",), "a b.tif")),
        ("ünï.mask.png", ((), "ünï.mask.png")),
        ("a.jpg.xmp", ((), "a.jpg.xmp")),
        ("./a.png", ((), "a.png")),
    ],
)
def test_photographs_and_what_belongs_to_them_keep_their_names(
    path: str, found: tuple[tuple[str, ...], str]
) -> None:
    assert checked_path(path, None) == found


def test_a_link_in_the_inbox_leads_nowhere(
    root: Path, uploads: Uploads, denoise: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "inbox/denoise/album").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        uploads.begin(denoise, "album/a.jpg", 3)
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_does_not_fit_is_refused(uploads: Uploads, denoise: Recipe) -> None:
    with pytest.raises(UploadRefusedError, match="larger than the 20 MB") as refused:
        uploads.begin(denoise, "a.jpg", 20_000_001)
    assert refused.value.status == 413
    upload = uploads.begin(denoise, "a.jpg", 6)
    for offset, data in ((1, b"x"), (0, b"1234567")):
        with pytest.raises(UploadRefusedError, match="0 of 6 bytes are there"):
            uploads.add(upload.id, offset, data)
    with pytest.raises(UploadRefusedError, match="no such file"):
        uploads.add("0" * 32, 0, b"x")


def test_files_that_are_not_sent_on_are_given_up(
    root: Path, uploads: Uploads, denoise: Recipe, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_OPEN", 2)
    first, _ = uploads.begin(denoise, "a.jpg", 3), uploads.begin(denoise, "b.jpg", 3)
    with pytest.raises(UploadRefusedError, match="too many files are being sent"):
        uploads.begin(denoise, "c.jpg", 3)
    now[0] = 4000.0
    uploads.begin(denoise, "c.jpg", 3)
    with pytest.raises(UploadRefusedError, match="no such file"):
        uploads.add(first.id, 0, b"abc")
    uploads.close()
    assert everything_below(root / "inbox") == {}


def test_one_visitor_begins_only_so_many_files(
    uploads: Uploads, denoise: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads._rate, "_burst", 2)
    for name in ("a.jpg", "b.jpg"):
        uploads.cancel(uploads.begin(denoise, name, 3, "anna").id)
    with pytest.raises(UploadRefusedError, match="too many files at once"):
        uploads.begin(denoise, "c.jpg", 3, "anna")
    uploads.begin(denoise, "c.jpg", 3, "ben")


def test_a_full_disk_takes_nothing(
    uploads: Uploads, denoise: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 0, 100))
    with pytest.raises(UploadRefusedError, match="disk of the inbox is full") as refused:
        uploads.begin(denoise, "a.jpg", 101)
    assert refused.value.status == 507


def test_a_large_file_goes_in_parts_by_the_api_and_small_ones_in_a_form(root: Path) -> None:
    with visit(open_site(root)) as client:
        token = csrf_of(client.get("/add").text)
        headers = {"x-csrf-token": token}
        content = os.urandom(PART_BYTES + 5)
        new = {"path": "a.tif", "bytes": len(content), "recipe": "restore"}
        state = client.post("/api/uploads", json=new, headers=headers).json()
        path = f"/api/uploads/{state['id']}"
        client.put(f"{path}?offset=0", content=content[:PART_BYTES], headers=headers)
        assert client.get(path).json()["received"] == PART_BYTES
        done = client.put(
            f"{path}?offset={PART_BYTES}", content=content[PART_BYTES:], headers=headers
        )
        assert done.json()["name"] == "a.tif"
        too_large = client.put(path, content=b" " * (PART_BYTES + 1), headers=headers)
        assert too_large.status_code == 413
        assert client.delete(path, headers=headers).status_code == 200
        files = [("files", ("b.jpg", b"bbb")), ("files", ("c.mask.png", b"ccc"))]
        answer = client.post("/add", data={"csrf": token, "recipe": ""}, files=files)
        assert answer.headers["location"] == "/queue?said=added"
        refused = client.post("/add", data={"csrf": token}, files=[("files", ("x.html", b"<p>"))])
        assert (refused.status_code, "not that of a photograph" in refused.text) == (422, True)
        found = everything_below(root / "inbox")
        assert found == {"restore/a.tif": content, "b.jpg": b"bbb", "c.mask.png": b"ccc"}
        assert (
            client.post("/api/uploads", json=new | {"recipe": "no"}, headers=headers).status_code
            == 422
        )
