import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from daemon import __version__
from daemon.cli.main import exit_code
from daemon.cli.os_errors import let_go_of_output, watch_output
from daemon.config.recipe import SHIPPED_RECIPES
from daemon.executors import EXECUTORS
from tests.support.station_runs import drop_photo, run_once


@pytest.fixture
def station(tmp_path: Path) -> Path:
    assert exit_code(["init", str(tmp_path / "s")]) == 0
    return tmp_path / "s"


def test_init_makes_an_inbox_for_each_recipe_and_repeating_it_keeps_the_settings(
    station: Path,
) -> None:
    (station / "restored.toml").write_text("attempts = 7\n")
    assert exit_code(["init", str(station)]) == 0
    assert (station / "restored.toml").read_text() == "attempts = 7\n"
    assert sorted(p.name for p in (station / "inbox").iterdir()) == [
        "colorize", "denoise", "inpaint", "interpolate", "old-photo", "restore", "restyle",
        "scratches", "super-resolve", "unfade",
    ]  # fmt: skip
    assert json.loads((station / ".restored/station.json").read_text()) == {"format": 1}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["recipes"], 0),
        (["recipes", "sharpen"], 78),
        (["status"], 64),
        (["juggle"], 64),
        (["init"], 64),
        (["--station", "/nonexistent", "status"], 78),
    ],
)
def test_exit_codes_follow_sysexits(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESTORED_STATION", raising=False)
    assert exit_code(arguments) == code


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["--version"])
    assert capsys.readouterr().out == f"restored {__version__}\n"


def test_the_schema_has_every_kind_of_step(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["recipes", "--schema"])
    kinds = json.loads(capsys.readouterr().out)["properties"]["steps"]["items"]["discriminator"]
    assert set(kinds["mapping"]) == {
        "colorize", "denoise", "generate", "inpaint", "interpolate", "restyle", "super-resolve",
        "unfade",
    }  # fmt: skip


