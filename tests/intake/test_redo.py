"""Finished work is done again, and only what is not up to date."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.cli.main import exit_code
from daemon.messages.reports import Failed
from daemon.service.daemon import RunSummary
from tests.support.fakes import FakeExecutor, everything_below
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)


@pytest.fixture
def root(root: Path) -> Path:
    recipe(root, 0.1)
    return root


def recipe(root: Path, realism: float) -> None:
    text = f'[[steps]]\nkind = "denoise"\nrealism = {realism}\n'
    (root / "recipes/mine.toml").write_text(text)


def redo(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    capsys.readouterr()
    assert exit_code(["--station", str(root), "redo", *more]) == 0
    return capsys.readouterr().out.splitlines()


def cut_off_after(calls: int, real: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    left = calls

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            os._exit(137)
        return real(*args, **kwargs)

    monkeypatch.setattr(os, real.__name__, dying)


def test_what_a_changed_recipe_did_is_done_again_beside_the_old_result(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = drop_photo(root, "mine/album/a.png")
    other = drop_photo(root, "denoise/b.png", "blue")
    run_once(root)
    assert redo(root, capsys) == ["0 to be done again, 2 up to date"]
    recipe(root, 0.9)
    assert redo(root, capsys)[0] == "1 to be done again, 1 up to date"
    assert run_once(root) == RunSummary(done=1)
    found = published_results(root)
    assert found.pop("denoise/b.png") == other[::-1]
    assert list(found.values()) == [mine[::-1]] * 2  # the stand-in restores alike
    records = [json.loads(p.read_text()) for p in (root / "outbox/mine/album").glob("*.json")]
    assert sorted(record["steps"][0]["realism"] for record in records) == [0.1, 0.9]
    assert everything_below(root / "archive") == {"mine/album/a.png": mine, "denoise/b.png": other}
    assert redo(root, capsys) == ["0 to be done again, 2 up to date"]
    assert run_once(root) == RunSummary()
    assert_no_leftovers(root)


def test_a_running_daemon_does_again_what_a_recipe_edited_meanwhile_did(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_photo(root, "mine/a.png")
    with open_daemon(root) as daemon:
        while not published_results(root):
            daemon.turn(at_once=True)
        recipe(root, 0.9)
        assert redo(root, capsys)[0] == "1 to be done again, 0 up to date"
        assert daemon.once().done == 2
    records = [json.loads(p.read_text()) for p in (root / "outbox/mine").glob("*.json")]
    assert sorted(record["steps"][0]["realism"] for record in records) == [0.1, 0.9]


def test_new_results_never_replace_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_photo(root, "mine/a.png")
    run_once(root)
    (root / "outbox/mine/a.png").write_bytes(b"retouched by hand")
    recipe(root, 0.9)
    redo(root, capsys)
    run_once(root)
    found = published_results(root)
    assert found.pop("mine/a.png") == b"retouched by hand"
    assert len(found) == 1


def test_files_folders_results_and_recipes_choose(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine/a.png", "mine/deep/b.png", "mine/deep/c.png"):
        drop_photo(root, name, size=8 + ord(name[-5]))
    run_once(root)
    recipe(root, 0.9)
    (root / "archive/mine/deep/c.png").unlink()
    some = redo(root, capsys, str(root / "archive/mine/deep"))
    assert some[0] == "1 to be done again, 0 up to date, 1 no longer in the archive as they were"
    assert redo(root, capsys, str(root / "outbox/mine/a.png"))[0].startswith("1 to be done again")
    assert redo(root, capsys, "--recipe", "denoise")[0] == "0 to be done again, 0 up to date"
    assert exit_code(["--station", str(root), "redo", "--recipe", "none"]) == 78
    assert exit_code(["--station", str(root), "redo", str(root / "inbox")]) == 64
    by_another = ["redo", str(root / "archive/mine/a.png"), "--recipe", "denoise"]
    assert exit_code(["--station", str(root), *by_another]) == 64
    assert "in the archive and was restored by 'denoise', which" in capsys.readouterr().err
    (root / "recipes/mine.toml").unlink()
    assert redo(root, capsys)[0] == "0 to be done again, 0 up to date, 3 of a recipe that is gone"


def test_pairs_and_side_files_come_back_together(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_photo(root, "interpolate/x-a.png")
    drop_photo(root, "interpolate/x-b.png", "blue")
    drop_photo(root, "colorize/grey.hints.png")
    drop_photo(root, "colorize/grey.png", "gray")
    assert run_once(root).done == 2
    before = everything_below(root / "archive")
    for name in ("interpolate", "colorize"):
        text = (root / "recipes" / f"{name}.toml").with_name(f"{name}.toml")
        text.write_text(f'[[steps]]\nkind = "{name}"\nseed = 7\n')
    assert redo(root, capsys)[0] == "2 to be done again, 0 up to date"
    assert run_once(root).done == 2
    assert everything_below(root / "archive") == before
    records = [json.loads(p.read_text()) for p in (root / "outbox").rglob("*.json")]
    assert sorted(len(record["inputs"]) for record in records) == [2] * 4


def test_a_crash_at_any_point_of_the_claim_loses_no_original(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = drop_photo(root, "mine/a.png")
    run_once(root)
    for round_ in range(20):
        recipe(root, 0.2 + round_ / 100)
        redo(root, capsys)
        child = os.fork()
        if child == 0:
            cut_off_after(round_, os.rename if round_ % 2 else os.fsync, monkeypatch)
            run_once(root)
            os._exit(0)
        os.waitpid(child, 0)
        run_once(root)
        assert everything_below(root / "archive") == {"mine/a.png": mine}, round_
        assert redo(root, capsys) == ["0 to be done again, 1 up to date"], round_
    assert_no_leftovers(root)


def test_what_match_would_refuse_now_is_done_again_all_the_same(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = drop_photo(root, "mine/a.png")
    run_once(root)
    text = "[match]\ngrey = true\n[[steps]]\nkind = 'denoise'\nrealism = 0.9\n"
    (root / "recipes/mine.toml").write_text(text)
    assert redo(root, capsys)[0] == "1 to be done again, 0 up to date"
    assert run_once(root) == RunSummary(done=1)
    assert list(published_results(root).values()) == [mine[::-1]] * 2
    assert everything_below(root / "archive") == {"mine/a.png": mine}
    assert everything_below(root / "failed") == {}


def test_what_fails_while_it_is_done_again_goes_back_to_the_folder_it_once_came_from(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "scans"
    watch = f"\n[[watch]]\npath = '{scans}'\nrecipe = 'mine'\noutbox = '{tmp_path}/out'\n"
    (root / "restored.toml").write_text((root / "restored.toml").read_text() + watch)
    mine = drop_photo(root, "x.png")
    (scans / "trip").mkdir(parents=True)
    (root / "inbox/x.png").rename(scans / "trip/x.png")
    assert run_once(root) == RunSummary(done=1)
    recipe(root, 0.9)
    redo(root, capsys)
    with monkeypatch.context() as patch:
        refused = Failed(1, "the decoder gave up")
        patch.setattr(
            FakeExecutor, "restore", lambda self, task, name: replace(refused, fence=task.fence)
        )
        assert run_once(root) == RunSummary(failed=1)
    assert exit_code(["--station", str(root), "retry"]) == 0
    assert everything_below(scans) == {"trip/x.png": mine}
    assert everything_below(root / "inbox") == {}
    assert run_once(root) == RunSummary(done=1)
    assert len([n for n in everything_below(tmp_path / "out") if n.endswith(".png")]) == 2


def test_a_request_that_cannot_be_removed_holds_nothing_up(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "mine/a.png")
    run_once(root)
    recipe(root, 0.9)
    redo(root, capsys)
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "requests":
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    drop_photo(root, "denoise/b.png", "blue")
    with capture_logs() as log:
        assert run_once(root) == RunSummary(done=2)
    assert [entry["event"] for entry in log].count("request_not_removed") == 1
