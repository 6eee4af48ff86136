import csv
import hashlib
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

import daemon.cli.demo_photos as demo_photos_module
from daemon.cli.demo import demo, print_table
from daemon.cli.demo_photos import demo_photos, psnr
from daemon.config.station_setup import make_station, open_station
from daemon.executors import EXECUTORS
from daemon.messages.reports import Inspected, Report, Restored, StagedFile, Timing, WorkerReady
from daemon.messages.tasks import Compute, InspectTask, RestoreTask
from daemon.photo.contact_sheet import Row, draw_grid, draw_sheet
from daemon.system.errors import BusyError

REAL = Path(demo_photos_module.__file__).with_name("real_photos")


class Copying:
    """Finds all grey; stages a copy of the first photograph, doubled or not; counts tasks."""

    tasks = 0

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._report = report

    def start(self) -> None:
        self._report(WorkerReady("fake"))

    def submit(self, task: RestoreTask | InspectTask) -> None:
        if isinstance(task, InspectTask):
            self._report(Inspected(task.fence, (0.0,) * len(task.features)))
            return
        type(self).tasks += 1
        scale = 2 if task.job.recipe.name in ("super-resolve", "old-photo") else 1
        path = task.staging / "0.png"
        with Image.open(task.job.photos[0].path) as photo:
            size = (photo.width * scale, photo.height * scale)
            photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = StagedFile(path, "{stem}.png", digest, *size)
        timing = Timing(0.5, 1, 0, 0.5, 1, 1)
        self._report(Restored(task.fence, (file,), (), (), timing, "fake"))

    def stop(self, drain_s: float) -> None:
        pass


def test_every_recipe_has_two_samples() -> None:
    chosen = demo_photos()
    counts = {s.recipe: sum(o.recipe == s.recipe for o in chosen) for s in chosen}
    assert set(counts) == {
        "colorize", "denoise", "inpaint", "interpolate", "old-photo", "restyle", "scratches",
        "super-resolve", "unfade",
    }  # fmt: skip
    assert set(counts.values()) == {2}
    assert all(s.truth is None or s.truth.size == s.before.size for s in chosen)
    assert {s.files for s in chosen} == {s.files for s in demo_photos()}


def test_real_photographs_are_among_the_samples_and_their_sources_are_told() -> None:
    with (REAL / "SOURCES.tsv").open(encoding="utf-8", newline="") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert set(rows) == {path.name for path in REAL.iterdir()} - {"SOURCES.tsv"}
    assert all(row["licence"] and row["source"] and row["trained on"] for row in rows.values())
    assert sum((REAL / name).stat().st_size for name in rows) < 700_000
    whole = {content for sample in demo_photos() for _, content in sample.files}
    assert sum((REAL / name).read_bytes() in whole for name in rows) == 5


def test_psnr_of_an_error_of_ten_levels_is_known() -> None:
    one, other = (Image.new("RGB", (4, 4), (level,) * 3) for level in (100, 110))
    assert psnr(one, other) == pytest.approx(28.1308, abs=1e-4)


def test_the_sheet_puts_panels_beside_each_other() -> None:
    panels = (("before", Image.new("L", (10, 10), 0)), ("after", Image.new("RGB", (5, 5), "red")))
    sheet = draw_sheet([Row("x", panels)], width_px=20)
    assert sheet.size == (2 * 20 + 3 * 12, 20 + 2 * 26 + 2 * 12)
    assert (sheet.getpixel((20, 45)), sheet.getpixel((54, 45))) == ((0, 0, 0), (255, 0, 0))


def test_the_grid_puts_cells_of_one_size_beside_and_below_each_other() -> None:
    wide, tall = Image.new("RGB", (30, 10), "red"), Image.new("L", (10, 40), 0)
    cell = Row("x", (("before", wide), ("after", tall)))
    sheet = draw_grid([cell] * 3, (20, 10))
    assert sheet.size == (2 * (2 * 24 + 12) + 12, 2 * (10 + 26 + 16) + 4)
    for left, top in ((12, 26), (72, 26), (12, 78)):
        assert sheet.getpixel((left + 5, top + 5)) == (255, 0, 0)
        assert sheet.getpixel((left + 24 + 5, top + 5)) == (0, 0, 0)


def test_the_demo_finds_each_result_and_computes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "copying", f"{__name__}:Copying")
    monkeypatch.setenv("RESTORED_SETTLE_S", "0")
    monkeypatch.setattr(Copying, "tasks", 0)
    station = make_station(tmp_path / "d")
    first = demo(station, open_station(station.root)[1], executor="copying")
    assert [one.seconds for one in first] == [2.0] * len(demo_photos())
    grey = next(f for f in first if f.photo.recipe == "colorize")
    assert grey.psnr_in == grey.psnr_out
    small = next(f for f in first if f.photo.recipe == "super-resolve")
    assert small.psnr_in == pytest.approx(small.psnr_out)
    with Image.open(station.root / "contact-sheet.png") as sheet:
        assert (sheet.width > 1500, sheet.height > 900) == (True, True)
        assert (sheet.width <= 1600, sheet.height <= 1000) == (True, True)
    assert (station.root / "contact-sheet.png").stat().st_size > 100_000
    again = demo(station, open_station(station.root)[1], executor="copying")
    assert [f.result for f in again] == [f.result for f in first]
    assert Copying.tasks == len(demo_photos())
    table = StringIO()
    print_table(again, Console(file=table, width=100))
    assert "coffee.png" in table.getvalue()
    assert "Colours are a guess" in table.getvalue()


def test_a_demo_that_a_full_disk_holds_up_is_no_failure_of_its_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_MIN_FREE_MB", str(1 << 40))
    monkeypatch.setitem(EXECUTORS, "copying", f"{__name__}:Copying")
    station = make_station(tmp_path / "d")
    with pytest.raises(BusyError, match="its disk is full; free some space"):
        demo(station, open_station(station.root)[1], executor="copying")
