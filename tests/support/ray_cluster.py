"""A Ray cluster on this machine, and gateways and workers for tests of it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from daemon.executors.cluster import gateway
from daemon.executors.cluster.executor import RayExecutor
from daemon.executors.cluster.handshake import hello
from daemon.messages.reports import Restored, WorkerDied, WorkerLost, WorkerReady
from daemon.messages.tasks import Cluster, Compute, RestoreTask
from tests.support.engine_fakes import ReportRecorder, toy_task
from tests.support.light_worker import light_worker

ROOT = Path(__file__).parents[2]

OBJECT_BYTES = 80 << 20
"""Memory of each node for objects, near Ray's least."""

ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}
"""Variables of all nodes: they find this package, and a dead one is seen within seconds."""

light_gateway = partial(gateway.run_gateway, worker=light_worker)
"""A gateway whose workers start in a moment, without torch."""


def gateway_with_other_weights(pipe: Connection, compute: Compute, parent: int) -> None:
    """A gateway on whose machine a network that ships has been changed."""
    ours = hello()
    changed = replace(ours, weights={**ours.weights, "prior": "0" * 64})
    setattr(gateway, "hello", lambda: changed)  # noqa: B010 - in a process of its own
    light_gateway(pipe, compute, parent)


def gateway_of_another_version(pipe: Connection, compute: Compute, parent: int) -> None:
    """A gateway of a newer version of this program."""
    newer = replace(hello(), version="99.0")
    setattr(gateway, "hello", lambda: newer)  # noqa: B010 - in a process of its own
    light_gateway(pipe, compute, parent)


class Nodes:
    """A head without workers, and nodes with room for one worker each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECT_BYTES}
        self.cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: list[Any] = [self.add(), self.add()]

    @property
    def address(self) -> str:
        """Address of the head."""
        return str(self.cluster.address)

    def add(self) -> Any:  # noqa: ANN401 - Ray gives its nodes no type
        """Add a node."""
        return self.cluster.add_node(num_cpus=1, object_store_memory=OBJECT_BYTES)

    def remove(self) -> None:
        """End a node as a power cut would."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def kill_head(self) -> None:
        """End the head's server as a power cut would."""
        self.cluster.head_node.kill_gcs_server(check_alive=False)


