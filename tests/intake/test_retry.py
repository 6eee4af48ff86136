import json
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station_setup import open_station
from daemon.intake.requests import RetryRequest, waiting_requests
from daemon.jobs.access import Access
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.originals import reject
from daemon.service.component_settings import inbox_folders
from daemon.system.errors import ConfigError
from tests.support.fakes import everything_below
from tests.support.station_runs import cut_off_after, ended_by_kill, run_once


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


def test_a_reason_that_cannot_be_read_keeps_no_other_photograph(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        failure(root / "failed/denoise" / name, recipe="denoise")
        (root / "failed/denoise" / name).write_text(name)
    (root / "failed/denoise/a.jpg.error.json").write_text("mine")
    assert retry(root) == ConfigError.exit_code
    assert "a.jpg.error.json: not a readable reason" in capsys.readouterr().err.replace("\n", "")
    assert list(everything_below(root / "inbox")) == ["denoise/b.jpg"]


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


SIDES = {"i.mask.png": "mask", "i.jpg.xmp": "xmp", "i.aae": "edits", "i.jpg.json": "takeout"}


def drop(root: Path, number: int, names: tuple[str, ...], recipe: str = "denoise") -> None:
    """Drop a file that is no picture, with files beside it, all told apart by a number."""
    folder = root / f"inbox/{recipe}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{name} {number}")


@pytest.mark.parametrize("recipe", ["inpaint", "denoise"])
def test_of_two_photographs_of_one_name_each_comes_back_with_its_own_files(
    root: Path, recipe: str
) -> None:
    beside = [name for name in SIDES if recipe == "inpaint" or "mask" not in name]
    for number in (1, 2):
        drop(root, number, ("i.jpg", *beside), recipe)
        assert run_once(root).failed == 1
    second = next(p for p in (root / f"failed/{recipe}").glob("i~*.jpg"))
    for number, path in ((2, second), (1, root / f"failed/{recipe}/i.jpg")):
        assert retry(root, path) == 0
        inbox = root / f"inbox/{recipe}"
        assert {p.name: p.read_text() for p in inbox.iterdir()} == {
            name: f"{name} {number}" for name in ("i.jpg", *beside)
        }
        for found in inbox.iterdir():
            found.unlink()
    assert everything_below(root / "failed") == {}


def test_retry_of_all_keeps_the_files_of_one_name_apart(root: Path) -> None:
    for number in (1, 2, 3):
        drop(root, number, ("i.jpg", "i.jpg.xmp", "i.aae"))
        assert run_once(root).failed == 1
    assert retry(root) == 0
    found = {name: text.decode() for name, text in everything_below(root / "inbox/denoise").items()}
    assert len(found) == 9
    stems = {name.split(".")[0] for name in found}
    for stem in stems:
        together = {text[-1] for name, text in found.items() if name.split(".")[0] == stem}
        assert len(together) == 1
    assert run_once(root).failed == 3
    assert everything_below(root / "inbox/denoise") == {}


def test_files_of_another_photograph_that_is_called_alike_stay_with_it(root: Path) -> None:
    drop(root, 1, ("i.jpg", "i.aae"))
    assert run_once(root).failed == 1
    drop(root, 2, ("i.heic",))
    assert run_once(root).failed == 1
    assert retry(root, root / "failed/denoise/i.heic") == 0
    assert set(everything_below(root / "inbox/denoise")) == {"i.heic"}
    assert retry(root, root / "failed/denoise/i.jpg") == 0
    assert set(everything_below(root / "inbox/denoise")) == {"i.heic", "i.jpg", "i.aae"}


def test_halves_of_pairs_of_one_name_come_back_together(root: Path) -> None:
    failed, inbox = root / "failed/interpolate", root / "inbox/interpolate"
    roles = {"x-a.png": "photo", "x-b.png": "photo", "x-a.xmp": "companion"}
    for number in (1, 2):
        files = []
        for name, role in roles.items():
            path = root / f"{number}-{name}"
            path.write_text(f"{name} {number}")
            status = path.stat()
            files.append(
                ClaimedFile(role, Path(name), path, status.st_size, status.st_mtime_ns)  # type: ignore[arg-type]
            )
        why = {"recipe": "interpolate", "origin": str(inbox / "x-a.png")}
        second = reject(files, failed, f"0000000{number}", why, Access())
    assert second.name == "x~00000002-a.png"
    assert retry(root, second) == 0
    assert everything_below(inbox) == {name: f"{name} 2".encode() for name in roles}
    assert set(everything_below(failed)) == {*roles, "x-a.png.error.json"}


@pytest.mark.parametrize("kept", ["i.jpg", "i.jpg.xmp", ""])
@pytest.mark.parametrize("moves", range(1, 7))
def test_a_retry_that_is_killed_and_repeated_leaves_its_files_together(
    root: Path, kept: str, moves: int
) -> None:
    drop(root, 1, ("i.jpg", "i.jpg.xmp", "i.aae"))
    assert run_once(root).failed == 1
    if kept:
        (root / "inbox/denoise" / kept).write_text("another")

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            cut_off_after(moves, patch)
            retry(root)

    ended_by_kill(run)
    retry(root)
    found = everything_below(root / "inbox/denoise")
    mine = {name: text for name, text in found.items() if text != b"another"}
    assert sorted(mine.values()) == [b"i.aae 1", b"i.jpg 1", b"i.jpg.xmp 1"]
    assert len({name.split(".")[0] for name in mine}) == 1
    assert everything_below(root / "failed") == {}


@pytest.mark.parametrize("told", [{"../../x": "y"}, {"y.xmp": "../y"}, {"y.xmp": 3}, ["y"], "y"])
def test_what_a_reason_says_of_other_places_is_not_believed(root: Path, told: object) -> None:
    photo = root / "failed/denoise/i.jpg"
    failure(photo, recipe="denoise")
    photo.write_bytes(b"photo")
    (root / "x").write_text("somebody's")
    reason = photo.with_name("i.jpg.error.json")
    reason.write_text(json.dumps({"recipe": "denoise", "beside": told}))
    assert retry(root) == 0
    assert everything_below(root / "inbox") == {"denoise/i.jpg": b"photo"}
    assert (root / "x").exists()
