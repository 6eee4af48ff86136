import json
import re
from pathlib import Path

import pytest
from PIL import Image

from daemon.cli.main import exit_code
from daemon.config.station_setup import make_station
from daemon.service import photo_report
from daemon.system.files import sha256_of
from tests.support.station_runs import drop_photo, run_once, write_settings

HOSTILE = "<script>alert(1)<&'\".png"


def make_result(folder: Path, name: str, original: Path, **record: object) -> Path:
    """A result with its record, which says that it was made of this original."""
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (900, 600), "blue").save(folder / name, format="PNG")
    photo = {"role": "photo", "file": original.name, "bytes": original.stat().st_size}
    values = {
        "recipe": "old-photo",
        "at": "2026-11-28T10:00:00+00:00",
        "steps": [{"kind": "denoise"}],
        "inputs": [photo | {"sha256": sha256_of(original)}],
        "outputs": [{"file": name}],
    }
    (folder / f"{name}.json").write_text(json.dumps(values | record))
    return folder / name


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "scans" / "deep" / "a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (300, 600), "red").save(path)
    return path


def pictures(page: str) -> list[tuple[int, int]]:
    """Sizes of the pictures on a page."""
    found = re.findall(r'src="data:image/jpeg;base64,[^"]+" width="(\d+)" height="(\d+)"', page)
    return [(int(width), int(height)) for width, height in found]


def test_a_page_shows_before_and_after_with_what_was_done(
    tmp_path: Path, original: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    make_result(results, HOSTILE, original, notes=["<b>16 bits"], note_kinds=["depth"])
    target = tmp_path / "page.html"
    command = ["report", str(results), "--out", str(target)]
    assert exit_code([*command, "--originals", str(tmp_path / "scans")]) == 0
    page = target.read_text("utf-8")
    assert pictures(page) == [(240, 480), (480, 320)]
    assert "<li>noise and compression removed</li><li>&lt;b&gt;16 bits</li>" in page
    assert "old-photo, 2026-11-28" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert re.findall(r"https?://|@import|url\(|<link", page) == []
    assert capsys.readouterr().out == f"{target}: 1 result\n"
    assert exit_code(command) == 73
    assert exit_code([*command, "--force"]) == 0
    assert "the original was not found here" in target.read_text("utf-8")


def test_originals_of_a_station_are_found_in_its_archive(
    tmp_path: Path, fake_executor: None
) -> None:
    root = make_station(tmp_path / "s").root
    write_settings(root)
    drop_photo(root, "denoise/box/a.png", size=40)
    assert run_once(root).done == 1
    (root / "archive/denoise/box/a.png").rename(root / "archive/denoise/box/renamed.png")
    assert exit_code(["report", str(root / "outbox/denoise")]) == 0
    page = (root / "outbox/denoise/report.html").read_text("utf-8")
    assert pictures(page) == [(40, 40)]
    assert "before: a.png" in page
    assert "<h2>box/a.png</h2>" in page


def test_a_page_has_so_many_results_and_says_how_many_there_are(
    tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_report, "MAX_RESULTS", 2)
    results = tmp_path / "results"
    for number in range(3):
        make_result(results, f"{number}.png", original)
    assert exit_code(["report", str(results)]) == 0
    page = (results / "report.html").read_text("utf-8")
    assert "The first 2 of 3 results." in page
    assert page.count("<section>") == 2


def test_what_cannot_be_read_is_left_out_or_said(
    tmp_path: Path, original: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    make_result(results, "broken.png", original).write_bytes(b"no picture")
    make_result(results, "gone.png", original).unlink()
    make_result(results, "odd.png", original, inputs=7, outputs=["x"], steps="x", notes=3)
    (results / "list.png").write_bytes(b"")
    (results / "list.png.json").write_text("[1]")
    assert exit_code(["report", str(results)]) == 0
    page = (results / "report.html").read_text("utf-8")
    assert re.findall("<h2>(.*)</h2>", page) == ["broken.png", "odd.png"]
    assert "the result cannot be shown here" in page
    assert exit_code(["report", str(tmp_path / "scans")]) == 64
    assert "no results with records" in capsys.readouterr().err
    assert exit_code(["report", str(tmp_path / "nowhere")]) == 64
