import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.checkpoints.library import Library
from daemon.config.recipe import SHIPPED_RECIPES, Recipe, load_recipes, recipe_named
from daemon.jobs.job_log import JobLog, days
from daemon.jobs.time_estimates import JobTime, job_times

NOW = datetime(2026, 3, 4, 23, 59, 30, tzinfo=UTC).timestamp()
DAY_S = 86400


@pytest.fixture
def recipe() -> Recipe:
    return recipe_named("denoise", load_recipes([SHIPPED_RECIPES]))


def line(recipe: Recipe, device_s: float, **others: object) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "models": {name: Library().digest(name) for name in recipe.models},
        "device": "cpu",
        "timing": {"device_s": device_s, "decode_s": 0.25, "encode_s": 0.5},
        "inputs": [
            {"role": "photo", "width": 2000, "height": 1000},
            {"role": "mask"},
        ],
        **others,
    }


def test_each_day_has_a_file_of_lines_with_their_time(tmp_path: Path) -> None:
    JobLog(tmp_path).append({"why": "x"}, NOW)
    JobLog(tmp_path).append({"why": "y"}, NOW + 60)
    (tmp_path / "jobs-notadate.jsonl").write_text("{}")
    assert [path.name for _, path in days(tmp_path)] == [
        "jobs-20260304.jsonl", "jobs-20260305.jsonl",
    ]  # fmt: skip
    written = json.loads((tmp_path / "jobs-20260304.jsonl").read_text())
    assert written == {"at": "2026-03-04T23:59:30+00:00", "why": "x"}


def test_what_jobs_took_is_read_the_newest_first(tmp_path: Path, recipe: Recipe) -> None:
    JobLog(tmp_path).append(line(recipe, 1.0), NOW)
    JobLog(tmp_path).append(line(recipe, 2.0), NOW + DAY_S)
    JobLog(tmp_path).append(line(recipe, 3.0), NOW + DAY_S)
    assert job_times(tmp_path, recipe, Library()) == [
        JobTime(2.0, 3.0, 0.75), JobTime(2.0, 2.0, 0.75), JobTime(2.0, 1.0, 0.75),
    ]  # fmt: skip


def test_of_a_job_that_asked_no_network_all_time_is_the_machine_s(
    tmp_path: Path, recipe: Recipe
) -> None:
    asked = {"device_s": 0.0, "decode_s": 0.25, "encode_s": 0.5, "restore_s": 2.0}
    for calls in (0, 1):
        JobLog(tmp_path).append(line(recipe, 0, timing=asked | {"calls": calls}), NOW)
    assert job_times(tmp_path, recipe, Library()) == [JobTime(2.0, 0, 0.75), JobTime(2.0, 0, 2.75)]


def test_other_recipes_weights_devices_and_failures_do_not_count(
    tmp_path: Path, recipe: Recipe
) -> None:
    JobLog(tmp_path).append(line(recipe, 9.0, device="cuda:0"), NOW)
    JobLog(tmp_path).append(line(recipe, 1.0), NOW)
    JobLog(tmp_path).append(line(recipe, 9.0, recipe_digest="older"), NOW)
    JobLog(tmp_path).append(line(recipe, 9.0, models={"prior": "older"}), NOW)
    JobLog(tmp_path).append({"recipe": recipe.name, "why": "it ends early"}, NOW)
    with (tmp_path / "jobs-20260304.jsonl").open("a") as file:
        file.write('{"cut off')
    assert job_times(tmp_path, recipe, Library()) == [JobTime(2.0, 1.0, 0.75)]


def test_a_long_log_is_read_from_its_end(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        JobLog(tmp_path).append(line(recipe, number), NOW)
    size = next(tmp_path.iterdir()).stat().st_size
    monkeypatch.setattr("daemon.jobs.time_estimates._TAIL_BYTES", size // 5)
    assert [round(one.device_s) for one in job_times(tmp_path, recipe, Library())] == list(
        range(49, 40, -1)
    )
    monkeypatch.setattr("daemon.jobs.time_estimates._MAX_JOBS", 3)
    assert len(job_times(tmp_path, recipe, Library())) == 3
