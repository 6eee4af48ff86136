"""The contract of executors, tested over every one of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from daemon.config.content_features import COLOUR, NOISE
from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise
from daemon.executors import EXECUTORS, Executor, make_executor
from daemon.messages.reports import (
    HandedBack,
    Heartbeat,
    Inspected,
    Rejected,
    Restored,
    TaskAssigned,
    WorkerReady,
    WorkerStarts,
)
from daemon.messages.tasks import Cluster, Compute, InspectTask, Job, RestoreTask
from daemon.photo import Header, Photo
from tests.support.engine_fakes import ReportRecorder

COMPUTE = Compute(device="cpu", threads=1)
TWO_WORKERS = replace(COMPUTE, devices=("cpu", "cpu"))
"""For the executors of several workers; the others know nothing of it."""

ABOUT_WORKERS = HandedBack | WorkerStarts | WorkerReady | TaskAssigned | Heartbeat


def photo_task(
    fence: int, folder: Path, *, steps: int = 1, size: int = 96, alone: bool = False
) -> RestoreTask:
    path = folder / f"{fence}.png"
    Image.new("RGB", (size, size), (fence, 90, 30)).save(path)
    staging = folder / f"staged-{fence}"
    staging.mkdir()
    step = Denoise(mode="gaussian", sigma=25, steps=steps, realism=1.0 if steps > 1 else 0.0)
    photo = Photo(path, path.name, "d", Header("PNG", size, size, "RGB"))
    recipe = Recipe(name="denoise", steps=(step,))
    weights = ("0" * 64,) * len(recipe.models)
    job = Job(f"{fence:x}", recipe, (photo,), str(fence), fence, weights)
    return RestoreTask(job, fence, staging, alone)


@contextlib.contextmanager
def running_executor(
    name: str, compute: Compute = COMPUTE
) -> Iterator[tuple[Executor, ReportRecorder]]:
    recorder = ReportRecorder()
    executor = make_executor(name, compute, recorder)
    executor.start()
    try:
        recorder.wait_until(lambda: any(isinstance(one, WorkerReady) for one in recorder.reports))
        yield executor, recorder
    finally:
        executor.stop(0)


NAMES = [
    pytest.param(name, marks=[pytest.mark.cluster] if name == "ray" else []) for name in EXECUTORS
]


def compute_for(request: pytest.FixtureRequest, name: str, compute: Compute) -> Compute:
    """The same on a cluster, for the executor that needs one."""
    if name != "ray":
        return compute
    address = request.getfixturevalue("nodes").address
    return replace(compute, cluster=Cluster(address, workers=1, gpus_per_worker=0))


@pytest.fixture(scope="module", params=NAMES)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Executor, ReportRecorder]]:
    """Each executor, started once; a test has fences of its own."""
    compute = compute_for(request, request.param, TWO_WORKERS)
    with running_executor(request.param, compute) as started:
        yield started


def test_an_executor_restores_and_names_every_fence_once(
    running: tuple[Executor, ReportRecorder], tmp_path: Path
) -> None:
    executor, recorder = running
    for fence in range(4):
        executor.submit(photo_task(fence, tmp_path))
    (tmp_path / "3.png").write_bytes(b"no picture")
    recorder.wait_until(lambda: set(recorder.fences()) >= {0, 1, 2, 3})
    for fence in range(3):
        report = recorder.of(fence)
        assert isinstance(report, Restored), report
        (staged,) = report.files
        assert staged.name == "{stem}.png"
        with Image.open(staged.path) as picture:
            assert picture.size == (96, 96)
    assert [fence for fence in recorder.fences() if fence < 10] == [0, 1, 2, 3]


def test_a_file_that_is_no_picture_is_rejected_beside_good_ones(
    running: tuple[Executor, ReportRecorder], tmp_path: Path
) -> None:
    executor, recorder = running
    bad, good = photo_task(11, tmp_path), photo_task(12, tmp_path)
    bad.job.photos[0].path.write_bytes(b"no picture")
    executor.submit(bad)
    executor.submit(good)
    recorder.wait_until(lambda: set(recorder.fences()) >= {11, 12})
    assert isinstance(recorder.of(11), Rejected), recorder.of(11)
    assert isinstance(recorder.of(12), Restored), recorder.of(12)


def test_an_executor_inspects_and_rejects_what_it_cannot_read(
    running: tuple[Executor, ReportRecorder], tmp_path: Path
) -> None:
    executor, recorder = running
    for fence, features in {21: (COLOUR,), 22: (NOISE, COLOUR), 23: (COLOUR,)}.items():
        photo = photo_task(fence, tmp_path).job.photos[0]
        if fence == 23:
            photo.path.write_bytes(b"no picture")
        executor.submit(InspectTask(photo, features, fence))
    recorder.wait_until(lambda: set(recorder.fences()) >= {21, 22, 23})
    one, two = recorder.of(21), recorder.of(22)
    assert isinstance(one, Inspected), one
    assert isinstance(two, Inspected), two
    assert (len(one.answers), len(two.answers)) == (1, 2)
    assert two.answers[0] == pytest.approx(0, abs=0.5), "a plain picture has no noise"
    assert isinstance(recorder.of(23), Rejected), recorder.of(23)
    assert [fence for fence in recorder.fences() if 20 < fence < 30] == [21, 22, 23]


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_executor_hands_back_what_it_has_not_finished(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    compute = compute_for(request, name, COMPUTE)
    with running_executor(name, compute) as (executor, recorder):
        for fence in range(3):
            executor.submit(photo_task(fence, tmp_path, steps=1000, size=256))
        executor.stop(0)
        executor.submit(photo_task(9, tmp_path))
    assert recorder.fences() == [0, 1, 2, 9]
    assert all(isinstance(one, ABOUT_WORKERS) for one in recorder.reports)


@pytest.mark.cluster
def test_a_cluster_finishes_what_is_in_flight_when_it_is_given_the_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with running_executor("ray", compute_for(request, "ray", COMPUTE)) as (executor, recorder):
        executor.submit(photo_task(1, tmp_path, steps=100))
        recorder.wait_until(
            lambda: any(isinstance(one, Heartbeat) and one.counts.calls for one in recorder.reports)
        )
        executor.stop(120)
    assert isinstance(recorder.of(1), Restored), recorder.of(1)
