import json
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station_setup import open_station
from daemon.intake.requests import RetryRequest, waiting_requests
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles
from daemon.jobs.ledger.writer import Ledger
from daemon.service.component_settings import inbox_folders
from daemon.system.errors import ConfigError
from tests.support.fakes import everything_below


def failure(path: Path, **why: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".error.json").write_text(json.dumps(why))


def retry(root: Path, *paths: Path) -> int:
    return exit_code(["--station", str(root), "retry", *map(str, paths)])


def test_it_goes_back_to_the_watched_folder_it_came_from(tmp_path: Path, root: Path) -> None:
    scans = tmp_path / "scans"
    (root / "restored.toml").write_text(
        f'[[watch]]\npath = "{scans}"\nrecipe = "denoise"\noutbox = "{tmp_path}/out"\n'
    )
    photo = root / "failed/scans/trip/x.jpg"
    failure(photo, recipe="denoise", origin=str(scans / "trip/x.jpg"))
    photo.write_bytes(b"photo")
    assert retry(root) == 0
    assert everything_below(scans) == {"trip/x.jpg": b"photo"}
    assert everything_below(root / "failed") == {}


def test_an_origin_that_is_no_inbox_is_not_written_to(tmp_path: Path, root: Path) -> None:
    photo = root / "failed/denoise/x.jpg"
    failure(photo, recipe="denoise", origin=str(tmp_path / "elsewhere/x.jpg"))
    photo.write_bytes(b"photo")
    assert retry(root) == 0
    assert everything_below(root / "inbox") == {"denoise/x.jpg": b"photo"}
    assert not (tmp_path / "elsewhere").exists()


def test_both_halves_and_side_files_come_back_and_strangers_stay(root: Path) -> None:
    folder = root / "failed/interpolate"
    failure(folder / "x-a.png", recipe="interpolate")
    for name in ("x-a.png", "x-b.png", "x-a.mask.png", "y-b.png"):
        (folder / name).write_bytes(name.encode())
    assert retry(root, folder / "x-a.png") == 0
    assert sorted(everything_below(root / "inbox/interpolate")) == [
        "x-a.mask.png", "x-a.png", "x-b.png",
    ]  # fmt: skip
    assert sorted(everything_below(folder)) == ["y-b.png"]


def test_a_name_that_is_taken_again_is_not_overwritten(root: Path) -> None:
    photo = root / "failed/denoise/x.jpg"
    failure(photo, recipe="denoise")
    photo.write_bytes(b"old")
    (root / "inbox/denoise/x.jpg").write_bytes(b"new")
    assert retry(root) == 0
    found = everything_below(root / "inbox/denoise")
    assert found.pop("x.jpg") == b"new"
    assert list(found.values()) == [b"old"]


def test_an_original_left_in_its_place_is_asked_for_and_not_touched(root: Path) -> None:
    original = root / "inbox/denoise/x.jpg"
    original.write_bytes(b"photo")
    before = original.stat().st_mtime_ns
    failure(root / "failed/denoise/x.jpg", recipe="denoise", origin=str(original))
    assert retry(root) == 0
    station = open_station(root)[0]
    assert [pending.request for pending in waiting_requests(station)] == [
        RetryRequest(paths=(original,))
    ]
    assert original.stat().st_mtime_ns == before
    assert everything_below(root / "failed") == {}


def test_status_counts_as_failed_what_lies_in_failed_now(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = root / "failed/denoise/x.jpg"
    failure(photo, recipe="denoise")
    photo.write_bytes(b"photo")
    station, settings = open_station(root)
    file = ClaimedFile("photo", Path("denoise/x.jpg"), Path("w"), 1, 1)
    ledger = Ledger(station.ledger)
    claim = ClaimedFiles(inbox_folders(station, settings)[0], "x", (file,))
    (entry,) = ledger.intend([("denoise", claim, NO_REASON)])
    ledger.fail([(entry.row, Reason("it ends early"))])
    ledger.end([(entry.row, photo)], "failed", 5.0)
    ledger.close()

    def status() -> tuple[int, list[str]]:
        capsys.readouterr()
        exit_code(["--station", str(root), "status", "--json"])
        found = json.loads(capsys.readouterr().out)
        return found["recipes"][0]["failed"], [f["reason"] for f in found["failures"]]

    assert status() == (1, ["it ends early"])
    retry(root)
    assert status() == (0, [])


@pytest.mark.parametrize("content", ["[" * 200_000, "no JSON"], ids=["deep", "no JSON"])
def test_a_reason_that_cannot_be_read_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    photo = root / "failed/denoise/x.jpg"
    failure(photo)
    reason = photo.with_name("x.jpg.error.json")
    reason.write_text(content)
    assert retry(root) == ConfigError.exit_code
    assert f"{reason}: not a readable reason" in capsys.readouterr().err.replace("\n", "")


def test_a_photograph_named_like_a_reason_is_put_back_and_not_removed(root: Path) -> None:
    folder = root / "failed/denoise"
    folder.mkdir(parents=True)
    for name in ("b.jpg", "b.jpg.error.json"):
        (folder / name).write_bytes(name.encode())
    failure(folder / "b.jpg.error.json", recipe="denoise")
    assert retry(root, folder / "b.jpg") == 0
    assert (folder / "b.jpg.error.json").read_bytes() == b"b.jpg.error.json"
    assert retry(root) == 0
    assert everything_below(root / "inbox") == {
        "denoise/b.jpg": b"b.jpg",
        "denoise/b.jpg.error.json": b"b.jpg.error.json",
    }
    assert everything_below(root / "failed") == {}
