"""Disks that do not answer."""

import threading
from pathlib import Path

from daemon.system.disk_probe import DiskProbe
from tests.support.waiting import wait_for


def test_a_disk_that_answers_or_refuses_answers(tmp_path: Path) -> None:
    disks = DiskProbe()
    assert disks.answers(tmp_path)
    assert disks.answers(tmp_path / "gone")


def test_a_disk_that_does_not_answer_is_waited_for_once_and_found_again(tmp_path: Path) -> None:
    back = threading.Event()
    asked: list[Path] = []

    def look(folder: Path) -> None:
        asked.append(folder)
        if folder.name == "hung":
            assert back.wait(60)

    disks = DiskProbe(look, wait_s=0.05, clock=lambda: 9.0)
    hung = tmp_path / "hung"
    assert disks.silent([hung, tmp_path, hung]) == [hung]
    disks = DiskProbe(look, wait_s=0.05, clock=iter(range(100, 9999, 100)).__next__)
    for _ in range(3):
        assert not disks.answers(hung)
        assert disks.answers(tmp_path)
    assert asked.count(hung) == 2, "no second thread may wait for one disk"
    back.set()
    wait_for(lambda: disks.answers(hung), "the disk")


def test_an_answer_counts_for_a_second(tmp_path: Path) -> None:
    now = [0.0]
    asked: list[Path] = []
    disks = DiskProbe(asked.append, clock=lambda: now[0])
    for at, times in ((0.0, 1), (0.9, 1), (1.0, 2)):
        now[0] = at
        assert disks.answers(tmp_path)
        assert len(asked) == times
