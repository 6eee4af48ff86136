"""The event loop: which tasks share a pass, which may start, and which one an exception fails."""

import errno
import threading
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pytest
import torch
from torch import Tensor

from daemon.config.recipe import Recipe
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.messages.reports import Failed, HandedBack, Rejected, Restored
from daemon.messages.tasks import Compute, RestoreTask
from daemon.models.calls import DenoiseCall, ModelCalls
from daemon.photo import Limits, Photo, Picture
from daemon.system.errors import DeviceError, PhotoError, TruncatedError
from tests.support.engine_fakes import (
    DEADLINE_S,
    ReportRecorder,
    ToyModel,
    ToyResult,
    fake_backend,
    handed_back,
    read,
    restore,
    running_engine,
    toy_task,
    write,
)


def test_every_task_gets_its_own_answers_and_one_report(tmp_path: Path) -> None:
    with running_engine(fake_backend(ToyModel())) as (engine, recorder):
        for fence in range(40):
            engine.submit(toy_task(fence, tmp_path, steps=1 + fence % 5))
        recorder.wait_until(lambda: len(recorder.reports) == 40)
    assert recorder.fences() == list(range(40))
    for fence in range(40):
        report = recorder.of(fence)
        assert isinstance(report, Restored)
        assert report.timing.calls == report.timing.passes == 1 + fence % 5
        assert report.measures[0].value == 1 + fence % 5
        assert report.device == "cpu"


def test_a_newcomers_first_step_shares_a_pass_with_anothers_kth_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINGER_S", "MOST_LINGER_S", "NEWCOMER_SHARE"):
        monkeypatch.setattr(f"daemon.engine.batcher.{name}", DEADLINE_S)
    fourth_step, newcomer_started = threading.Event(), threading.Event()

    def slow_fourth_step(
        recipe: Recipe, pictures: tuple[Picture, ...], seed: int
    ) -> ModelCalls[ToyResult]:
        generator = restore(recipe, pictures, seed)
        calls = next(generator)
        if seed == 2:
            newcomer_started.set()
        try:
            while True:
                answers = yield calls
                calls = generator.send(answers)
                if seed == 1 and calls[0].t == 1 / 4:
                    fourth_step.set()
                    newcomer_started.wait(DEADLINE_S)
        except StopIteration as end:
            result: ToyResult = end.value
            return result

    passes: list[ForwardPass] = []
    backend = fake_backend(ToyModel(), restore=slow_fourth_step)
    with running_engine(backend, passes=passes) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path, steps=8, name="first"))
        assert fourth_step.wait(DEADLINE_S)
        engine.submit(toy_task(2, tmp_path, steps=2, name="second"))
        recorder.wait_until(lambda: len(recorder.reports) == 2)
    members = [one.members for one in passes]
    assert members[:3] == [((1, "first", 1 / k),) for k in (1, 2, 3)]
    assert members[3] == ((1, "first", 1 / 4), (2, "second", 1.0))
    assert members[4] == ((1, "first", 1 / 5), (2, "second", 1 / 2))


def test_batches_of_small_photographs_fill_at_least_half_the_cap(tmp_path: Path) -> None:
    passes: list[ForwardPass] = []
    with running_engine(
        fake_backend(ToyModel(seconds=0.02)), pixels=28 * 96 * 96, passes=passes
    ) as (
        engine,
        recorder,
    ):
        for fence in range(300):
            engine.submit(toy_task(fence, tmp_path, steps=1 + fence % 8))
        recorder.wait_until(lambda: len(recorder.reports) == 300)
    sizes = [len(one.members) for one in passes]
    assert {one.cap for one in passes} == {28}
    assert median(sizes) >= 14, sizes


def test_out_of_memory_halves_the_batch_and_no_generator_notices(tmp_path: Path) -> None:
    model = ToyModel(fits=lambda calls: len(calls) <= 3)
    passes: list[ForwardPass] = []
    with running_engine(fake_backend(model), passes=passes) as (engine, recorder):
        for fence in range(16):
            engine.submit(toy_task(fence, tmp_path, steps=3))
        recorder.wait_until(lambda: len(recorder.reports) == 16)
    assert all(isinstance(report, Restored) for report in recorder.reports)
    assert max(map(len, model.batches)) <= 3
    assert passes[-1].cap < 8


