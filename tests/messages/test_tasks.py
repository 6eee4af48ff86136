"""Tasks: frozen and picklable; what a job's id and seed depend on."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from daemon.config.content_features import COLOUR, NOISE
from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise
from daemon.messages.tasks import (
    Compute,
    InspectTask,
    Job,
    ModelOptions,
    RestoreTask,
    Task,
    job_id,
    seed_of,
)
from daemon.photo import Header, Photo

RECIPE = Recipe(name="r", steps=(Denoise(steps=4),))
OTHER_RECIPE = Recipe(name="r", steps=(Denoise(steps=5),))
PHOTO = Photo(Path("0.png"), "0.png", "digest", Header("PNG", 8, 6, "RGB"))
TASKS: list[Task] = [
    RestoreTask(Job("1f", RECIPE, (PHOTO,), "0", 7), 3, Path("staging"), alone=True),
    InspectTask(PHOTO, (COLOUR, NOISE), 4, "org/clip", "digest"),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_task_is_frozen_and_survives_the_pipe(task: Task) -> None:
    assert pickle.loads(pickle.dumps(task)) == task
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.fence = 5  # type: ignore[misc]


def test_how_to_use_the_machine_survives_the_pipe() -> None:
    compute = Compute("cuda:1", 2, models_dir=Path("models"), options=ModelOptions("bf16"))
    assert pickle.loads(pickle.dumps(compute)) == compute


def test_a_job_id_depends_on_everything_that_determines_the_result() -> None:
    ids = {
        job_id(RECIPE, ("weights",), b"a.png", "photo"),
        job_id(OTHER_RECIPE, ("weights",), b"a.png", "photo"),
        job_id(RECIPE, ("others",), b"a.png", "photo"),
        job_id(RECIPE, ("weights",), b"b.png", "photo"),
        job_id(RECIPE, ("weights",), b"a.png", "other"),
        job_id(RECIPE, ("weights",), b"a.png", "photo", "mask"),
    }
    assert len(ids) == 6
    assert job_id(RECIPE, ("weights",), b"a.png", "photo") in ids


def test_the_parts_of_a_job_id_do_not_run_together() -> None:
    assert job_id(RECIPE, (), b"p", "ab", "c") != job_id(RECIPE, (), b"p", "a", "bc")


def test_a_seed_is_a_63_bit_number_made_from_the_id() -> None:
    assert seed_of("f" * 64) == 2**63 - 1
    assert seed_of("0" * 15 + "2" + "f" * 48) == 1
