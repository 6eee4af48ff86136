"""A machine of a Ray cluster that falls silent, and is heard again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")

from daemon.messages.reports import HandedBack, Restored, WorkerLost
from tests.support.ray_cluster import Running, TwoMachines, may_make_namespaces

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not may_make_namespaces(), reason="may not make a network namespace"),
]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[TwoMachines]:
    machines = TwoMachines(tmp_path)
    yield machines
    machines.close()


def test_what_a_silent_machine_had_is_lost_once_and_it_works_again_when_it_is_heard(
    machines: TwoMachines, tmp_path: Path
) -> None:
    running = Running(machines.address, tmp_path, workers=1)
    try:
        running.restores(3)
        machines.cut()
        fences = running.submit(4)
        running.wait(lambda: len(running.of_kind(WorkerLost)) >= 1)
        lost = running.of_kind(WorkerLost)[0]
        assert set(lost.fences) <= set(fences)
        assert lost.fences
        machines.heal()
        running.restores(3)
    finally:
        running.executor.stop(0)
    reported = running.recorder.fences()
    assert reported == sorted(set(reported)), "no fence is named twice"
    for fence in fences:
        assert isinstance(running.recorder.of(fence), WorkerLost | Restored | HandedBack)