def test_a_recipe_is_shown_in_words_before_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["recipes", "old-photo"]) == 0
    words, text = capsys.readouterr().out.split("\n\n", maxsplit=1)
    assert "  takes   photographs in inbox/old-photo/" in words.splitlines()
    assert "  only    max_megapixels = 60" in words.splitlines()
    assert "  step 2  colorize, if grey = true" in words.splitlines()
    assert '  writes  format = "png"' in words.splitlines()
    assert text.rstrip() == (SHIPPED_RECIPES / "old-photo.toml").read_text("utf-8").rstrip()
    assert exit_code(["recipes", "old-photo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["match"]["max_megapixels"] == 60


def test_retry_puts_a_failed_original_back_and_removes_its_reason(station: Path) -> None:
    folder = station / "failed/denoise/trip"
    folder.mkdir(parents=True)
    (folder / "x.jpg").write_bytes(b"photo")
    (folder / "x.jpg.error.json").write_text("{}")
    assert exit_code(["--station", str(station), "retry"]) == 0
    assert (station / "inbox/denoise/trip/x.jpg").read_bytes() == b"photo"
    assert list(folder.iterdir()) == []


def test_retry_refuses_what_has_not_failed(station: Path) -> None:
    mine = station / "inbox/denoise/x.jpg"
    mine.write_bytes(b"photo")
    assert exit_code(["--station", str(station), "retry", str(mine)]) == 64
    assert mine.exists()


def test_pause_and_resume_make_and_remove_the_mark(station: Path) -> None:
    exit_code(["--station", str(station), "pause"])
    assert (station / ".restored/paused").exists()
    exit_code(["--station", str(station), "resume"])
    assert not (station / ".restored/paused").exists()


def test_whoever_may_not_write_the_mark_asks_the_daemon_to_pause(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = root / ".restored/paused"

    def ask(command: str, denied: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, denied, Mock(side_effect=PermissionError(13, "denied")))
            assert exit_code(["--station", str(root), command]) == 0

    ask("pause", "touch")
    assert not mark.exists()
    drop_photo(root, "denoise/a.png")
    assert run_once(root).done == 0
    assert mark.exists()
    ask("resume", "unlink")
    assert mark.exists()
    assert run_once(root).done == 1
    assert not mark.exists()


def test_a_pause_that_waits_does_not_undo_a_later_resume(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", Mock(side_effect=PermissionError(13, "denied")))
        assert exit_code(["--station", str(root), "pause"]) == 0
    assert exit_code(["--station", str(root), "resume"]) == 0
    drop_photo(root, "denoise/a.png")
    assert run_once(root).done == 1
    assert not (root / ".restored/paused").exists()


def test_check_refuses_a_bad_recipe_of_the_station(
    station: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "process", "tests.support.fakes:FakeExecutor")
    assert exit_code(["--station", str(station), "check"]) == 0
    (station / "recipes/own.toml").write_text('[[steps]]\nkind = "restyle"\nstrength = 2\n')
    assert exit_code(["--station", str(station), "check"]) == 78
    assert "own.toml: steps[0].strength is 2; allowed: numbers 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["{} pause", "pause {}"])
@pytest.mark.parametrize("option", [["--station", "DIR"], ["--station=DIR"]])
def test_the_station_may_stand_before_or_after_the_command(
    tmp_path: Path, form: str, option: list[str]
) -> None:
    exit_code(["init", str(tmp_path / "s")])
    words = form.format(" ".join(option)).replace("DIR", str(tmp_path / "s")).split()
    assert exit_code(words) == 0
    assert (tmp_path / "s" / ".restored" / "paused").exists()


def test_after_two_dashes_everything_is_a_file(tmp_path: Path) -> None:
    exit_code(["init", str(tmp_path / "s")])
    station = ["--station", str(tmp_path / "s")]
    assert exit_code([*station, "retry", "--", "--station", "x"]) == 64


HOSTILE = "a\x1b[2J\u202e\nrestored: forged"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--station", HOSTILE, "status"],
        ["--station", "{}", "retry", HOSTILE],
        ["--station", "{}", "estimate", "denoise", HOSTILE],
        ["--station", "{}", "estimate", HOSTILE, "/tmp"],
        ["--station", "{}", "submit", HOSTILE, "--recipe", "denoise"],
        ["--station", "{}", "submit", "{}", "--recipe", "denoise", "--name", HOSTILE],
        ["--station", "{}", "bulk", "show", HOSTILE],
        ["init", "{}/" + HOSTILE],
        ["init", "{}/restored.toml/" + HOSTILE],
        [HOSTILE],
        ["status", "--" + HOSTILE],
        ["models", "--station", "{}", "list", HOSTILE],
    ],
    ids=lambda arguments: " ".join(a if a != HOSTILE else "HOSTILE" for a in arguments),
)
def test_no_command_repeats_a_name_that_acts_on_the_terminal(
    arguments: list[str], station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    exit_code([argument.replace("{}", str(station)) for argument in arguments])
    said = "".join(capsys.readouterr())
    assert said
    assert {c for c in said if c != "\n" and not c.isprintable()} == set()
    assert not any(line.startswith("restored: forged") for line in said.splitlines())


def test_commands_print_by_one_way_only() -> None:
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(Path("daemon/cli").glob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"\bprint\(", line) and path.name != "context.py"
    ]
    assert found == [
        "demo.py: to.print(table)",
        "status_text.py: to.print(_table(status))",
    ]


def _run(
    arguments: list[str], stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True, check=False, timeout=60)


@pytest.fixture
def full() -> Iterator[int]:
    """A file on a full disk."""
    with open("/dev/full", "w") as file:  # noqa: PTH123
        yield file.fileno()


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize(
    "words", ["--help", "--version", "recipes", "status", "status --json", "redo", "bulk list"]
)
def test_output_on_a_full_disk_ends_a_command_with_74(
    words: str,
    unbuffered: bool,
    station: Path,
    full: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = io.FileIO(full, "w", closefd=False)
    output = io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        write_through=unbuffered,
    )
    monkeypatch.setattr(sys, "stdout", output)
    watch_output()
    capsys.readouterr()
    assert exit_code(["--station", str(station), *words.split()]) == 74
    why = "restored: standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == why
    let_go_of_output()
    sys.stdout.close()  # or what it holds is written later, to whatever file has the number then


def test_the_program_ends_with_74_where_its_output_is_lost(full: int) -> None:
    ran = _run(["recipes"], stdout=full)
    assert (ran.returncode, ran.stderr.count("\n")) == (74, 1)


def test_a_message_that_cannot_be_written_changes_no_exit_code(full: int) -> None:
    assert _run(["juggle"], stderr=full).returncode == 64


def test_a_reader_that_has_gone_ends_a_command_calmly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = _run(["recipes", "--schema"], stdout=writing)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "a"), 73, "a: No space left on device; free some"),
        (OSError(30, "Read-only file system", "a"), 73, "a: Read-only file system; mount it"),
        (OSError(17, "File exists", "a\n"), 73, "a\\n: File exists\n"),
        (OSError(5, "Input/output error", "a", None, "b"), 74, "a: Input/output error\n"),
        (OSError(13, "Permission denied", b"a"), 77, "Permission denied; run as a user who may"),
        (OSError("what a library says"), 74, "restored: what a library says\n"),
    ],
)
def test_what_the_system_refuses_is_told_in_a_line(
    error: OSError,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("daemon.cli.main.app", Mock(side_effect=error))
    assert exit_code([]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


WRONG: dict[str, tuple[int, str]] = {
    "--station S/restored.toml status": (78, "restored.toml: not a folder; a station is"),
    "--station S/loop status": (78, "loop: not a folder; a station is"),
    "--station S/inbox recipes": (78, "inbox is not a station; `restored init"),
    "--station S/nowhere apply denoise a.jpg -o out": (78, "nowhere is not a station"),
    "--station S/nowhere estimate denoise S": (78, "nowhere is not a station"),
    "--station S submit D/loop --recipe denoise": (64, "loop: a link that leads nowhere"),
    "--station S submit D --recipe denoise --at 9999-12-31T00:00": (64, "this is past or far off"),
    "apply denoise S/loop -o S/out": (65, "loop: "),
    "apply S/recipes -o S/out S/loop": (78, "no recipe is named"),
    "apply S/loop.toml -o S/out S/loop": (78, "TOML file: its symbolic links lead round"),
    "init S/restored.toml/x": (78, "TOML file: Not a directory"),
    "--station T status": (78, "/state: no such folder, though state_dir in "),
    "models verify nope": (78, "model is 'nope'; allowed: "),
}
"""Commands with wrong input: the exit code, and a part of the message."""


@pytest.mark.parametrize("words", WRONG)
def test_wrong_input_is_named_with_what_is_expected(
    words: str, station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scans").mkdir()
    for loop in (station / "loop", station / "loop.toml", tmp_path / "scans/loop"):
        loop.symlink_to(loop.name)
    (tmp_path / "scans/a.jpg").write_text("a")
    (tmp_path / "away").mkdir()
    (tmp_path / "away/restored.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    places = {"S": str(station), "D": str(tmp_path / "scans"), "T": str(tmp_path / "away")}
    arguments = [re.sub(r"^[SDT](?=/|$)", lambda m: places[m[0]], word) for word in words.split()]
    capsys.readouterr()
    code, said = exit_code(arguments), capsys.readouterr().err
    expected, part = WRONG[words]
    assert (code, part in said, "Traceback" in said) == (expected, True, False), said


def test_once_ends_with_78_where_a_watched_folder_has_no_recipe(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After all else is done: cron or a timer tells of it, as `check` does."""
    folder = tmp_path / "scans"
    folder.mkdir()
    table = f'[[watch]]\npath = "{folder}"\noutbox = "{tmp_path}/out"\nrecipe = "%s"\n'
    for recipe, code in (("denoize", 78), ("denoise", 0)):
        (station / "restored.toml").write_text(table % recipe)
        capsys.readouterr()
        assert exit_code(["--station", str(station), "once"]) == code
        said = capsys.readouterr()
        assert "0 restored, 0 failed" in said.out
        told = f"restored: {folder}: no recipe is named 'denoize'; nothing in this watched folder"
        assert (told in said.err) == (code == 78)
