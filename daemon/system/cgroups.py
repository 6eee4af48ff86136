"""Cores and memory that the control groups of this process allow, version 1 or 2.

On a machine of 64 cores a container with a quota of two runs two threads at a time, whatever
`os.cpu_count` says. Nothing is written.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.system.mounts import read_mount

_PROC = Path("/proc/self")
_NO_LIMIT_BYTES = 1 << 62
"""Limit in bytes that means "no limit": version 1 says so with a number near 2**63."""


@dataclass(frozen=True)
class _Dialect:
    """The files and fields in which one version of control groups tells of memory."""

    limits: tuple[str, ...]
    used: str
    reclaimable: str


_V2 = _Dialect(("memory.max", "memory.high"), "memory.current", "inactive_file")
_V1 = _Dialect(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def core_count(proc: Path = _PROC) -> int:
    """Number of threads that this process can keep running.

    A quota is rounded up. With 1.5 cores a second thread is stopped half of the time, but without
    it half a core stays idle.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [quota for folder in _groups("cpu", proc)[1] if (quota := _cpu_quota(folder))]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def free_bytes(proc: Path = _PROC) -> int | None:
    """Memory in bytes that the control groups still allow this process; None without a limit.

    Cached pages of files that were not read lately count as free, since the kernel drops them at
    once.
    """
    dialect, folders = _groups("memory", proc)
    free = [room for folder in folders if (room := _room(folder, dialect)) is not None]
    return min(free, default=None)


def memory_groups(proc: Path = _PROC) -> list[Path]:
    """Folders of the control groups that limit this process's memory, the nearest first."""
    return _groups("memory", proc)[1]


def _groups(controller: str, proc: Path) -> tuple[_Dialect, list[Path]]:
    """Folders of this process's control group and of the groups above it, the nearest first."""
    own = _own_paths(proc)
    for kind, options, root, point in _hierarchies(proc):
        if kind == "cgroup" and controller in options and controller in own:
            return _V1, list(_upwards(own[controller], root, point))
    for kind, _, root, point in _hierarchies(proc):
        if kind == "cgroup2" and "" in own:
            return _V2, list(_upwards(own[""], root, point))
    return _V2, []


def _own_paths(proc: Path) -> dict[str, str]:
    """Path of this process's group in each hierarchy, by controller; "" stands for version 2."""
    found: dict[str, str] = {}
    for line in _read(proc / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _hierarchies(proc: Path) -> Iterator[tuple[str, list[str], str, Path]]:
    for line in _read(proc / "mountinfo").splitlines():
        mount = read_mount(line)
        if mount is not None and mount.kind in ("cgroup", "cgroup2"):
            yield mount.kind, mount.options.split(","), mount.root, Path(mount.point)


def _upwards(path: str, root: str, point: Path) -> Iterator[Path]:
    """Folders from a group's up to the mount point; a group outside the mount has only that."""
    try:
        relative = PurePosixPath(path).relative_to(root)
    except ValueError:
        relative = PurePosixPath()
    folder = point / relative
    if ".." in relative.parts or not folder.is_dir():
        folder = point
    while True:
        yield folder
        if folder == point:
            return
        folder = folder.parent


def _cpu_quota(folder: Path) -> float | None:
    """Cores that a group may use on average; None without a quota."""
    words = _read(folder / "cpu.max").split() or [
        *_read(folder / "cpu.cfs_quota_us").split(),
        *_read(folder / "cpu.cfs_period_us").split(),
    ]
    numbers = [int(word) for word in words if word.isdecimal()]
    return numbers[0] / numbers[1] if len(numbers) == 2 and numbers[1] else None


def _room(folder: Path, dialect: _Dialect) -> int | None:
    limits = [_number(folder / name) for name in dialect.limits]
    most = min((limit for limit in limits if limit is not None), default=_NO_LIMIT_BYTES)
    used = _number(folder / dialect.used)
    if most >= _NO_LIMIT_BYTES or used is None:
        return None
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == dialect.reclaimable:
            used -= int(value)
    return max(0, most - used)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
