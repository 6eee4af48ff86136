"""The models on a device: which stay, which are evicted, and how often they are loaded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.config.recipe import Recipe
from daemon.engine.engine import Engine
from daemon.engine.model_cache import ModelCache, ModelKey
from daemon.messages.reports import Failed, ModelLoaded, Restored
from daemon.messages.tasks import Compute
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from daemon.photo import Picture
from daemon.system.errors import ConfigError
from tests.support.engine_fakes import (
    ReportRecorder,
    ToyModel,
    ToyResult,
    fake_backend,
    running_engine,
    toy_task,
)

A, B, C = (ModelKey(f"x/{name}") for name in "abc")
SIZES = {A: 4, B: 4, C: 3}


def make_cache(budget: int, told: list[ModelLoaded] | None = None) -> ModelCache:
    told = [] if told is None else told
    load: Any = lambda key: f"model {key.reference}"  # noqa: E731
    return ModelCache(budget, load, SIZES.__getitem__, tell=told.append)


def test_the_least_recently_used_model_is_evicted_first() -> None:
    told: list[ModelLoaded] = []
    cache = make_cache(11, told)
    cache.get(A, ())
    cache.get(B, ())
    cache.get(C, ())
    cache.get(A, ())
    SIZES[ModelKey("x/d")] = 4
    cache.get(ModelKey("x/d"), ())
    assert [cache.is_loaded(key) for key in (A, B, C)] == [True, False, True]
    assert told[-1].evicted == ("x/b",)
    assert told[-1].bytes == 4


def test_a_model_with_work_in_flight_stays_and_others_wait_for_it() -> None:
    cache = make_cache(7)
    cache.get(A, ())
    assert not cache.can_load(B, {A})
    assert cache.can_load(C, {A})
    assert cache.can_load(B, {C})
    cache.get(C, {A})
    assert cache.is_loaded(A)
    assert not cache.evict_one({A, C})
    assert cache.evict_one({A})
    assert not cache.is_loaded(C)


def test_a_model_larger_than_the_budget_is_loaded_alone() -> None:
    cache = make_cache(3)
    assert cache.can_load(A, ())
    cache.get(C, ())
    cache.get(A, ())
    assert cache.is_loaded(A)
    assert not cache.is_loaded(C)


def test_a_model_whose_size_cannot_be_read_is_not_waited_for_and_its_load_says_why() -> None:
    def size(key: ModelKey) -> int:
        if key == B:
            raise ConfigError("damaged")
        return SIZES[key]

    load: Any = lambda key: "model"  # noqa: E731
    cache = ModelCache(7, load, size)
    cache.get(A, ())
    assert cache.can_load(B, {A})
    assert cache.has_room_for(B.reference)
    with pytest.raises(ConfigError, match="damaged"):
        cache.get(B, {A})
    assert cache.is_loaded(A)


def test_slow_loads_make_long_time_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache(7)
    clock = iter([100.0, 120.0])
    monkeypatch.setattr("daemon.engine.model_cache.time.monotonic", lambda: next(clock))
    cache.get(A, ())
    assert cache.slice_s == 200


def four_calls(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    """Make four calls to the model of the recipe's step."""
    for k in range(4):
        yield from ask([DenoiseCall(recipe.steps[0].model, torch.zeros(3, 96, 96), 1 / (k + 1))])
    return ToyResult(pictures)


@contextmanager
def engine_with(model_bytes: int) -> Iterator[tuple[Engine, ReportRecorder]]:
    backend = fake_backend(
        ToyModel(seconds=0.002),
        restore=four_calls,
        model_bytes=lambda reference, device, as_pipeline: 4,
    )
    compute = Compute(device="cpu", threads=2, model_bytes=model_bytes)
    with running_engine(backend, compute=compute, pixels=96 * 96) as found:
        yield found


def test_alternating_recipes_swap_models_far_less_often_than_photographs(tmp_path: Path) -> None:
    with engine_with(model_bytes=7) as (engine, recorder):
        for fence in range(60):
            engine.submit(toy_task(fence, tmp_path, model=f"x/{'ab'[fence % 2]}"))
        recorder.wait_until(lambda: len(recorder.reports) == 60)
        assert recorder.fences() == list(range(60))
    assert {one.reference for one in recorder.models_loaded} == {"x/a", "x/b"}
    assert len(recorder.models_loaded) <= 6
    assert all(one.evicted for one in recorder.models_loaded[1:])


