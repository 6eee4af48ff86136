"""Workers on a Ray cluster whose processes, nodes, gateway and head are killed."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")

from daemon.executors import EXECUTORS
from daemon.executors.cluster.executor import RayExecutor
from daemon.messages.reports import (
    HandedBack,
    Report,
    Restored,
    WorkerDied,
    WorkerLost,
    WorkerReady,
)
from daemon.messages.tasks import Compute
from tests.support.daemon_process import RESTORED
from tests.support.engine_fakes import ReportRecorder
from tests.support.ray_cluster import (
    Nodes,
    Running,
    actor_pids,
    compute_at,
    gateway_of_another_version,
    gateway_with_other_weights,
    light_gateway,
    worker_pids,
)
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    write_settings,
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def running(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(nodes.address, tmp_path_factory.mktemp("photos"))
    yield running
    running.executor.stop(0)


@pytest.fixture
def free(nodes: Nodes, running: Running) -> Nodes:
    """The cluster without the workers of `running`, which have ended."""
    running.executor.stop(0)
    return nodes


def test_photographs_and_results_are_sent(running: Running) -> None:
    running.restores(20)
    result = running.recorder.of(3)
    assert isinstance(result, Restored)
    (file,) = result.files
    assert file.path == running.folder / "staged-3/0.png"
    assert file.path.read_bytes() == b"3"
    assert {one.worker for one in running.of_kind(WorkerReady)} == {"1", "2"}


def test_a_killed_worker_process_is_a_death_from_outside(running: Running) -> None:
    os.kill(worker_pids()[0], signal.SIGKILL)
    running.wait(lambda: len(running.of_kind(WorkerDied)) == 1)
    (died,) = running.of_kind(WorkerDied)
    assert died.outside
    assert running.of_kind(WorkerLost) == []
    running.restores(5)


def test_a_killed_actor_is_a_loss_and_another_comes(running: Running) -> None:
    os.kill(actor_pids()[0], signal.SIGKILL)
    running.wait(lambda: len(running.of_kind(WorkerLost)) == 1)
    assert len(running.of_kind(WorkerDied)) == 1
    running.restores(5)


def test_a_killed_gateway_is_the_loss_of_all_and_another_comes(running: Running) -> None:
    before = len(running.of_kind(WorkerLost))
    assert running.executor.pid is not None
    os.kill(running.executor.pid, signal.SIGKILL)
    running.wait(lambda: len(running.of_kind(WorkerLost)) == before + 2)
    lost = running.of_kind(WorkerLost)[-1]
    assert "the gateway process" in lost.reason
    running.restores(5)


def test_the_loss_of_a_node_is_seen_and_its_successor_is_used(
    running: Running, nodes: Nodes
) -> None:
    before = len(running.of_kind(WorkerLost))
    nodes.remove()
    running.wait(lambda: len(running.of_kind(WorkerLost)) > before)
    fences = running.submit(5)
    running.wait(lambda: set(fences) <= set(running.recorder.fences()))
    nodes.nodes.append(nodes.add())
    running.restores(5)


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        (gateway_with_other_weights, "has other weights of 'prior'"),
        (gateway_of_another_version, "this machine 99.0; install the same version on both"),
    ],
)
def test_a_machine_that_would_restore_differently_is_refused(
    free: Nodes, gateway: Callable[..., None], why: str
) -> None:
    recorder = ReportRecorder()
    executor = RayExecutor(compute_at(free.address), recorder, gateway)
    executor.start()
    try:
        recorder.wait_until(
            lambda: any(isinstance(one, WorkerLost) for one in recorder.reports), 120
        )
    finally:
        executor.stop(0)
    lost = next(one for one in recorder.reports if isinstance(one, WorkerLost))
    assert why in lost.reason
    assert lost.hopeless
    assert not any(isinstance(one, WorkerReady) for one in recorder.reports)


class LightRay(RayExecutor):
    """The ray executor of a daemon, with light workers; a test kills its gateway."""

    made: list["LightRay"] = []  # noqa: RUF012

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        super().__init__(compute, report, light_gateway)
        self.made.append(self)


def test_each_photograph_of_a_station_has_one_result_whatever_is_killed(
    free: Nodes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "ray", f"{__name__}:LightRay")
    settings = {"executor": "ray", "ray_workers": 2, "ray_gpus_per_worker": 0}
    write_settings(root, ray_address=free.address, **settings)
    faults = [
        lambda: os.kill(worker_pids()[0], signal.SIGKILL),
        lambda: os.kill(actor_pids()[0], signal.SIGKILL),
        lambda: os.kill(LightRay.made[0].pid or 0, signal.SIGKILL),
    ]
    dropped = 0
    with open_daemon(root, executor="ray") as daemon:
        workers = daemon._parts.dispatcher.workers
        daemon._parts.dispatcher.start()
        while faults:
            daemon.turn(at_once=True)
            if [one.ready for one in workers.states(())] != [True, True]:
                continue
            for _ in range(20):
                drop_photo(root, f"denoise/{dropped}.png", size=8 + dropped)
                dropped += 1
            while not any(one.in_flight for one in workers.states(())):
                daemon.turn(at_once=True)
            faults.pop()()
            while all(one.ready for one in workers.states(())):
                daemon.turn(at_once=True)
        summary = daemon.once()
    assert (summary.done, summary.failed) == (60, 0)
    assert len(published_results(root)) == 60
    assert_no_leftovers(root)


def test_check_asks_the_machines(free: Nodes, root: Path) -> None:
    def check(gpus: int) -> subprocess.CompletedProcess[str]:
        settings = {"executor": "ray", "ray_gpus_per_worker": gpus, "files": "shared"}
        write_settings(root, ray_address=free.address, **settings)
        command = [str(RESTORED), "--station", str(root), "check"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    sound = check(gpus=0)
    assert sound.returncode == 0, sound.stderr
    without = check(gpus=1)
    assert without.returncode == 78
    assert "the cluster has no machine with 1 GPUs for a worker; start a node" in without.stderr


def test_the_loss_of_the_head_is_told_and_what_was_in_flight_is_handed_back(
    free: Nodes, tmp_path: Path
) -> None:
    running = Running(free.address, tmp_path)
    try:
        running.restores(2)
        free.kill_head()
        running.wait(lambda: running.ready() == 0)
        running.wait(lambda: any(one.hopeless for one in running.of_kind(WorkerLost)))
        fences = running.submit(2)
    finally:
        running.executor.stop(0)
    assert "no Ray cluster can be joined at" in running.of_kind(WorkerLost)[-1].reason
    assert all(isinstance(running.recorder.of(fence), HandedBack) for fence in fences)
