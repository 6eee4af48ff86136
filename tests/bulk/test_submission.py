"""What people ask of bulk jobs, and what is refused."""

from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station_setup import find_station
from daemon.intake.requests import waiting_requests
from tests.support.bulk_runs import (
    ask_to_submit,
    bulk_command,
    bulk_counts,
    save_photo,
    submit,
    submit_and_run,
)
from tests.support.station_runs import (
    drop_photo,
    run_once,
)


def test_plain_retry_leaves_photographs_of_bulk_jobs_alone(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(scans / "broken.png")
    drop_photo(root, "denoise/broken.png")
    submit_and_run(root, scans)
    capsys.readouterr()
    failed = root / "failed/denoise/scans/broken.png"
    assert exit_code(["--station", str(root), "retry", str(failed)]) == 64
    assert "of the bulk job 'job'" in capsys.readouterr().err
    assert exit_code(["--station", str(root), "retry"]) == 0
    assert capsys.readouterr().out.endswith("1 put back\n")
    assert failed.with_name("broken.png.error.json").exists()


@pytest.mark.parametrize("where", ["missing", "station", "station/inbox", ".", "empty"])
def test_paths_that_cannot_be_restored_are_refused(root: Path, where: str) -> None:
    (root.parent / "empty").mkdir()
    path = root.parent / where
    command = ["--station", str(root), "submit", str(path), "--recipe", "denoise"]
    assert exit_code(command) == 64
    assert waiting_requests(find_station(root)) == []


def test_results_of_folders_watched_elsewhere_are_not_restored_again(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = root.parent / "albums"
    save_photo(outbox / "old/a.png")
    save_photo(scans / "a.png")
    with (root / "restored.toml").open("a") as settings:
        settings.write(f'\n[[watch]]\npath = "{scans}"\nrecipe = "denoise"\noutbox = "{outbox}"\n')
    command = ["--station", str(root), "submit", str(outbox / "old"), "--recipe", "denoise"]
    assert exit_code(command) == 64
    assert f"{outbox}, where results go" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--recipe", "none"], 78, "none"),
        (["--recipe", "denoise", "--at", "25:00"], 64, "a time such as 22:00"),
        (["--recipe", "denoise", "--at", "2020-01-01T10:00"], 64, "this is past"),
        (["--recipe", "denoise", "--name", "a/b"], 64, "no /"),
        (["--recipe", "denoise", "--name", ".."], 64, "no . or - first"),
        (["--recipe", "denoise", "--name", "job"], 64, "has this name already"),
    ],
)
def test_wrong_submissions_say_what_is_wrong(
    root: Path,
    scans: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    said: str,
) -> None:
    save_photo(scans / "a.png")
    submit(root, scans)
    assert exit_code(["--station", str(root), "submit", str(scans), *more]) == code
    assert said in capsys.readouterr().err


def test_an_unknown_bulk_job_is_named_with_the_known_ones(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(scans / "a.png")
    submit(root, scans)
    bulk_command(root, "pause", "jbo", expect=64)
    assert "no bulk job is called 'jbo'; there are: job" in capsys.readouterr().err


def test_two_submissions_of_one_name_both_count(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    for _ in range(2):
        ask_to_submit(find_station(root), "same", "denoise", scans, at=1.0)
    run_once(root)
    assert bulk_counts(root, "same") == {"found": 1, "done": 1}
    assert bulk_counts(root, "same-2") == {"found": 1, "skipped": 1}


def test_a_file_that_is_no_request_is_set_aside(root: Path) -> None:
    folder = find_station(root).state / "bulk"
    folder.mkdir()
    (folder / "1.json").write_text('["submit"]')
    assert run_once(root).done == 0
    assert [path.name for path in folder.iterdir()] == ["1.refused"]