def test_a_tile_that_does_not_fit_by_itself_fails_its_own_task_for_now(tmp_path: Path) -> None:
    model = ToyModel(fits=lambda calls: all(call.x_t.shape[-1] < 200 for call in calls))
    with running_engine(fake_backend(model)) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path, size=(256, 256)))
        engine.submit(toy_task(2, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 2)
    report = recorder.of(1)
    assert isinstance(report, Failed)
    assert report.passing
    assert "256x256" in report.reason
    assert (report.model, report.unusable) == ("toy", False)
    assert isinstance(recorder.of(2), Restored)


def test_a_call_that_the_model_cannot_answer_fails_only_its_own_task(tmp_path: Path) -> None:
    class Selective(ToyModel):
        def predict(self, calls):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if any(float(call.x_t[0, 0, 0]) == 7 / 256 for call in calls):
                raise RuntimeError("no sevens")
            return super().predict(calls)

    with running_engine(fake_backend(Selective())) as (engine, recorder):
        for fence in range(5, 10):
            engine.submit(toy_task(fence, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 5)
    report = recorder.of(7)
    assert isinstance(report, Failed)
    assert not report.passing
    assert "no sevens" in report.trace
    assert all(isinstance(recorder.of(fence), Restored) for fence in (5, 6, 8, 9))


FAULTS = [
    (PhotoError("1.mask.png", "no picture"), Rejected(1, "1.mask.png", "no picture")),
    (PhotoError("", "is black", "try again"), Rejected(1, "1.png", "is black", "try again")),
    (TruncatedError("1.png", "ends"), Rejected(1, "1.png", "ends", truncated=True)),
    (OSError(errno.ENOSPC, "full"), Failed(1, "[Errno 28] full", passing=True, no_space=True)),
    (OSError(errno.EDQUOT, "quota"), Failed(1, "[Errno 122] quota", passing=True, no_space=True)),
    (OSError(errno.EIO, "broken"), Failed(1, "[Errno 5] broken", passing=True)),
    (DeviceError("gone"), Failed(1, "gone", passing=True)),
    (MemoryError("much"), Failed(1, "out of memory: much", passing=True)),
]


@pytest.mark.parametrize("stage", ["read", "restore", "write"])
@pytest.mark.parametrize(("error", "outcome"), FAULTS, ids=lambda one: type(one).__name__)
def test_an_exception_is_the_outcome_of_its_own_task(
    tmp_path: Path, stage: str, error: Exception, outcome: Rejected | Failed
) -> None:
    def faulty_read(photo: Photo, limits: Limits) -> Picture:
        if photo.name == "1.png":
            raise error
        return read(photo, limits)

    def faulty_restore(
        recipe: Recipe, pictures: tuple[Picture, ...], seed: int
    ) -> ModelCalls[ToyResult]:
        result = yield from restore(recipe, pictures, seed)
        if seed == 1:
            raise error
        return result

    def faulty_write(pictures, job, staging):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if pictures[0].pixels[0, 0, 0] == 1:
            raise error
        return write(pictures, job, staging)

    faulty = {"read": faulty_read, "restore": faulty_restore, "write": faulty_write}[stage]
    with running_engine(fake_backend(ToyModel(), **{stage: faulty})) as (engine, recorder):
        for fence in (0, 1, 2):
            engine.submit(toy_task(fence, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 3)
    assert recorder.of(1) == outcome
    assert isinstance(recorder.of(0), Restored)
    assert isinstance(recorder.of(2), Restored)


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    def buggy(photo: Photo, limits: Limits) -> Picture:
        raise KeyError("oops")

    with running_engine(fake_backend(ToyModel(), read=buggy)) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 1)
    report = recorder.of(1)
    assert isinstance(report, Failed)
    assert report.reason == "KeyError: 'oops'"
    assert "in buggy" in report.trace
    assert not report.passing


def test_a_result_beyond_the_limit_is_rejected_unread_and_the_setting_is_named(
    tmp_path: Path,
) -> None:
    compute = Compute(device="cpu", threads=2, limits=Limits(max_output_megapixels=0.03))
    double = {"output_size": lambda recipe, width, height: (2 * width, 2 * height)}
    with running_engine(fake_backend(ToyModel(), **double), compute=compute) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path))
        engine.submit(toy_task(2, tmp_path, size=(64, 64)))
        recorder.wait_until(lambda: len(recorder.reports) == 2)
    report = recorder.of(1)
    assert isinstance(report, Rejected)
    assert report.photo == "1.png"
    assert "192x192" in report.reason
    assert "max_output_megapixels allows 0.03" in report.reason
    assert isinstance(recorder.of(2), Restored)


def _most_at_once(
    tasks: list[RestoreTask], footprint: int, budget: int
) -> tuple[int, dict[int, int]]:
    """The most tasks in flight at once, and for each task how many were when it was read."""
    in_flight: set[int] = set()
    lock = threading.Lock()
    beside: dict[int, int] = {}
    most = 0

    def noted_read(photo: Photo, limits: Limits) -> Picture:
        nonlocal most
        with lock:
            in_flight.add(int(photo.path.stem))
            most = max(most, len(in_flight))
            beside[int(photo.path.stem)] = len(in_flight) - 1
        return read(photo, limits)

    def noted_write(pictures, job, staging):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        written = write(pictures, job, staging)
        with lock:
            in_flight.discard(int(pictures[0].pixels[0, 0, 0]))
        return written

    backend = fake_backend(
        ToyModel(seconds=0.002),
        read=noted_read,
        write=noted_write,
        footprint=lambda recipe, sizes: footprint,
    )
    compute = Compute(device="cpu", threads=2, memory_bytes=budget)
    with running_engine(backend, compute=compute) as (engine, recorder):
        for one in tasks:
            engine.submit(one)
        recorder.wait_until(lambda: len(recorder.reports) == len(tasks))
    assert all(isinstance(report, Restored) for report in recorder.reports)
    return most, beside


