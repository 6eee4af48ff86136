"""Cores and memory that this process may use, as its control group has it.

Comes in: /proc and the file systems of control groups, version 1 or 2. Goes out: numbers. A machine
of 64 cores gives a container with a quota of two as many threads as the container can run. Writes
nothing.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.system.mounts import read_mount

_PROC = Path("/proc/self")
_NO_LIMIT_BYTES = 1 << 62
"""Version 1 says "no limit" with a number near 2**63."""


@dataclass(frozen=True)
class _Dialect:
    """How one version of control groups tells of memory."""

    limits: tuple[str, ...]
    used: str
    reclaimable: str


_V2 = _Dialect(("memory.max", "memory.high"), "memory.current", "inactive_file")
_V1 = _Dialect(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def core_count(proc: Path = _PROC) -> int:
    """How many threads this process can keep running.

    A quota is rounded up: with 1.5 cores a second thread is stopped half of the time, without it
    half a core would stay idle.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [quota for folder in _groups("cpu", proc)[1] if (quota := _cpu_quota(folder))]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def free_bytes(proc: Path = _PROC) -> int | None:
    """Memory that this process's control groups still allow it; None where they set no limit.

    Pages of files that were not read lately count as free: the kernel gives them up at once.
    """
    dialect, folders = _groups("memory", proc)
    free = [room for folder in folders if (room := _room(folder, dialect)) is not None]
    return min(free, default=None)


def _groups(controller: str, proc: Path) -> tuple[_Dialect, list[Path]]:
    """The folders of this process's control group and of those above it, the nearest first."""
    own = _own_paths(proc)
    for kind, options, root, point in _hierarchies(proc):
        if kind == "cgroup" and controller in options and controller in own:
            return _V1, list(_upwards(own[controller], root, point))
    for kind, _, root, point in _hierarchies(proc):
        if kind == "cgroup2" and "" in own:
            return _V2, list(_upwards(own[""], root, point))
    return _V2, []


def _own_paths(proc: Path) -> dict[str, str]:
    """The path of this process in each hierarchy, by controller; "" is version 2."""
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
    """From a group's folder to the mount point; what the mount does not show counts as its root."""
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
    """Cores that a group may use on average, or None for all."""
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
