"""How the folders of a bulk job are walked: what is found, in which order, after which restart."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from daemon.bulk import walk as bulk_walk
from daemon.config.recipe import recipe_named
from daemon.config.station_setup import find_station, known_recipes
from daemon.intake.settled_files import SettledFolder
from daemon.jobs.ledger import bulk as bulk_rows
from tests.support.bulk_runs import (
    bulk_counts,
    bulk_status,
    read_report,
    save_photo,
    submit,
    submit_and_run,
    take_turns,
    take_turns_without_leasing,
)
from tests.support.descriptors import path_of
from tests.support.station_runs import (
    published_results,
    run_once,
)


@pytest.mark.parametrize("max_passed_over", [1, 1024])
def test_companions_of_photographs_are_told_of_once_for_each_kind(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch, max_passed_over: int
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_PASSED_OVER", max_passed_over)
    for folder in (scans, scans / "below"):
        for name in ("a", "b", "c"):
            save_photo(folder / f"{name}.png")
            for kind in (".xmp", ".png.XMP", ".aae", ".png.json"):
                (folder / f"{name}{kind}").write_text("companion")
    (scans / "gone.xmp").write_text("companion")
    submit_and_run(root, scans)
    assert bulk_counts(root) == {"found": 6, "done": 6, "passed_over": 4}
    told = {one["path"]: one["why"] for one in read_report(root)["passed_over"]}
    assert told.pop(str(scans / "gone.xmp")).startswith("its name ends with none of")
    why = "companions of photographs stay beside them"
    assert told == {"*.xmp": why, "*.aae": why, "*.json": why}
    assert (scans / "a.xmp").read_text() == "companion"


def test_results_of_folders_with_the_same_name_are_kept_apart(root: Path, tmp_path: Path) -> None:
    one, two = save_photo(tmp_path / "x/scans/a.png", 9), save_photo(tmp_path / "y/scans/a.png", 10)
    submit_and_run(root, tmp_path / "x/scans", tmp_path / "y/scans")
    assert published_results(root) == {
        "denoise/scans/a.png": one[::-1],
        "denoise/scans-2/a.png": two[::-1],
    }


def test_side_files_and_pairs_go_with_their_photographs(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 1)
    for name in ("a.png", "a.mask.png", "b.png", "b.mask.png", "lone.png"):
        save_photo(scans / name)
    submit_and_run(root, scans, recipe="inpaint")
    assert set(published_results(root)) == {"inpaint/scans/a.png", "inpaint/scans/b.png"}
    assert read_report(root)["passed_over"] == [
        {
            "path": str(scans / "lone.png"),
            "why": "waits for lone.mask.png, which must be white where the picture is lost",
        }
    ]
    record = json.loads((root / "outbox/inpaint/scans/b.png.json").read_text())
    assert [given["role"] for given in record["inputs"]] == ["photo", "mask"]
    for name in ("p-a.png", "p-b.png", "q_1.png"):
        save_photo(scans.with_name("pairs") / name)
    submit_and_run(root, scans.with_name("pairs"), name="pairs", recipe="interpolate")
    assert bulk_counts(root, "pairs") == {"found": 1, "done": 1, "passed_over": 1}


def test_odd_names_links_and_vanishing_files_do_not_disturb_the_rest(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path(os.fsdecode(os.fsencode(scans) + b"/f\xff/\xfe.png"))
    save_photo(odd)
    for name in ("a.png", "gone.png", "z" * 250 + ".png"):
        save_photo(scans / name)
    (scans / "link").symlink_to("/etc")
    (scans / "link.png").symlink_to(scans / "a.png")
    (scans / "no.png").write_text("no picture")
    submit(root, scans)
    real = bulk_walk.Slice.claims

    def claims(self: bulk_walk.Slice, settled: SettledFolder, *given: Any) -> Any:  # noqa: ANN401
        found = real(self, settled, *given)
        if not settled.awaits_header:
            (scans / "gone.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(bulk_walk.Slice, "claims", claims)
    run_once(root)
    assert bulk_counts(root) == {"found": 5, "done": 3, "failed": 2, "passed_over": 2}
    failed = {Path(one["photo"]).name: one["why"] for one in read_report(root)["failed"]}
    assert set(failed) == {"gone.png", "no.png"}
    assert "No such file" in failed["gone.png"]
    assert len(published_results(root)) == 3


def test_a_folder_that_vanishes_while_it_is_walked_does_not_count_as_looked_at(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/a.png", "b/b.png"):
        save_photo(scans / name)
    submit(root, scans)
    away, real = scans.with_name("away"), os.scandir

    def scandir(folder: int) -> Any:  # noqa: ANN401
        if path_of(folder).endswith("/b") and not away.exists():
            scans.rename(away)
        return real(folder)

    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    assert run_once(root).done == 0
    assert bulk_status(root).state == "looking"
    away.rename(scans)
    away.mkdir()
    assert run_once(root).done == 2
    assert bulk_counts(root) == {"found": 2, "done": 2}


def test_single_files_only_need_their_folder(root: Path, scans: Path) -> None:
    for name in ("a.png", "b.png"):
        save_photo(scans / name)
    submit(root, scans / "a.png", scans / "b.png")
    (scans / "a.png").unlink()
    assert run_once(root).done == 1
    assert read_report(root)["passed_over"] == [
        {"path": str(scans / "a.png"), "why": "No such file or folder"}
    ]


@pytest.mark.usefixtures("read_at_once")
def test_files_passed_over_are_counted_once_across_restarts(root: Path, scans: Path) -> None:
    names = ("a.png", "b.txt", "c.png", "d.txt", "e.png", "f.txt")
    for name in names:
        save_photo(scans / name)
    submit(root, scans)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_walk, "_MAX_FILES", 1)
        take_turns(root, 2)
        take_turns(root, 1)
    assert bulk_status(root).state == "looking"
    run_once(root)
    assert bulk_counts(root) == {"found": 3, "done": 3, "passed_over": 3}


def test_after_a_restart_folders_that_were_looked_at_are_not_listed_again(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "a/x/1.png", "b/1.png", "b/2.png", "c/1.png"):
        save_photo(scans / name)
    bulk = bulk_rows.BulkJob(
        "job", "1", "denoise", (scans,), 1.0, 0.0, looked_at='[0, ["b"], "1.png"]'
    )
    listed: list[str] = []
    real = os.scandir

    def scandir(folder: int) -> Any:  # noqa: ANN401
        listed.append(Path(path_of(folder)).name)
        return real(folder)

    recipe = recipe_named("denoise", known_recipes(find_station(root)))
    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    found = bulk_walk.slices(bulk, recipe, find_station(root), set())
    assert [(part.path.name, part.names) for part in found] == [
        ("b", ("2.png",)),
        ("c", ("1.png",)),
    ]
    assert listed == ["scans", "b", "c"]


def test_killed_between_two_transactions_halves_of_pairs_are_not_passed_over(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p-a.png", "p-b.png"):
        save_photo(scans / name)
    submit(root, scans, recipe="interpolate")
    with monkeypatch.context() as patch:
        patch.setattr(bulk_rows.BulkJob, "with_notes", lambda *_: (_ for _ in ()).throw(KeyError()))
        with pytest.raises(KeyError):
            run_once(root)
    run_once(root)
    assert bulk_counts(root) == {"found": 1, "done": 1}


@pytest.mark.usefixtures("read_at_once")
def test_many_small_folders_are_looked_at_together(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_WALK_S", 60.0)
    for number in range(40):
        save_photo(scans / f"{number}/a.png")
    submit(root, scans)
    take_turns_without_leasing(root, 2)
    assert bulk_counts(root) == {"found": 40, "queued": 40}
