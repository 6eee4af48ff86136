"""Which executor the settings ask for, and what it is told."""

from typing import Any

import pytest

from daemon.config.settings import Settings
from daemon.messages.tasks import Cluster
from daemon.service.component_settings import compute_of, executor_of


@pytest.mark.parametrize(
    ("given", "executor", "devices"),
    [
        ({}, "process", ()),
        ({"device": "cuda:1"}, "process", ()),
        ({"devices": "all"}, "pool", ("all",)),
        ({"devices": ["cuda:0", "cuda:1"]}, "pool", ("cuda:0", "cuda:1")),
    ],
)
def test_devices_choose_the_executor(
    given: dict[str, Any], executor: str, devices: tuple[str, ...]
) -> None:
    settings = Settings(**given)
    assert (executor_of(settings), compute_of(settings).devices) == (executor, devices)
    assert compute_of(settings).cluster is None


def test_a_cluster_is_told_with_its_settings() -> None:
    settings = Settings(
        executor="ray",
        ray_address="10.0.0.1:6379",
        ray_workers=3,
        ray_gpus_per_worker=0.5,
        files="shared",
    )
    assert executor_of(settings) == "ray"
    cluster = Cluster("10.0.0.1:6379", 3, 0.5, shared_files=True)
    assert compute_of(settings).cluster == cluster
