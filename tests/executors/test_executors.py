"""The executors: contract tests over every one, and how the worker process lives and dies."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise
from daemon.executors import EXECUTORS, Executor, make_executor
from daemon.executors.process import ProcessExecutor
from daemon.messages.reports import (
    HandedBack,
    Heartbeat,
    Rejected,
    Restored,
    WorkerDied,
    WorkerReady,
)
from daemon.messages.tasks import Compute, Job, RestoreTask
from daemon.photo import Header, Photo
from tests.support.engine_fakes import DEADLINE_S, KILLER, ReportRecorder, toy_task
from tests.support.toy_worker import toy_worker

CHILD = Path(__file__).parents[1] / "support/process_child.py"
COMPUTE = Compute(device="cpu", threads=1)


def order(
    fence: int, folder: Path, *, steps: int = 1, size: int = 96, alone: bool = False
) -> RestoreTask:
    path = folder / f"{fence}.png"
    Image.new("RGB", (size, size), (fence, 90, 30)).save(path)
    staging = folder / f"staged-{fence}"
    staging.mkdir()
    step = Denoise(mode="gaussian", sigma=25, steps=steps, realism=1.0 if steps > 1 else 0.0)
    photo = Photo(path, path.name, "d", Header("PNG", size, size, "RGB"))
    recipe = Recipe(name="denoise", steps=(step,))
    return RestoreTask(
        Job(f"{fence:x}", recipe, (photo,), str(fence), fence), fence, staging, alone
    )


@contextlib.contextmanager
def toy() -> Iterator[tuple[ProcessExecutor, ReportRecorder]]:
    """A worker process with a toy restorer: what is tested is its life, not its work."""
    recorder = ReportRecorder()
    executor = ProcessExecutor(COMPUTE, recorder, worker=toy_worker)
    executor.start()
    try:
        recorder.wait_until(lambda: any(isinstance(one, WorkerReady) for one in recorder.reports))
        yield executor, recorder
    finally:
        executor.stop(0)


@contextlib.contextmanager
def ready(name: str, compute: Compute = COMPUTE) -> Iterator[tuple[Executor, ReportRecorder]]:
    recorder = ReportRecorder()
    executor = make_executor(name, compute, recorder)
    executor.start()
    try:
        recorder.wait_until(lambda: any(isinstance(one, WorkerReady) for one in recorder.reports))
        yield executor, recorder
    finally:
        executor.stop(0)


@pytest.mark.parametrize("name", EXECUTORS)
def test_an_executor_restores_and_names_every_fence_once(name: str, tmp_path: Path) -> None:
    with ready(name) as (executor, recorder):
        for fence in range(4):
            executor.submit(order(fence, tmp_path))
        (tmp_path / "3.png").write_bytes(b"no picture")
        recorder.wait_until(lambda: len(recorder.fences()) == 4)
    for fence in range(3):
        report = recorder.of(fence)
        assert isinstance(report, Restored), report
        (staged,) = report.files
        assert staged.name == "{stem}.png"
        with Image.open(staged.path) as picture:
            assert picture.size == (96, 96)
    assert recorder.fences() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_file_that_is_no_picture_is_rejected_beside_good_ones(name: str, tmp_path: Path) -> None:
    bad, good = order(1, tmp_path), order(2, tmp_path)
    bad.job.photos[0].path.write_bytes(b"no picture")
    with ready(name) as (executor, recorder):
        executor.submit(bad)
        executor.submit(good)
        recorder.wait_until(lambda: len(recorder.fences()) == 2)
    assert isinstance(recorder.of(1), Rejected), recorder.of(1)
    assert isinstance(recorder.of(2), Restored), recorder.of(2)


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_stopped_executor_hands_back_what_it_has_not_finished(name: str, tmp_path: Path) -> None:
    with ready(name) as (executor, recorder):
        for fence in range(3):
            executor.submit(order(fence, tmp_path, steps=1000, size=256))
        executor.stop(0)
        executor.submit(order(9, tmp_path))
    assert recorder.fences() == [0, 1, 2, 9]
    assert all(isinstance(one, HandedBack | WorkerReady | Heartbeat) for one in recorder.reports)


def test_the_parent_of_a_worker_has_no_torch_and_the_worker_dies_with_it() -> None:
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, has_torch = parent.stdout.readline().split()
        os.kill(int(pid), 0)
        parent.kill()
    assert has_torch == "False"
    _until_gone(int(pid))


def test_a_killed_worker_is_reported_with_its_orders_and_replaced(tmp_path: Path) -> None:
    with toy() as (executor, recorder):
        first = executor.pid
        assert first is not None
        executor.submit(toy_task(1, tmp_path, steps=1000))
        executor.submit(toy_task(2, tmp_path, alone=True))
        _until_begun(executor, 1)
        os.kill(first, signal.SIGKILL)
        recorder.wait_until(lambda: len(recorder.fences()) == 2)
        died = recorder.of(1)
        assert isinstance(died, WorkerDied)
        assert died.fences == (1,)
        assert "SIGKILL" in died.reason
        assert str(first) in died.reason
        # The other had not begun: the next worker does it, and nobody suspects it.
        assert isinstance(recorder.of(2), Restored), recorder.of(2)
        assert executor.pid != first
    _until_gone(first)


def test_a_photograph_that_kills_the_worker_is_among_the_dead_and_alone_when_alone(
    tmp_path: Path,
) -> None:
    with toy() as (executor, recorder):
        for fence in (11, 12, KILLER, 14):
            executor.submit(toy_task(fence, tmp_path, steps=20))
        recorder.wait_until(lambda: len(recorder.fences()) == 4)
        died = recorder.of(KILLER)
        assert isinstance(died, WorkerDied)
        assert "SIGSEGV" in died.reason
        again = [fence + 100 for fence in died.fences if fence != KILLER]
        for fence in again:
            executor.submit(toy_task(fence, tmp_path, steps=3, alone=True))
        executor.submit(toy_task(KILLER, tmp_path, steps=3, alone=True))
        recorder.wait_until(lambda: len(recorder.fences()) == 5 + len(again))
    assert all(isinstance(recorder.of(fence), Restored) for fence in again)
    deaths = [report.fences for report in recorder.reports if isinstance(report, WorkerDied)]
    assert deaths == [died.fences, (KILLER,)]


def test_the_worker_ignores_ctrl_c_and_sigterm(tmp_path: Path) -> None:
    with toy() as (executor, recorder):
        assert executor.pid is not None
        os.kill(executor.pid, signal.SIGINT)
        os.kill(executor.pid, signal.SIGTERM)
        executor.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.fences()) == 1)
    assert isinstance(recorder.of(1), Restored), recorder.of(1)
    assert not any(isinstance(report, WorkerDied) for report in recorder.reports)


def test_stopping_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    with toy() as (executor, recorder):  # multiprocessing's own tracker stays open
        executor.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.fences()) == 1)
    before = sorted(Path("/proc/self/fd").iterdir())
    with toy() as (executor, _):
        pid = executor.pid
        assert pid is not None
    assert executor.pid is None
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_cannot_start_says_why_and_orders_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.executors.process.GIVE_UP", 1)
    recorder = ReportRecorder()
    executor = ProcessExecutor(Compute(device="cuda:99"), recorder, worker=toy_worker)
    executor.submit(toy_task(1, tmp_path))
    executor.start()
    try:
        recorder.wait_until(lambda: bool(recorder.reports))
        assert recorder.fences() == []
    finally:
        executor.stop(0)
    died = recorder.reports[0]
    assert isinstance(died, WorkerDied)
    assert (died.fences, died.hopeless) == ((), True)
    assert "could not start (once): device 'cuda:99' is not there" in died.reason
    assert recorder.fences() == [1]
    assert isinstance(recorder.reports[-1], HandedBack)


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":  # dead; whoever adopted it has not looked yet
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def _until_begun(executor: ProcessExecutor, fence: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while fence not in executor.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.01)