@contextmanager
def running_cluster() -> Iterator[Nodes]:
    """A cluster of a head and two nodes."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


T = TypeVar("T")


class Running:
    """A ray executor with light workers, and what it reports."""

    def __init__(self, address: str, folder: Path, workers: int = 2) -> None:
        self.recorder = ReportRecorder()
        self.folder = folder
        self.workers = workers
        self.executor = RayExecutor(compute_at(address, workers), self.recorder, light_gateway)
        self.executor.start()
        self._fence = 0

    def submit(self, count: int) -> list[int]:
        """Submit photographs under new fences."""
        fences = []
        for _ in range(count):
            self._fence += 1
            self.executor.submit(photo_task(self._fence, self.folder))
            fences.append(self._fence)
        return fences

    def wait(self, fulfilled: Callable[[], bool]) -> None:
        """Wait for a report."""
        self.recorder.wait_until(fulfilled, 120)

    def of_kind(self, kind: type[T]) -> list[T]:
        """Reports of one kind."""
        return [one for one in self.recorder.reports if isinstance(one, kind)]

    def ready(self) -> int:
        """How many workers are ready."""
        up = set()
        for one in self.recorder.reports:
            if isinstance(one, WorkerReady):
                up.add(one.worker)
            elif isinstance(one, WorkerDied | WorkerLost):
                up.discard(one.worker)
        return len(up)

    def restores(self, count: int) -> None:
        """All workers are there, and photographs are restored once each."""
        self.wait(lambda: self.ready() == self.workers)
        fences = self.submit(count)
        self.wait(lambda: set(fences) <= set(self.recorder.fences()))
        for fence in fences:
            assert isinstance(self.recorder.of(fence), Restored), self.recorder.of(fence)


def compute_at(address: str, workers: int = 2) -> Compute:
    """How to use a cluster without GPUs."""
    return Compute(cluster=Cluster(address, workers, gpus_per_worker=0))


def photo_task(fence: int, folder: Path) -> RestoreTask:
    """A task whose photograph and staging folder exist."""
    task = toy_task(fence, folder / f"staged-{fence}")
    task.staging.mkdir()
    path = folder / f"{fence}.png"
    path.write_bytes(b"%d" % fence)
    job = replace(task.job, photos=(replace(task.job.photos[0], path=path),))
    return replace(task, job=job)


def actor_pids() -> list[int]:
    """Process ids of the actors on this machine."""
    return [pid for pid, words in _processes() if words.startswith("ray::Host")]


def worker_pids() -> list[int]:
    """Process ids of the worker processes of these actors."""
    actors = {str(pid) for pid in actor_pids()}
    return [pid for pid, words in _processes() if "spawn_main" in words and _parent(pid) in actors]


def _processes() -> list[tuple[int, str]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append((int(path.parent.name), path.read_text().replace("\0", " ")))
        except OSError:
            continue
    return found


def _parent(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


class TwoMachines:
    """A head here, and a node in a network namespace, which a link connects that can be cut.

    The node is started again whenever it ends, as systemd would.
    """

    HEAD, NODE, PORT = "10.213.7.1", "10.213.7.2", 46379

    def __init__(self, folder: Path) -> None:
        self.namespace = f"restored-{os.getpid()}"
        self.near, self.far = f"rn{os.getpid()}", f"rf{os.getpid()}"
        self.address = f"{self.HEAD}:{self.PORT}"
        self._ip(f"netns add {self.namespace}")
        self._ip(f"link add {self.near} type veth peer name {self.far} netns {self.namespace}")
        for where, device, address in (
            ("", self.near, self.HEAD),
            (f"-n {self.namespace} ", self.far, self.NODE),
        ):
            self._ip(f"{where}addr add {address}/30 dev {device}")
            self._ip(f"{where}link set {device} up")
        self._ip(f"-n {self.namespace} link set lo up")
        ray = f"{Path(sys.executable).with_name('ray')} start --block"
        common = f"--object-store-memory={OBJECT_BYTES} --disable-usage-stats"
        head = f"{ray} --head --node-ip-address={self.HEAD} --port={self.PORT} --num-cpus=0"
        node = f"{ray} --address={self.address} --node-ip-address={self.NODE} --num-cpus=1"
        self._log = (folder / "ray.log").open("ab")
        self._processes = [
            self._start(f"exec {head} {common} --include-dashboard=false"),
            self._start(
                f"exec ip netns exec {self.namespace} sh -c "
                f"'while :; do {node} {common}; sleep 1; done'"
            ),
        ]

    def cut(self) -> None:
        """Have both ends send to nobody: no error, no answer."""
        self._ip(
            f"neigh replace {self.NODE} lladdr 02:00:00:00:00:01 dev {self.near} nud permanent"
        )
        self._ip(
            f"-n {self.namespace} neigh replace {self.HEAD} lladdr 02:00:00:00:00:02 "
            f"dev {self.far} nud permanent"
        )

    def heal(self) -> None:
        """Have them reach each other again."""
        self._ip(f"neigh del {self.NODE} dev {self.near}")
        self._ip(f"-n {self.namespace} neigh del {self.HEAD} dev {self.far}")

    def close(self) -> None:
        """End all of it."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        inside = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        )
        for pid in inside.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._ip(f"netns del {self.namespace}")
        self._log.close()

    def _start(self, command: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["sh", "-c", command],
            stdout=self._log,
            stderr=self._log,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )

    def _ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True)


def may_make_namespaces() -> bool:
    """Whether this process may make a network namespace."""
    try:
        made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    except OSError:
        return False
    return made.returncode == 0
