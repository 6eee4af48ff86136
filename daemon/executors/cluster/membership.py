"""Joining a cluster as a driver, and its machines. Ray is imported only when one is joined."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.messages.tasks import Cluster
from daemon.system.errors import ConfigError, PassingError

_REACH_S = 5.0
"""Seconds in which the head must answer."""

NEEDS_EXTRA = 'executor = "ray" needs an extra; run: pip install "restored[ray]"'


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name of it.
        machine: Its host name.
        resources: What Ray counts there, such as "CPU" and "GPU".
    """

    id: str
    machine: str
    resources: Mapping[str, float]

    def workers(self, gpus_per_worker: float) -> int:
        """How many workers it has room for; without GPUs each takes a CPU."""
        if gpus_per_worker:
            return int(self.resources.get("GPU", 0.0) / gpus_per_worker)
        return int(self.resources.get("CPU", 0.0))


def join(cluster: Cluster) -> None:
    """Become a driver of the cluster; Ray's reports on its use are sent to nobody.

    Raises:
        ConfigError: Ray is not installed.
        PassingError: No cluster can be joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(NEEDS_EXTRA) from error
    try:
        _reach(cluster.address)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        why = f"no Ray cluster can be joined at {cluster.address!r}: {error}"
        raise PassingError(why) from error


def _reach(address: str) -> None:
    """Connect to the head and hang up: Ray ends the whole process where nobody answers there.

    Raises:
        OSError: Nobody answers.
    """
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()


def nodes() -> Sequence[Node]:
    """The machines that are there, of a cluster that was joined."""
    import ray

    described: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        Node(one["NodeID"], one["NodeManagerHostname"], one["Resources"])
        for one in described
        if one["Alive"]
    ]
