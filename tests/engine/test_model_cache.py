"""Models on a device: what stays, what goes, and whose turn it is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise
from daemon.engine import model_cache as modules
from daemon.engine.admission import next_to_start
from daemon.engine.engine import Engine
from daemon.engine.model_cache import ModelCache, Slot
from daemon.messages.reports import Failed, ModelLoaded, Restored
from daemon.messages.tasks import Compute, RestoreTask
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from daemon.photo import Picture
from daemon.system.errors import ConfigError
from tests.support.engine_fakes import Heard, ToyModel, ToyResult, fake_backend, order, running

A, B, C = (Slot(f"x/{name}", False) for name in "abc")
SIZES = {A: 4, B: 4, C: 3}


def model_cache(budget: int, told: list[ModelLoaded] | None = None) -> ModelCache:
    told = [] if told is None else told
    load: Any = lambda slot: f"model {slot.reference}"  # noqa: E731
    return ModelCache(budget, load, SIZES.__getitem__, tell=told.append)


def test_the_least_recently_used_model_goes_first() -> None:
    told: list[ModelLoaded] = []
    here = model_cache(11, told)
    here.get(A, ())
    here.get(B, ())
    here.get(C, ())
    here.get(A, ())
    SIZES[Slot("x/d", False)] = 4
    here.get(Slot("x/d", False), ())
    assert [here.is_resident(slot) for slot in (A, B, C)] == [True, False, True]
    assert told[-1].evicted == ("x/b",)
    assert told[-1].bytes == 4


def test_a_model_with_work_in_flight_stays_and_others_wait_for_it() -> None:
    here = model_cache(7)
    here.get(A, ())
    assert not here.admits(B, {A})
    assert here.admits(C, {A})
    assert here.admits(B, {C})
    here.get(C, {A})
    assert here.is_resident(A)
    assert not here.send_one_away({A, C})
    assert here.send_one_away({A})
    assert not here.is_resident(C)


def test_a_model_larger_than_the_budget_is_loaded_alone() -> None:
    here = model_cache(3)
    assert here.admits(A, ())
    here.get(C, ())
    here.get(A, ())
    assert here.is_resident(A)
    assert not here.is_resident(C)


def test_a_size_that_cannot_be_told_keeps_nobody_waiting_and_is_the_load_s_fault() -> None:
    def size(slot: Slot) -> int:
        if slot == B:
            raise ConfigError("torn")
        return SIZES[slot]

    load: Any = lambda slot: "model"  # noqa: E731
    here = ModelCache(7, load, size)
    here.get(A, ())
    assert here.admits(B, {A})
    assert here.welcomes(B.reference)
    with pytest.raises(ConfigError, match="torn"):
        here.get(B, {A})
    assert here.is_resident(A)


def waiting(*models: str) -> list[Any]:
    return [SimpleNamespace(models=(model,)) for model in models]


def test_orders_of_loaded_models_go_first_for_a_slice_of_time() -> None:
    here = model_cache(7)
    here.get(A, ())
    line = waiting("x/b", "x/a", "x/b", "x/a")
    begun = here.loaded_at
    assert next_to_start(line, {A}, here, begun + 1) == 1
    assert next_to_start(waiting("x/b", "x/c"), {A}, here, begun + 1) == 1
    assert next_to_start(waiting("x/b"), {A}, here, begun + 1) == 0
    assert next_to_start(line, {A}, here, begun + here.slice_s) == 0


def test_after_its_slice_a_model_gets_no_more_orders_while_another_waits_for_room() -> None:
    here = model_cache(7)
    here.get(A, ())
    late = here.loaded_at + here.slice_s
    assert next_to_start(waiting("x/a", "x/a"), {A, B}, here, late) is None
    assert next_to_start(waiting("x/a", "x/b"), {A, B}, here, late) == 1
    assert next_to_start(waiting("x/a"), {B}, here, late) == 0


def test_slow_loads_make_long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    here = model_cache(7)
    clock = iter([100.0, 120.0])
    monkeypatch.setattr("daemon.engine.model_cache.time.monotonic", lambda: next(clock))
    here.get(A, ())
    assert here.slice_s == 200


def two_models(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    """Ask four times the model of the recipe's step."""
    for k in range(4):
        yield from ask([DenoiseCall(recipe.steps[0].model, torch.zeros(3, 96, 96), 1 / (k + 1))])
    return ToyResult(pictures)


def order_for(model: str, fence: int, staging: Path) -> RestoreTask:
    one = order(fence, staging)
    recipe = Recipe(name="toy", steps=(Denoise(model=model),))
    job = type(one.job)(one.job.id, recipe, one.job.photos, "p", fence)
    return RestoreTask(job, fence, staging)


