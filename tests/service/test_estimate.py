from pathlib import Path

import pytest
from PIL import Image

from daemon.checkpoints.library import Library
from daemon.cli.main import exit_code
from daemon.config.recipe import SHIPPED_RECIPES, Recipe, load_recipes, recipe_named
from daemon.jobs.job_log import JobLog
from daemon.photo import Limits
from daemon.service.estimate import work_in


def recipe(name: str) -> Recipe:
    return recipe_named(name, load_recipes([SHIPPED_RECIPES]))


def picture(path: Path, width: int = 1000, height: int = 500) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)


def test_photographs_of_folders_and_files_are_found_and_others_counted(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/deep/b.png", 2000)
    picture(tmp_path / "in/deep/b.hints.png", 2000)
    picture(tmp_path / "in/.hidden/c.png")
    picture(tmp_path / "d.png", 3000)
    (tmp_path / "in/text.jpg").write_text("no picture")
    (tmp_path / "in/list.txt").write_text("no picture")
    work = work_in(recipe("colorize"), [tmp_path / "in", tmp_path / "d.png"], Limits())
    assert work.megapixels == (0.5, 1.0, 1.5)
    assert work.refused == 2


def test_the_two_photographs_of_a_pair_are_one_job(tmp_path: Path) -> None:
    for name in ("x-a", "x-b", "y-a"):
        picture(tmp_path / f"{name}.png")
    work = work_in(recipe("interpolate"), [tmp_path], Limits())
    assert (work.megapixels, work.refused) == ((1.0,), 1)


def test_the_estimate_uses_finished_jobs_of_the_station(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path / "s")])
    denoise = recipe("denoise")
    record = {
        "recipe_digest": denoise.digest,
        "models": {name: Library().digest(name) for name in denoise.models},
        "device": "cpu",
        "timing": {"device_s": 240.0, "decode_s": 0.01, "encode_s": 0.01},
        "inputs": [{"role": "photo", "width": 1000, "height": 1000}],
    }
    JobLog(tmp_path / "s/logs").append(record, 1e9)
    picture(tmp_path / "in/a.png", 1000, 500)
    picture(tmp_path / "in/b.png", 1000, 1000)
    capsys.readouterr()
    command = ["--station", str(tmp_path / "s"), "estimate", "denoise", str(tmp_path / "in")]
    assert exit_code(command) == 0
    said = capsys.readouterr().out
    assert said == (
        "2 jobs, 1.5 megapixels; 0 files are not for denoise\n"
        "about 6 min with nothing else to do, judged by 1 finished jobs\n"
    )


def test_without_finished_jobs_the_estimate_makes_a_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "a.png", 256, 256)
    assert exit_code(["estimate", "denoise", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.endswith("judged by a trial just now\n")
    assert said.splitlines()[1].split(" with")[0].split()[-1] in ("s", "min")


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    assert exit_code(["estimate", "denoise", str(tmp_path / "none")]) == 64
