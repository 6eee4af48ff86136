import json
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station_setup import make_station
from tests.support.fakes import everything_below
from tests.support.station_runs import drop_photo, published_results, run_once, write_settings


@pytest.fixture
def station(tmp_path: Path, fake_executor: None) -> Path:
    """A station with results, a failure, a recipe, settings, and a photograph that waits."""
    root = make_station(tmp_path / "s").root
    write_settings(root)
    (root / "recipes/attic.toml").write_text('[[steps]]\nkind = "denoise"\n')
    drop_photo(root, "denoise/a.png")
    drop_photo(root, "denoise/broken.png")
    assert (run_once(root).done, len(list((root / "failed/denoise").iterdir()))) == (1, 2)
    drop_photo(root, "denoise/later.png")
    return root


def photographs(root: Path) -> dict[str, bytes]:
    folders = ("inbox", "archive", "failed", "outbox", "recipes", "reports")
    return {f"{f}/{name}": b for f in folders for name, b in everything_below(root / f).items()}


def test_a_station_goes_on_from_its_backup(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, copy = photographs(station), tmp_path / "copy"
    settings = (station / "restored.toml").read_text()
    assert exit_code(["--station", str(station), "backup", str(copy), "--archive"]) == 0
    station.rename(tmp_path / "lost")
    assert exit_code(["--station", str(station), "restore-backup", str(copy)]) == 0
    assert photographs(station) == before
    assert (station / "restored.toml").read_text() == settings
    capsys.readouterr()
    assert exit_code(["--station", str(station), "status", "--json"]) == 0
    (row,) = (r for r in json.loads(capsys.readouterr().out)["recipes"] if r["recipe"] == "denoise")
    assert (row["done"], row["failed"], row["in_inbox"]) == (1, 1, 1)
    assert run_once(station).done == 1
    assert set(published_results(station)) == {"denoise/a.png", "denoise/later.png"}


def test_without_the_archive_only_what_is_not_restored_is_copied(
    station: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    assert exit_code(["--station", str(station), "backup", str(copy)]) == 0
    names = set(everything_below(copy))
    assert {"ledger.sqlite3", "restored.toml", "backup.json", "recipes/attic.toml"} <= names
    assert {"inbox/denoise/later.png", "failed/denoise/broken.png"} <= names
    assert not (copy / "archive").exists()


def test_nothing_is_replaced_and_a_torn_backup_is_refused(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, before = tmp_path / "copy", photographs(station)
    words = ["--station", str(station)]
    assert exit_code([*words, "backup", str(copy)]) == 0
    assert exit_code([*words, "backup", str(copy)]) == 73
    assert exit_code([*words, "restore-backup", str(copy)]) == 73
    assert exit_code(["--station", str(tmp_path / "new"), "restore-backup", str(copy)]) == 78
    (copy / "backup.json").unlink()
    assert exit_code([*words, "restore-backup", str(copy)]) == 78
    assert exit_code(["restore-backup", str(copy)]) == 64
    said = capsys.readouterr().err
    for part in ("is not empty", "ledger.sqlite3 exists", f"is of {station}", "no complete backup"):
        assert part in said
    assert photographs(station) == before
    assert not (tmp_path / "new").exists()