@contextmanager
def engine_with(model_bytes: int) -> Iterator[tuple[Engine, Heard]]:
    parts = fake_backend(
        ToyModel(seconds=0.002),
        restore=two_models,
        model_bytes=lambda reference, device, as_pipeline: 4,
    )
    compute = Compute(device="cpu", threads=2, model_bytes=model_bytes)
    with running(parts, compute=compute, pixels=96 * 96) as found:
        yield found


def test_alternating_recipes_swap_models_far_less_often_than_photographs(tmp_path: Path) -> None:
    with engine_with(model_bytes=7) as (engine, heard):
        for fence in range(60):
            engine.submit(order_for(f"x/{'ab'[fence % 2]}", fence, tmp_path))
        heard.until(lambda: len(heard.reports) == 60)
        assert heard.fences() == list(range(60))
    assert {one.reference for one in heard.loaded} == {"x/a", "x/b"}
    assert len(heard.loaded) <= 6
    assert all(one.evicted for one in heard.loaded[1:])


def test_nobody_starves_while_another_model_is_in_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "SLICE_S", 0.2)
    monkeypatch.setattr(modules, "LOADS_A_SLICE", 0)
    with engine_with(model_bytes=7) as (engine, heard):
        fences = iter(range(10_000))
        stop = threading.Event()

        def six_more(done: int) -> bool:
            return len(heard.reports) >= done + 6

        def demand() -> None:
            while not stop.is_set():
                done = len(heard.reports)
                for _ in range(12):
                    engine.submit(order_for("x/a", next(fences), tmp_path))
                heard.until(partial(six_more, done))

        crowd = threading.Thread(target=demand)
        crowd.start()
        heard.until(lambda: len(heard.reports) >= 6)
        engine.submit(order_for("x/b", 99_999, tmp_path))
        heard.until(lambda: 99_999 in heard.fences())
        stop.set()
        crowd.join()
    assert "x/b" in {one.reference for one in heard.loaded}


def test_a_damaged_model_fails_its_own_order_and_no_other(tmp_path: Path) -> None:
    def size(reference: str, device: str, as_pipeline: bool) -> int:
        if reference == "x/torn":
            raise ConfigError("x/torn: no readable safetensors file")
        return 4

    gate = threading.Event()
    parts = fake_backend(ToyModel(gate=gate), restore=two_models, model_bytes=size)
    with running(parts, compute=Compute(device="cpu", threads=2, model_bytes=7)) as (engine, heard):
        engine.submit(order_for("x/a", 1, tmp_path))
        heard.until(lambda: len(heard.loaded) == 1)
        engine.submit(order_for("x/torn", 2, tmp_path))
        engine.submit(order_for("x/a", 3, tmp_path))
        gate.set()
        heard.until(lambda: len(heard.reports) == 3)
    assert isinstance(heard.of(1), Restored)
    assert isinstance(heard.of(3), Restored)
    torn = heard.of(2)
    assert isinstance(torn, Failed)
    assert torn.reason == "x/torn: no readable safetensors file"


def test_models_that_fit_together_are_loaded_once(tmp_path: Path) -> None:
    with engine_with(model_bytes=8) as (engine, heard):
        for fence in range(20):
            engine.submit(order_for(f"x/{'ab'[fence % 2]}", fence, tmp_path))
        heard.until(lambda: len(heard.reports) == 20)
    assert sorted(one.reference for one in heard.loaded) == ["x/a", "x/b"]


def test_when_memory_is_short_idle_models_go_before_groups_are_halved(tmp_path: Path) -> None:
    short = {"left": 1}

    def fits(calls: object) -> bool:
        fine = "x/b" not in str(calls) or not short["left"]
        short["left"] = 0 if not fine else short["left"]
        return fine

    model = ToyModel(fits=fits)
    parts = fake_backend(
        model, restore=two_models, model_bytes=lambda reference, device, as_pipeline: 4
    )
    compute = Compute(device="cpu", threads=2, model_bytes=100)
    with running(parts, compute=compute) as (engine, heard):
        engine.submit(order_for("x/a", 1, tmp_path))
        heard.until(lambda: len(heard.reports) == 1)
        engine.submit(order_for("x/b", 2, tmp_path))
        heard.until(lambda: len(heard.reports) == 2)
        engine.submit(order_for("x/a", 3, tmp_path))
        heard.until(lambda: len(heard.reports) == 3)
        assert not [r for r in heard.reports if hasattr(r, "reason")], heard.reports
    assert [one.reference for one in heard.loaded] == ["x/a", "x/b", "x/a"]