def test_no_task_starves_while_another_model_is_in_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.engine.model_cache.SLICE_S", 0.2)
    monkeypatch.setattr("daemon.engine.model_cache.LOADS_PER_SLICE", 0)
    with engine_with(model_bytes=7) as (engine, recorder):
        fences = iter(range(10_000))
        stop = threading.Event()

        def six_more(done: int) -> bool:
            return len(recorder.reports) >= done + 6

        def demand() -> None:
            while not stop.is_set():
                done = len(recorder.reports)
                for _ in range(12):
                    engine.submit(toy_task(next(fences), tmp_path, model="x/a"))
                recorder.wait_until(partial(six_more, done))

        crowd = threading.Thread(target=demand)
        crowd.start()
        recorder.wait_until(lambda: len(recorder.reports) >= 6)
        engine.submit(toy_task(99_999, tmp_path, model="x/b"))
        recorder.wait_until(lambda: 99_999 in recorder.fences())
        stop.set()
        crowd.join()
    assert "x/b" in {one.reference for one in recorder.models_loaded}


def test_a_damaged_model_fails_its_own_task_and_no_other(tmp_path: Path) -> None:
    def size(reference: str, device: str, as_pipeline: bool) -> int:
        if reference == "x/damaged":
            raise ConfigError("x/damaged: not a readable safetensors file")
        return 4

    gate = threading.Event()
    backend = fake_backend(ToyModel(gate=gate), restore=four_calls, model_bytes=size)
    with running_engine(backend, compute=Compute(device="cpu", threads=2, model_bytes=7)) as (
        engine,
        recorder,
    ):
        engine.submit(toy_task(1, tmp_path, model="x/a"))
        recorder.wait_until(lambda: len(recorder.models_loaded) == 1)
        engine.submit(toy_task(2, tmp_path, model="x/damaged"))
        engine.submit(toy_task(3, tmp_path, model="x/a"))
        gate.set()
        recorder.wait_until(lambda: len(recorder.reports) == 3)
    assert isinstance(recorder.of(1), Restored)
    assert isinstance(recorder.of(3), Restored)
    damaged = recorder.of(2)
    assert isinstance(damaged, Failed)
    assert damaged.reason == "x/damaged: not a readable safetensors file"
    assert (damaged.model, damaged.unusable) == ("x/damaged", True)


def test_models_that_fit_together_are_loaded_once(tmp_path: Path) -> None:
    with engine_with(model_bytes=8) as (engine, recorder):
        for fence in range(20):
            engine.submit(toy_task(fence, tmp_path, model=f"x/{'ab'[fence % 2]}"))
        recorder.wait_until(lambda: len(recorder.reports) == 20)
    assert sorted(one.reference for one in recorder.models_loaded) == ["x/a", "x/b"]


def test_when_memory_is_short_idle_models_are_evicted_before_batches_are_halved(
    tmp_path: Path,
) -> None:
    short = {"left": 1}

    def fits(calls: object) -> bool:
        fine = "x/b" not in str(calls) or not short["left"]
        short["left"] = 0 if not fine else short["left"]
        return fine

    model = ToyModel(fits=fits)
    backend = fake_backend(
        model, restore=four_calls, model_bytes=lambda reference, device, as_pipeline: 4
    )
    compute = Compute(device="cpu", threads=2, model_bytes=100)
    with running_engine(backend, compute=compute) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path, model="x/a"))
        recorder.wait_until(lambda: len(recorder.reports) == 1)
        engine.submit(toy_task(2, tmp_path, model="x/b"))
        recorder.wait_until(lambda: len(recorder.reports) == 2)
        engine.submit(toy_task(3, tmp_path, model="x/a"))
        recorder.wait_until(lambda: len(recorder.reports) == 3)
        assert not [r for r in recorder.reports if hasattr(r, "reason")], recorder.reports
    assert [one.reference for one in recorder.models_loaded] == ["x/a", "x/b", "x/a"]
