"""Cores and memory from control groups, on trees made for the test."""

import os
from pathlib import Path

import pytest

from daemon.system.cgroups import core_count, free_bytes

MIB = 1 << 20


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


class Tree:
    """A /proc/self and the file systems of control groups that it names."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.proc.mkdir()
        self._mounts = folder / "mounts"

    def process(self, *groups: str) -> None:
        (self.proc / "cgroup").write_text("\n".join(groups) + "\n")

    def mount(self, kind: str, name: str, root: str = "/", options: str = "rw") -> Path:
        point = self._mounts / name
        point.mkdir(parents=True)
        shown = str(point).replace(" ", r"\040")
        with (self.proc / "mountinfo").open("a") as file:
            file.write(
                f"31 23 0:28 {root} {shown} rw,relatime shared:9 - {kind} {kind} {options}\n"
            )
        return point


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_control_groups_all_cores_count_and_memory_has_no_limit(tree: Tree) -> None:
    assert (core_count(tree.proc), free_bytes(tree.proc)) == (8, None)


def test_the_smallest_quota_up_the_tree_counts_in_version_2(tree: Tree) -> None:
    tree.process("0::/system.slice/restored.service")
    point = tree.mount("cgroup2", "unified")
    group(point, cpu__stat="")
    group(point / "system.slice", cpu__max="300000 100000")
    group(point / "system.slice/restored.service", cpu__max="max 100000")
    assert core_count(tree.proc) == 3
    group(point / "system.slice/restored.service", cpu__max="150000 100000")
    assert core_count(tree.proc) == 2
    group(point / "system.slice/restored.service", cpu__max="20000 100000")
    assert core_count(tree.proc) == 1


def test_a_container_sees_its_own_group_at_the_mount_point(tree: Tree) -> None:
    tree.process("0::/")
    group(tree.mount("cgroup2", "with space"), cpu__max="200000 100000", memory__max="max")
    assert (core_count(tree.proc), free_bytes(tree.proc)) == (2, None)


@pytest.mark.parametrize("own", ["/docker/abc", "/other", "/../sibling"])
def test_where_the_mount_does_not_show_the_path_its_root_counts(tree: Tree, own: str) -> None:
    tree.process(f"4:cpu,cpuacct:{own}", "0::/")
    point = tree.mount("cgroup", "cpu,cpuacct", root="/docker/abc", options="rw,cpu,cpuacct")
    group(point, cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    tree.mount("cgroup2", "unified")
    assert core_count(tree.proc) == 4


def test_version_1_has_a_quota_of_its_own_or_none(tree: Tree) -> None:
    tree.process("4:cpu,cpuacct:/a/b", "7:memory:/a")
    point = tree.mount("cgroup", "cpu", options="rw,cpuacct,cpu")
    group(point / "a", cpu__cfs_quota_us="250000", cpu__cfs_period_us="50000")
    group(point / "a/b", cpu__cfs_quota_us="-1", cpu__cfs_period_us="50000")
    assert core_count(tree.proc) == 5


def test_memory_is_what_the_tightest_limit_leaves_and_old_pages_are_free(tree: Tree) -> None:
    tree.process("0::/a/b")
    point = tree.mount("cgroup2", "unified")
    stat = f"anon 1\ninactive_file {100 * MIB}\nactive_file 7"
    group(point / "a", memory__max=str(4000 * MIB), memory__current=str(3500 * MIB))
    group(
        point / "a/b",
        memory__max=str(2000 * MIB),
        memory__high="max",
        memory__current=str(1000 * MIB),
        memory__stat=stat,
    )
    assert free_bytes(tree.proc) == 500 * MIB
    group(point / "a", memory__max="max")
    assert free_bytes(tree.proc) == 1100 * MIB
    group(point / "a/b", memory__high=str(1200 * MIB))
    assert free_bytes(tree.proc) == 300 * MIB
    group(point / "a/b", memory__high=str(800 * MIB))
    assert free_bytes(tree.proc) == 0


def test_memory_in_version_1(tree: Tree) -> None:
    tree.process("7:memory:/box", "0::/")
    point = tree.mount("cgroup", "memory", options="rw,memory")
    group(point, memory__limit_in_bytes=str(2**63 - 4096), memory__usage_in_bytes="5")
    group(
        point / "box",
        memory__limit_in_bytes=str(2000 * MIB),
        memory__usage_in_bytes=str(1500 * MIB),
        memory__stat=f"inactive_file 1\ntotal_inactive_file {200 * MIB}",
    )
    assert free_bytes(tree.proc) == 700 * MIB
    tree.process("7:memory:/", "0::/")
    assert free_bytes(tree.proc) is None


def test_what_this_machine_says_is_understood() -> None:
    assert core_count() >= 1
    free = free_bytes()
    assert free is None or free >= 0
