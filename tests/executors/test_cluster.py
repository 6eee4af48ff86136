"""The ends of the ray executor that need no cluster: files, handshake, scratch, the gateway."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from daemon.executors.cluster import gateway
from daemon.executors.cluster.executor import RayExecutor
from daemon.executors.cluster.files import place_results, read_inputs, read_results, unpack
from daemon.executors.cluster.handshake import Hello, hello, why_not_here, why_refused
from daemon.executors.cluster.host import make_scratch
from daemon.executors.worker import Replace, Stop, TaskStarted
from daemon.messages.reports import (
    Heartbeat,
    TaskAssigned,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerStarts,
)
from daemon.messages.tasks import Cluster, Compute, InspectTask, RestoreTask
from daemon.system.errors import PassingError
from tests.support.engine_fakes import ReportRecorder, toy_task
from tests.support.fakes import restored


def task_in(folder: Path) -> RestoreTask:
    """A task with a photograph, a mask, and an empty staging folder."""
    task = toy_task(7, folder / "staged")
    task.staging.mkdir()
    path, mask = folder / "a.jpg", folder / "a.mask.png"
    path.write_bytes(b"photograph")
    mask.write_bytes(b"mask")
    os.utime(path, ns=(5, 1_000_000_007))
    photo = replace(task.job.photos[0], path=path, mask=mask, beneath=folder)
    return replace(task, job=replace(task.job, photos=(photo,)))


def test_a_photograph_and_its_result_are_the_same_on_another_machine(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    task = task_in(here)
    sent = unpack(task, read_inputs(task), there)
    assert isinstance(sent, RestoreTask)
    (photo,) = sent.job.photos
    assert (photo.path.parent, photo.path.suffix, photo.beneath) == (there, ".jpg", None)
    assert photo.path.read_bytes() == b"photograph"
    assert photo.path.stat().st_mtime_ns == 1_000_000_007
    assert photo.mask is not None
    assert photo.mask.read_bytes() == b"mask"
    assert (photo.name, photo.hints) == (task.job.photos[0].name, None)
    result = restored(sent)
    files = read_results(result, sent.staging)
    placed = place_results(result, files, sent.staging, task.staging)
    assert placed.files[0].path == task.staging / "0.png"
    assert placed.files[0].path.read_bytes() == b"photograph"[::-1]
    assert replace(placed, files=()) == replace(result, files=())


def test_a_result_that_was_damaged_on_its_way_is_not_taken(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    result = restored(task)
    (file,) = read_results(result, task.staging)
    (tmp_path / "again").mkdir()
    with pytest.raises(PassingError, match="came damaged from another machine"):
        place_results(result, [replace(file, content=b"else")], task.staging, tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []


def test_a_photograph_that_became_a_link_is_not_sent(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    (tmp_path / "a.jpg").rename(tmp_path / "b.jpg")
    (tmp_path / "a.jpg").symlink_to("b.jpg")
    with pytest.raises(OSError, match=r"a\.jpg"):
        read_inputs(task)


def test_a_photograph_to_be_inspected_is_sent_too(tmp_path: Path) -> None:
    photo = task_in(tmp_path).job.photos[0]
    (tmp_path / "there").mkdir()
    task = InspectTask(photo, (), 7)
    sent = unpack(task, read_inputs(task), tmp_path / "there")
    assert isinstance(sent, InspectTask)
    assert sent.photo.path.read_bytes() == b"photograph"


OURS = Hello("here", "1.0", "3.12", {"prior": "a" * 64})


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (replace(OURS, machine="gpu7"), ""),
        (
            replace(OURS, machine="gpu7", version="1.1"),
            "gpu7 has restored 1.1, this machine 1.0; install the same version on both",
        ),
        (
            replace(OURS, machine="gpu7", weights={"prior": "b" * 64}),
            "gpu7 has other weights of 'prior' (bbbbbbbbbbbb, here aaaaaaaaaaaa); install the same "
            "package on both",
        ),
        (
            replace(OURS, machine="gpu7", weights={}),
            "gpu7 has other weights of 'prior' (none, here aaaaaaaaaaaa); install the same "
            "package on both",
        ),
    ],
)
def test_a_machine_with_another_program_or_other_weights_is_refused(
    theirs: Hello, why: str
) -> None:
    assert why_refused(theirs, OURS) == why


def test_this_machine_is_as_this_machine() -> None:
    assert why_refused(hello(), hello()) == ""


def test_a_checkpoint_that_is_not_here_is_why_a_task_cannot_be_done_here(tmp_path: Path) -> None:
    task = toy_task(1, tmp_path, model="org/none")
    task = replace(task, job=replace(task.job, weights=("d" * 64,)))
    assert "org/none" in why_not_here(task, tmp_path)
    assert why_not_here(toy_task(1, tmp_path, model="prior"), tmp_path) == ""


def test_the_scratch_of_a_process_that_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    base = tmp_path / "scratch"
    script = (
        "import os, pathlib, sys\n"
        "from daemon.executors.cluster.host import make_scratch\n"
        "folder = make_scratch(pathlib.Path(sys.argv[1]))\n"
        "(folder / 'photo').touch()\n"
        "print(folder, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(base)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    left = Path(ended.stdout.strip())
    assert (left / "photo").exists()
    mine = make_scratch(base)
    assert list(base.iterdir()) == [mine]
    make_scratch(base)
    assert mine.exists(), "that of a living process stays"


def hand_gateway(pipe: Connection, compute: Compute, parent: int) -> None:
    """A gateway with two workers that does nothing but start tasks, and dies for fence 9."""
    for name in ("1", "2"):
        pipe.send(WorkerStarts(name, "auto"))
        pipe.send(WorkerReady("cpu on gpu7", worker=name))
    while not isinstance(message := pipe.recv(), Stop):
        if isinstance(message, Replace):
            pipe.send(Heartbeat(worker=f"{message.worker}: {message.why}"))
            continue
        pipe.send(TaskStarted(message.fence))
        pipe.send(TaskAssigned(message.fence, "2"))
        if message.fence == 9:
            os.kill(os.getpid(), signal.SIGKILL)


def test_the_death_of_the_gateway_is_the_loss_of_each_worker(tmp_path: Path) -> None:
    recorder = ReportRecorder()
    executor = RayExecutor(Compute(), recorder, hand_gateway)
    executor.start()
    try:
        executor.submit(toy_task(1, tmp_path))
        recorder.wait_until(lambda: any(isinstance(one, TaskAssigned) for one in recorder.reports))
        executor.replace_worker("it is silent", "2")
        recorder.wait_until(lambda: Heartbeat(worker="2: it is silent") in recorder.reports)
        executor.submit(toy_task(9, tmp_path))
        recorder.wait_until(
            lambda: sum(isinstance(one, WorkerReady) for one in recorder.reports) == 4
        )
    finally:
        executor.stop(0)
    lost = [one for one in recorder.reports if isinstance(one, WorkerLost)]
    assert [(one.worker, one.fences, one.hopeless) for one in lost] == [
        ("1", (1, 9), False),
        ("2", (), False),
    ]
    assert "the gateway process" in lost[0].reason
    assert "SIGKILL" in lost[0].reason
    assert not any(isinstance(one, WorkerDied) for one in recorder.reports)


def test_a_silent_gateway_is_replaced_and_not_one_of_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = ReportRecorder()
    executor = RayExecutor(Compute(), recorder, hand_gateway)
    executor.start()
    try:
        recorder.wait_until(
            lambda: sum(isinstance(one, WorkerReady) for one in recorder.reports) == 2
        )
        monkeypatch.setattr("daemon.executors.cluster.executor.SILENT_S", 0.0)
        executor.replace_worker("it is silent", "2")
        recorder.wait_until(
            lambda: sum(isinstance(one, WorkerLost) for one in recorder.reports) == 2
        )
    finally:
        executor.stop(0)
    lost = next(one for one in recorder.reports if isinstance(one, WorkerLost))
    assert lost.reason.endswith("was replaced: it is silent")


def gateway_without_ray(pipe: Connection, compute: Compute, parent: int) -> None:
    """A gateway on a machine where ray is not installed."""
    sys.modules["ray"] = None  # type: ignore[assignment]
    gateway.run_gateway(pipe, compute, parent)


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.executors.process.HOPELESS_AFTER", 1)
    recorder = ReportRecorder()
    executor = RayExecutor(Compute(cluster=Cluster()), recorder, gateway_without_ray)
    executor.start()
    recorder.wait_until(lambda: bool(recorder.reports))
    executor.stop(0)
    lost = recorder.reports[0]
    assert isinstance(lost, WorkerLost)
    assert lost.hopeless
    assert lost.reason.endswith('pip install "restored[ray]"')


def test_nothing_but_the_gateway_imports_ray() -> None:
    script = (
        "import sys, daemon.cli.main, daemon.service.daemon, daemon.service.check\n"
        "import daemon.executors.cluster.executor, daemon.executors.cluster.host\n"
        "import daemon.executors.cluster.survey, daemon.executors.pool\n"
        "assert 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
