"""Admission: which waiting task starts next, by models, memory and pixels."""

from types import SimpleNamespace
from typing import Any

from daemon.engine.admission import LOOKAHEAD_PASSES, LOOKAHEAD_TASKS, Admission
from daemon.engine.model_cache import ModelCache, ModelKey
from daemon.engine.runs import RunState

A, B, C = (ModelKey(f"x/{name}") for name in "abc")
SIZES = {A: 4, B: 4, C: 3}


def admission(memory_bytes: int = 1000, pass_pixels: int = 1000) -> Admission:
    """With model A loaded, beside which C fits and B does not."""
    load: Any = lambda key: f"model {key.reference}"  # noqa: E731
    cache = ModelCache(7, load, SIZES.__getitem__)
    cache.get(A, ())
    return Admission(memory_bytes, pass_pixels, cache)


def run(**different: Any) -> Any:  # noqa: ANN401
    usual = {
        "models": ("x/a",),
        "models_in_use": frozenset(),
        "state": RunState.RESTORING,
        "alone": False,
        "bytes": 0,
        "pixels": 0,
    }
    return SimpleNamespace(**(usual | different))


def waiting(*models: str) -> list[Any]:
    return [run(models=(model,), state=RunState.QUEUED) for model in models]


def using(*models: ModelKey) -> list[Any]:
    return [run(models_in_use=frozenset(models))]


def test_tasks_whose_models_are_loaded_go_first_for_a_time_slice() -> None:
    rule = admission()
    cache, in_flight = rule.model_cache, using(A)
    queue = waiting("x/b", "x/a", "x/b", "x/a")
    loaded_at = cache.loaded_at
    assert rule.next_to_start(queue, in_flight, loaded_at + 1) == 1
    assert rule.next_to_start(waiting("x/b", "x/c"), in_flight, loaded_at + 1) == 1
    assert rule.next_to_start(waiting("x/b"), in_flight, loaded_at + 1) == 0
    assert rule.next_to_start(queue, in_flight, loaded_at + cache.slice_s) == 0


def test_after_its_time_slice_a_model_gets_no_more_tasks_while_another_waits_for_room() -> None:
    rule = admission()
    late = rule.model_cache.loaded_at + rule.model_cache.slice_s
    assert rule.next_to_start(waiting("x/a", "x/a"), using(A, B), late) is None
    assert rule.next_to_start(waiting("x/a", "x/b"), using(A, B), late) == 1
    assert rule.next_to_start(waiting("x/a"), using(B), late) == 0


def test_a_task_starts_when_its_memory_fits_beside_those_in_flight() -> None:
    rule = admission(memory_bytes=35)
    three = [run(bytes=10)] * 3
    assert rule.next_to_start([run(bytes=5)], three, 0) == 0
    assert rule.next_to_start([run(bytes=6)], three, 0) is None


def test_a_task_larger_than_all_memory_starts_by_itself() -> None:
    rule = admission(memory_bytes=35)
    assert rule.next_to_start([run(bytes=99)], [], 0) == 0
    assert rule.next_to_start([run(bytes=99)], [run()], 0) is None


def test_a_task_that_must_be_alone_waits_and_is_waited_for() -> None:
    rule = admission()
    assert rule.next_to_start([run(alone=True)], [run()], 0) is None
    assert rule.next_to_start([run()], [run(alone=True)], 0) is None
    assert rule.next_to_start([run(alone=True)], [], 0) == 0


def test_a_few_tasks_start_whatever_their_pixels_and_more_until_the_next_passes_are_full() -> None:
    rule = admission(pass_pixels=100)
    large, most = run(pixels=1000), LOOKAHEAD_PASSES * 100
    assert rule.next_to_start([large], [large] * (LOOKAHEAD_TASKS - 1), 0) == 0
    assert rule.next_to_start([large], [large] * LOOKAHEAD_TASKS, 0) is None
    small = [run(pixels=10)] * (most // 10 - 1)
    assert rule.next_to_start([run(pixels=10)], small, 0) == 0
    assert rule.next_to_start([run(pixels=11)], small, 0) is None


def test_tasks_that_only_write_do_not_count_as_lookahead() -> None:
    rule = admission(pass_pixels=100)
    writing = run(pixels=1000, state=RunState.WRITING)
    assert rule.next_to_start([run(pixels=1000)], [writing] * (LOOKAHEAD_TASKS + 1), 0) == 0
