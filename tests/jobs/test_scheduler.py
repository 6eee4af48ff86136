from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.checkpoints.library import Library
from daemon.config.content_features import COLOUR
from daemon.config.recipe import Recipe, read_recipe
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.scheduler import MAX_IN_FLIGHT, Scheduler
from daemon.jobs.staging import Staging
from daemon.messages.tasks import InspectTask, RestoreTask, Task
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import claimed, queued


@pytest.fixture
def recipes(tmp_path: Path) -> list[Recipe]:
    """One recipe, which takes grey photographs."""
    path = tmp_path / "grey.toml"
    path.write_text('[match]\ngrey = true\n[[steps]]\nkind = "denoise"\n')
    return [read_recipe(path)]


def test_a_recipe_chosen_by_content_wakes_the_loop_and_starts_in_its_next_turn(
    tmp_path: Path, ledger: Ledger, recipes: list[Recipe]
) -> None:
    (tmp_path / "staged").mkdir()
    woken: list[bool] = []
    scheduler = Scheduler(
        ledger, Staging(tmp_path / "staged", ledger), Library(), lambda: woken.append(True)
    )
    queued(ledger, tmp_path, "a.jpg", recipe="")
    (inspection,) = scheduler.tasks(recipes, 0, NOW)
    assert isinstance(inspection, InspectTask)
    assert scheduler.tasks(recipes, 1, NOW) == []
    assert woken == []
    ledger.remember("digest", [(COLOUR, 0.0)], clip_digest="")
    ledger.requeue(ledger.in_state("leased")[0].row)
    assert scheduler.tasks(recipes, 0, NOW) == []
    assert woken == [True]
    (task,) = scheduler.tasks(recipes, 0, NOW)
    assert isinstance(task, RestoreTask)
    assert task.job.recipe.name == "grey"
    assert woken == [True]


@pytest.fixture
def scheduler(tmp_path: Path, ledger: Ledger) -> Scheduler:
    (tmp_path / "staged").mkdir()
    return Scheduler(ledger, Staging(tmp_path / "staged", ledger), Library(), lambda: None)


@pytest.fixture
def plain(tmp_path: Path) -> list[Recipe]:
    path = tmp_path / "denoise.toml"
    path.write_text('[[steps]]\nkind = "denoise"\n')
    return [read_recipe(path)]


def names(tasks: Sequence[Task]) -> list[str]:
    return [task.job.photos[0].path.name for task in tasks if isinstance(task, RestoreTask)]


def queue_different(ledger: Ledger, folder: Path, *photos: str) -> None:
    """Queue photographs that are not the same, so that each is a task of its own."""
    for name in photos:
        claim = claimed(folder, name)
        claim = replace(claim, files=(replace(claim.files[0], digest=name),))
        (entry,) = ledger.intend([("denoise", claim, NO_REASON)])
        ledger.queue([(entry.row, claim, NO_REASON)], NOW)


def test_a_group_of_suspects_runs_with_nothing_beside_it_before_the_others(
    tmp_path: Path, ledger: Ledger, scheduler: Scheduler, plain: list[Recipe]
) -> None:
    queue_different(ledger, tmp_path, "a", "b", "c", "d")
    tasks = scheduler.tasks(plain, 0, NOW)
    rows = [entry.row for entry in ledger.in_state("leased")]
    ledger.suspect([rows[:2], rows[2:3]])
    assert scheduler.tasks(plain, 1, NOW) == []  # d is still in flight
    ledger.requeue(rows[3])
    first = scheduler.tasks(plain, 0, NOW)
    assert names(first) == ["a", "b"]
    assert not any(task.alone for task in first)
    assert scheduler.tasks(plain, 2, NOW) == []
    ledger.fail([(row, Reason("")) for row in rows[:2]])
    assert scheduler.tasks(plain, 1, NOW) == []
    (alone,) = scheduler.tasks(plain, 0, NOW)
    assert (names([alone]), alone.alone) == (["c"], True)
    assert scheduler.tasks(plain, 1, NOW) == []
    assert names(scheduler.tasks(plain, 0, NOW)) == ["d"]
    assert len(tasks) == 4


def test_other_work_goes_before_a_suspect_with_which_a_worker_died_while_that_proves_something(
    tmp_path: Path, ledger: Ledger, scheduler: Scheduler, plain: list[Recipe]
) -> None:
    queue_different(ledger, tmp_path, "a", "b")
    scheduler.tasks(plain, 0, NOW)
    a, b = (entry.row for entry in ledger.in_state("leased"))
    ledger.suspect([[a]], death=1)
    ledger.requeue(b)
    assert names(scheduler.tasks(plain, 0, NOW, control=True)) == ["b"]
    assert names(scheduler.tasks(plain, 0, NOW, control=True)) == ["a"]  # nothing else is left


def test_where_there_are_several_workers_suspects_do_not_stop_the_others(
    tmp_path: Path, ledger: Ledger, scheduler: Scheduler, plain: list[Recipe]
) -> None:
    queue_different(ledger, tmp_path, "a", "b", "c", "d")
    scheduler.tasks(plain, 0, NOW, workers=2)
    rows = [entry.row for entry in ledger.in_state("leased")]
    ledger.suspect([rows[:2], rows[2:3]])
    first = scheduler.tasks(plain, 1, NOW, workers=2)  # d is still in flight
    assert names(first) == ["a", "b"]
    assert len({task.suspects for task in first}) == 1
    assert first[0].suspects > 0
    queue_different(ledger, tmp_path, "e", "f")
    others = scheduler.tasks(plain, 3, NOW, workers=2)
    assert names(others) == ["e", "f"]
    assert {task.suspects for task in others} == {0}
    ledger.fail([(rows[0], Reason(""))])
    assert scheduler.tasks(plain, 4, NOW, workers=2) == []  # b is still in flight
    ledger.fail([(rows[1], Reason(""))])
    (alone,) = scheduler.tasks(plain, 3, NOW, workers=2)
    assert (names([alone]), alone.alone) == (["c"], True)
    assert alone.suspects > first[0].suspects


def test_each_worker_has_room_for_as_many_tasks(
    tmp_path: Path, ledger: Ledger, scheduler: Scheduler, plain: list[Recipe]
) -> None:
    queue_different(ledger, tmp_path, "a")
    assert scheduler.tasks(plain, MAX_IN_FLIGHT, NOW) == []
    assert names(scheduler.tasks(plain, MAX_IN_FLIGHT, NOW, workers=2)) == ["a"]
