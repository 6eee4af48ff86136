"""The process executor: how its worker starts, dies, is replaced and ends."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.executors.process import ProcessExecutor
from daemon.messages.reports import HandedBack, Restored, WorkerDied, WorkerReady
from daemon.messages.tasks import Compute
from daemon.system.kernel_kills import is_stopped
from tests.support.engine_fakes import DEADLINE_S, KILLER, ReportRecorder, toy_task
from tests.support.light_worker import light_worker
from tests.support.toy_worker import toy_worker, worker_with_last_words
from tests.support.waiting import wait_for

CHILD = Path(__file__).parents[1] / "support/process_child.py"
COMPUTE = Compute(device="cpu", threads=1)


@contextlib.contextmanager
def toy_executor() -> Iterator[tuple[ProcessExecutor, ReportRecorder]]:
    """An executor whose worker has a toy restorer."""
    recorder = ReportRecorder()
    executor = ProcessExecutor(COMPUTE, recorder, worker=toy_worker)
    executor.start()
    try:
        recorder.wait_until(lambda: any(isinstance(one, WorkerReady) for one in recorder.reports))
        yield executor, recorder
    finally:
        executor.stop(0)


def test_the_parent_of_a_worker_has_no_torch_and_the_worker_dies_with_it() -> None:
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, has_torch = parent.stdout.readline().split()
        os.kill(int(pid), 0)
        parent.kill()
    assert has_torch == "False"
    _wait_until_gone(int(pid))


def test_a_killed_worker_is_reported_with_its_tasks_and_replaced(tmp_path: Path) -> None:
    with toy_executor() as (executor, recorder):
        first = executor.pid
        assert first is not None
        executor.submit(toy_task(1, tmp_path, steps=1000))
        executor.submit(toy_task(2, tmp_path, alone=True))
        _wait_until_started(executor, 1)
        os.kill(first, signal.SIGKILL)
        recorder.wait_until(lambda: len(recorder.fences()) == 2)
        died = recorder.of(1)
        assert isinstance(died, WorkerDied)
        assert died.fences == (1,)
        assert "SIGKILL" in died.reason
        assert str(first) in died.reason
        assert died.outside
        # The other had not started: the next worker does it, and it is not suspected.
        assert isinstance(recorder.of(2), Restored), recorder.of(2)
        assert executor.pid != first
    _wait_until_gone(first)


def test_a_stopped_worker_can_be_replaced(tmp_path: Path) -> None:
    with toy_executor() as (executor, recorder):
        first = executor.pid
        assert first is not None
        executor.submit(toy_task(1, tmp_path, steps=1000))
        _wait_until_started(executor, 1)
        os.kill(first, signal.SIGSTOP)
        wait_for(lambda: is_stopped(first), "the stop")
        executor.replace_worker("it took no step")
        recorder.wait_until(lambda: recorder.fences() == [1])
        died = recorder.of(1)
        assert isinstance(died, WorkerDied)
        assert died.reason == f"the worker process {first} was replaced: it took no step"
        assert died.outside  # somebody had stopped it
        executor.submit(toy_task(2, tmp_path))
        recorder.wait_until(lambda: len(recorder.fences()) == 2)
        assert isinstance(recorder.of(2), Restored)
    _wait_until_gone(first)


def test_a_worker_that_not_even_sigkill_ends_is_told_and_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.executors.process.GRACE_S", 0.2)
    monkeypatch.setattr(BaseProcess, "kill", lambda process: None)
    recorder = ReportRecorder()
    executor = ProcessExecutor(COMPUTE, recorder, worker=light_worker)
    executor.start()
    recorder.wait_until(lambda: bool(recorder.reports))
    pid = executor.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    executor.submit(toy_task(1, tmp_path))
    try:
        for _ in range(3):  # the daemon asks again in each turn
            executor.replace_worker("it took no step")
        recorder.wait_until(lambda: len(recorder.reports) == 2)
        died = recorder.reports[1]
        assert isinstance(died, WorkerDied)
        assert (died.fences, died.hopeless) == ((), True)
        assert died.reason.startswith(f"the worker process {pid} cannot be ended, not even by")
        executor.stop(0)
        assert recorder.reports[2:] == [HandedBack((1,))]
        assert pid not in [child.pid for child in multiprocessing.active_children()]
    finally:
        os.kill(pid, signal.SIGKILL)
    _wait_until_gone(pid)


def test_a_photograph_that_kills_the_worker_is_reported_with_it_and_alone_when_alone(
    tmp_path: Path,
) -> None:
    with toy_executor() as (executor, recorder):
        for fence in (11, 12, KILLER, 14):
            executor.submit(toy_task(fence, tmp_path, steps=20))
        recorder.wait_until(lambda: len(recorder.fences()) == 4)
        died = recorder.of(KILLER)
        assert isinstance(died, WorkerDied)
        assert "SIGSEGV" in died.reason
        assert not died.outside
        again = [fence + 100 for fence in died.fences if fence != KILLER]
        for fence in again:
            executor.submit(toy_task(fence, tmp_path, steps=3, alone=True))
        executor.submit(toy_task(KILLER, tmp_path, steps=3, alone=True))
        recorder.wait_until(lambda: len(recorder.fences()) == 5 + len(again))
    assert all(isinstance(recorder.of(fence), Restored) for fence in again)
    deaths = [report.fences for report in recorder.reports if isinstance(report, WorkerDied)]
    assert deaths == [died.fences, (KILLER,)]


def test_the_worker_ignores_ctrl_c_and_sigterm(tmp_path: Path) -> None:
    with toy_executor() as (executor, recorder):
        assert executor.pid is not None
        os.kill(executor.pid, signal.SIGINT)
        os.kill(executor.pid, signal.SIGTERM)
        executor.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.fences()) == 1)
    assert isinstance(recorder.of(1), Restored), recorder.of(1)
    assert not any(isinstance(report, WorkerDied) for report in recorder.reports)


def test_stopping_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    with toy_executor() as (executor, recorder):  # multiprocessing's own tracker stays open
        executor.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: len(recorder.fences()) == 1)
    before = sorted(Path("/proc/self/fd").iterdir())
    with toy_executor() as (executor, _):
        pid = executor.pid
        assert pid is not None
    assert executor.pid is None
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert not Path(f"/proc/{pid}").exists()


def test_the_last_words_of_a_worker_that_cannot_start_are_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    recorder = ReportRecorder()
    executor = ProcessExecutor(COMPUTE, recorder, worker=worker_with_last_words)
    with capture_logs() as events:
        executor.start()
        recorder.wait_until(lambda: bool(recorder.reports))
        executor.stop(0)
    died = recorder.reports[0]
    assert isinstance(died, WorkerDied)
    assert "could not start (once): ended with exit code 3; it said: UserWarning: odd chunk" in (
        died.reason
    )
    assert died.reason.endswith(" / libcuda.so.1: version mismatch")
    assert [event["event"] for event in events[:2]] == ["worker_output", "worker_output"]
    assert "libcuda" not in capfd.readouterr().err


def test_a_worker_that_cannot_start_says_why_and_tasks_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.executors.process.HOPELESS_AFTER", 1)
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


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":  # dead, and not yet reaped by the process that adopted it
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def _wait_until_started(executor: ProcessExecutor, fence: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while fence not in executor.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.01)
