"""Whether the kernel killed a process for want of memory, by what it has counted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.system.kernel_kills import (
    KernelKills,
    is_stopped,
    ran_out_of_memory,
    read_kernel_kills,
)


def write_proc(folder: Path, *, of_group: int, of_machine: int, total_kb: int) -> Path:
    """What the kernel tells, with one control group of version 2."""
    proc, group = folder / "proc", folder / "cgroup"
    for path in (proc / "self", group):
        path.mkdir(parents=True, exist_ok=True)
    (proc / "self/cgroup").write_text("0::/\n")
    (proc / "self/mountinfo").write_text(f"1 1 0:1 / {group} rw - cgroup2 cgroup2 rw\n")
    (group / "memory.events").write_text(f"oom 9\noom_kill {of_group}\n")
    (proc / "vmstat").write_text(f"pgfault 12\noom_kill {of_machine}\n")
    (proc / "meminfo").write_text(f"MemTotal:       {total_kb} kB\n")
    return proc


def test_the_kernel_counts_for_the_machine_and_for_the_group(tmp_path: Path) -> None:
    proc = write_proc(tmp_path, of_group=2, of_machine=5, total_kb=1)
    assert read_kernel_kills(proc) == KernelKills(of_group=2, of_machine=5)
    assert read_kernel_kills(tmp_path / "none") == KernelKills(0, 0)


@pytest.mark.parametrize(
    ("of_group", "of_machine", "total_kb", "expected"),
    [
        (0, 0, 1, False),
        (1, 1, 1 << 40, True),
        (0, 1, 1 << 40, False),
        (0, 1, 1, True),
    ],
    ids=["nothing was killed", "its group's limit", "others took the memory", "it took half"],
)
def test_a_child_ran_out_of_memory_at_its_groups_limit_or_with_half_of_the_machine(
    tmp_path: Path, of_group: int, of_machine: int, total_kb: int, *, expected: bool
) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)  # a child, so that one has held memory
    proc = write_proc(tmp_path, of_group=of_group, of_machine=of_machine, total_kb=total_kb)
    assert ran_out_of_memory(KernelKills(0, 0), proc) is expected


def test_a_stopped_process_is_told_from_one_that_runs() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert not is_stopped(child.pid)
        child.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not is_stopped(child.pid):
            assert time.monotonic() < deadline
            os.sched_yield()
        child.kill()
    assert not is_stopped(child.pid)