def test_no_more_is_in_flight_than_the_memory_budget_allows(tmp_path: Path) -> None:
    tasks = [toy_task(fence, tmp_path) for fence in range(12)]
    assert _most_at_once(tasks, footprint=10, budget=35)[0] == 3
    assert _most_at_once(tasks, footprint=10, budget=5)[0] == 1
    assert _most_at_once(tasks, footprint=10, budget=10**6)[0] > 3


def test_a_task_that_must_be_alone_runs_by_itself(tmp_path: Path) -> None:
    tasks = [toy_task(fence, tmp_path, alone=fence == 5) for fence in range(12)]
    most, beside = _most_at_once(tasks, footprint=1, budget=10**6)
    assert beside[5] == 0
    assert beside[6] == 0
    assert most > 1


def test_stopping_finishes_what_is_in_flight_and_hands_back_the_rest(tmp_path: Path) -> None:
    gate, started = threading.Event(), threading.Semaphore(0)

    def noted_read(photo: Photo, limits: Limits) -> Picture:
        started.release()
        return read(photo, limits)

    compute = Compute(device="cpu", threads=2, memory_bytes=2)
    with running_engine(fake_backend(ToyModel(gate=gate), read=noted_read), compute=compute) as (
        engine,
        recorder,
    ):
        for fence in range(6):
            engine.submit(toy_task(fence, tmp_path))
        assert started.acquire(timeout=DEADLINE_S)
        assert started.acquire(timeout=DEADLINE_S)
        engine.stop(DEADLINE_S)
        gate.set()
        recorder.wait_until(lambda: len(recorder.fences()) == 6)
    assert isinstance(recorder.of(0), Restored)
    assert isinstance(recorder.of(1), Restored)
    assert handed_back(recorder.reports) == [2, 3, 4, 5]
    engine.submit(toy_task(9, tmp_path))
    assert recorder.of(9) == HandedBack((9,))


def test_what_does_not_finish_in_time_is_handed_back(tmp_path: Path) -> None:
    def endless(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
        while True:
            yield [DenoiseCall("toy", torch.zeros(3, 96, 96), 1.0)]

    with running_engine(fake_backend(ToyModel(), restore=endless), drain_s=0.1) as (
        engine,
        recorder,
    ):
        for fence in range(3):
            engine.submit(toy_task(fence, tmp_path))
    assert handed_back(recorder.reports) == [0, 1, 2]
    assert recorder.fences() == [0, 1, 2]


def test_a_generator_that_makes_no_call_is_resumed_at_once(tmp_path: Path) -> None:
    def silent(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
        answers = yield []
        if len(answers):
            raise ValueError("no call was made")
        return ToyResult(pictures)

    with running_engine(fake_backend(ToyModel(), restore=silent)) as (engine, recorder):
        engine.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 1)
    report = recorder.of(1)
    assert isinstance(report, Restored)
    assert report.timing.calls == 0


def test_a_lost_device_fails_what_is_in_flight_for_now_and_ends_the_run(tmp_path: Path) -> None:
    class Lost(ToyModel):
        def predict(self, calls):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    recorder = ReportRecorder()
    engine = Engine(Compute(device="cpu", threads=2), recorder, backend=fake_backend(Lost()))
    engine.submit(toy_task(1, tmp_path))
    with pytest.raises(DeviceError, match="cpu is lost"):
        engine.run()
    report = recorder.of(1)
    assert isinstance(report, Failed)
    assert report.passing


def test_the_network_keeps_its_cores_whatever_the_threads_beside_it_use(tmp_path: Path) -> None:
    seen: dict[str, set[int]] = {"model": set(), "generator": set()}

    class Counting(ToyModel):
        def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
            answers = super().predict(calls)
            seen["model"].add(torch.get_num_threads())
            return answers

    def counting(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
        seen["generator"].add(torch.get_num_threads())
        return (yield from restore(recipe, pictures, seed))

    backend = fake_backend(Counting(), restore=counting)
    with running_engine(backend, compute=Compute(threads=3)) as (engine, recorder):
        for fence in range(4):
            engine.submit(toy_task(fence, tmp_path, steps=3))
        recorder.wait_until(lambda: len(recorder.reports) == 4)
    assert seen == {"model": {3}, "generator": {1}}
