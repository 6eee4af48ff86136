"""Which worker gets which task: by loaded models and pixels; suspects; deaths; rests."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.executors.routing import FIRST_REST_S, PREFETCH, Router, models_of
from daemon.messages.reports import ModelLoaded
from daemon.messages.tasks import RestoreTask
from tests.support.engine_fakes import toy_task

SIDE = 1000
"""Side of a photograph of one megapixel."""


def task(fence: int, *, model: str = "org/a", side: int = SIDE, suspects: int = 0) -> RestoreTask:
    made = toy_task(fence, Path("staged"), size=(side, side), model=model)
    return replace(made, suspects=suspects, alone=False)


def again(one: RestoreTask, fence: int, suspects: int) -> RestoreTask:
    """The same job under another lease, as a suspect."""
    return replace(one, fence=fence, suspects=suspects)


@pytest.fixture
def router() -> Router:
    """Two workers, both ready and with the checkpoint of the tasks."""
    router = Router(["1", "2"])
    for worker in ("1", "2"):
        router.worker_ready(worker, ["org/a"])
    return router


def assign(router: Router, now: float = 0) -> list[tuple[str, int]]:
    return [(worker, one.fence) for worker, one in router.assign(now)]


def test_tasks_go_to_the_worker_with_the_fewest_pixels(router: Router) -> None:
    for one in (task(1, side=2 * SIDE), task(2), task(3), task(4)):
        router.add(one)
    assert assign(router) == [("1", 1), ("2", 2), ("2", 3), ("2", 4)]


def test_a_worker_without_the_model_gets_a_task_only_when_it_is_far_behind() -> None:
    router = Router(["1", "2"])
    router.worker_ready("1", [])
    router.worker_ready("2", ["org/a"])
    for fence in range(10):
        router.add(task(fence))
    workers = [worker for worker, _ in assign(router)]
    assert workers == [*["2"] * 8, "1", "2"]
    router.model_loaded("1", ModelLoaded("org/b", 9, 9))
    router.add(task(20, model="org/b"))
    assert assign(router) == [("1", 20)]


def test_networks_that_ship_are_loaded_nowhere_and_everywhere() -> None:
    assert models_of(task(1, model="prior")) == frozenset()
    assert models_of(task(1, model="org/a")) == {"org/a"}


def test_tasks_wait_for_whoever_starts_them_first(router: Router) -> None:
    for fence in range(2 * PREFETCH + 5):
        router.add(task(fence))
    assert len(assign(router)) == 2 * PREFETCH
    assert len(router.fences) == 5
    for fence in router.fences_in("2")[:3]:
        router.started("2", fence)
    assert [worker for worker, _ in assign(router)] == ["2"] * 3


def test_suspects_have_a_worker_to_themselves_and_the_others_go_on(router: Router) -> None:
    for fence in (1, 2):
        router.add(task(fence))
    assert assign(router) == [("1", 1), ("2", 2)]
    for one in (task(3, suspects=7), task(4, suspects=7), task(5), task(6)):
        router.add(one)
    assert assign(router) == [("2", 5), ("2", 6)]  # the first is kept free
    router.ended([1], by_worker="1")
    assert assign(router) == [("1", 3), ("1", 4)]
    router.add(task(8))
    assert assign(router) == [("2", 8)]
    router.ended([3, 4], by_worker="1")
    router.add(task(9))
    assert assign(router) == [("1", 9)]


def test_a_group_of_suspects_waits_for_the_one_before(router: Router) -> None:
    router.add(task(1, suspects=7))
    router.add(task(2, suspects=8))
    assert assign(router) == [("1", 1)]
    assert assign(router) == []
    router.ended([1], by_worker="1")
    assert [fence for _, fence in assign(router)] == [2]


def test_suspects_run_where_they_have_not_died(router: Router) -> None:
    first = task(1)
    router.add(first)
    assert assign(router) == [("1", 1)]
    router.started("1", 1)
    router.died("1", [1], 0, outside=False)
    router.worker_ready("1", ["org/a"])
    router.add(again(first, 2, suspects=7))
    assert assign(router) == [("2", 2)]
    router.died("2", [2], 0, outside=False)
    router.worker_ready("2", ["org/a"])
    router.add(again(first, 3, suspects=8))  # it died in both
    assert [fence for _, fence in assign(router)] == [3]


def test_what_a_dead_worker_was_not_sent_goes_to_another_before_what_came_since(
    router: Router,
) -> None:
    for fence in range(4):
        router.add(task(fence))
    assert assign(router) == [("1", 0), ("2", 1), ("1", 2), ("2", 3)]
    router.add(task(4))
    router.died("1", [0], 0, outside=True)
    router.withdrawn("1", [2])
    assert assign(router) == [("2", 2), ("2", 4)]
    assert router.ready_workers == 1


def test_what_was_sent_to_the_next_process_stays_with_its_worker(router: Router) -> None:
    router.add(task(1, suspects=7))
    router.add(task(2, suspects=7))
    assert len(assign(router)) == 2
    router.died("1", [1], 0, outside=False)
    router.withdrawn("1", [])  # the next process had them before anybody asked
    router.worker_ready("1", [])
    router.add(task(3))
    assert assign(router) == [("2", 3)]
    assert router.fences_in("1") == (2,)


def test_a_worker_that_dies_again_before_it_has_ended_a_task_rests_longer_each_time(
    router: Router,
) -> None:
    def die(fence: int, now: float) -> None:
        router.died("1", [fence], now, outside=False)
        router.worker_ready("1", ["org/a"])

    die(1, 0)
    router.add(task(2))
    assert assign(router) == [("1", 2)]
    die(2, 0)
    router.add(task(3, side=SIDE * 3))
    router.add(task(4))
    assert assign(router) == [("2", 3), ("2", 4)]
    assert router.next_due_s(0) is None  # nothing waits for it
    router.add(task(5))
    assert assign(router, FIRST_REST_S) == [("1", 5)]
    die(5, FIRST_REST_S)
    router.died("2", [], 0, outside=True)
    router.add(task(6))
    assert assign(router, 2 * FIRST_REST_S) == []
    assert router.next_due_s(2 * FIRST_REST_S) == FIRST_REST_S
    assert assign(router, 3 * FIRST_REST_S) == [("1", 6)]
    router.ended([6], by_worker="1")
    die(7, 100)
    router.add(task(8))
    assert assign(router, 100) == [("1", 8)]


def test_a_worker_that_is_killed_from_outside_does_not_rest(router: Router) -> None:
    for _ in range(5):
        router.died("1", [], 0, outside=True)
    router.worker_ready("1", ["org/a"])
    router.add(task(1))
    assert assign(router) == [("1", 1)]
