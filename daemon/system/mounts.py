"""Where file systems are mounted, according to the kernel's list of mounts.

It tells which paths lie on network storage, and whether a disk that was there is away. Nothing is
mounted or written.
"""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from daemon.system.files import real_path
from daemon.system.json_files import write_whole

_MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncp", "ncpfs", "afs"),
        *("auristorfs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2"),
        *("gfs", "gfs2", "ocfs2", "coda", "davfs", "fuse", "9p", "virtiofs", "vboxsf", "vmhgfs"),
        "drvfs",
    )
)
_LOCAL_FUSE = frozenset(
    ("fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.exfat-fuse", "fuse.lxcfs")
)
_MEMORY: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of the kernel's list.

    Attributes:
        root: The folder of the file system that is mounted.
        point: Where it is mounted.
        kind: Type of the file system, such as "ext4" or "fuse.sshfs".
        options: Options of the file system, separated by commas.
    """

    root: str
    point: str
    kind: str
    options: str


def is_network_path(path: Path, mountinfo: str | None = None) -> bool:
    """Say whether a path lies on a file system that other machines can change.

    Such a file system sends no events for what other machines write, and its locks cannot be relied
    on. Most FUSE file systems are of that kind (sshfs, rclone, s3fs, gvfs), so FUSE counts as
    network storage unless the type is known to be local.

    Args:
        path: Any path; it need not exist yet.
        mountinfo: Text in the form of proc(5) mountinfo; None reads the kernel's. A system without
            one counts as local.
    """
    if mountinfo is None:
        try:
            mountinfo = _MOUNTINFO.read_text("utf-8", "surrogateescape")
        except OSError:
            return False
    target = str(real_path(path))
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        mount = read_mount(line)
        if mount and _holds(mount.point, target) and len(mount.point) >= best:
            # A later mount on the same point hides the first.
            best, kind = len(mount.point), mount.kind
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


class MountWatch:
    """Notices that a file system which held a folder is mounted no more.

    Where it was mounted, an empty folder of another disk is left, which takes files all the same.
    """

    def __init__(self, memory: Path | None = None) -> None:
        """Remember what is mounted now.

        Args:
            memory: File in which it is kept, over restarts, on which disks folders lay; None keeps
                it in memory alone. Whoever removes the file says that disks are gone for good.
        """
        self._seen = mount_points()
        self._memory = memory
        self._lay_on = _read_memory(memory)

    def is_gone(self, folder: Path) -> bool:
        """Whether the file system that held a folder, which need not exist, is mounted no more."""
        with contextlib.suppress(OSError):
            os.stat(folder)  # noqa: PTH116  # an automounter mounts what is asked for
        now = mount_points()
        if not now:
            return False
        self._seen |= now
        held_by = _nearest(folder, self._seen)
        gone = self.is_unmounted(folder) or (held_by is not None and held_by not in now)
        if gone and self._is_forgotten():
            self._seen, self._lay_on, gone = now, {}, False
        if not gone:
            self._remember(folder, now)
        return gone

    def is_unmounted(self, folder: Path) -> bool:
        """Whether a folder lay on a disk that is not mounted now; the folder is not touched."""
        point, now = self._lay_on.get(str(folder)), mount_points()
        return point is not None and bool(now) and point not in now and not self._is_forgotten()

    def _is_forgotten(self) -> bool:
        """Whether somebody removed the file, so that nothing is waited for any more."""
        return bool(self._memory and self._lay_on and not self._memory.exists())

    def _remember(self, folder: Path, now: frozenset[str]) -> None:
        """Keep on which disk a folder lies, if that is another than the one around it."""
        point, known = _nearest(folder, now), self._lay_on.get(str(folder))
        if self._memory is None or point is None:
            return
        lay_on = {key: value for key, value in self._lay_on.items() if key != str(folder)}
        with contextlib.suppress(OSError):  # it is remembered at the next look
            if _is_own_disk(point):
                lay_on[str(folder)] = point
            if lay_on != self._lay_on or (known and not self._memory.exists()):
                write_whole(self._memory, lay_on)
                self._lay_on = lay_on


def _is_own_disk(point: str) -> bool:
    """Whether another disk is mounted here than around it.

    A mount of the same disk, such as a sandbox makes, is there in one run and not in the next, and
    hides nothing.
    """
    path = Path(point)
    return path.stat().st_dev != path.parent.stat().st_dev


def _nearest(folder: Path, points: frozenset[str]) -> str | None:
    path = Path(os.path.realpath(folder))
    return next((str(p) for p in (path, *path.parents) if str(p) in points), None)


def _read_memory(memory: Path | None) -> dict[str, str]:
    """The mount point on which each folder lay; none if the file cannot be understood."""
    if memory is None:
        return {}
    try:
        return _MEMORY.validate_json(memory.read_bytes())
    except (OSError, ValueError):
        return {}


def mount_points() -> frozenset[str]:
    """Where anything is mounted now; empty on a system without a list of mounts."""
    try:
        lines = _MOUNTINFO.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return frozenset()
    return frozenset(mount.point for line in lines if (mount := read_mount(line)))


def read_mount(line: str) -> Mount | None:
    """Read a line of /proc/self/mountinfo; None if it is not one."""
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < 5 or not rest[0]:
        return None
    root, point = (_ESCAPE.sub(lambda found: chr(int(found[1], 8)), text) for text in fields[3:5])
    return Mount(root, point, rest[0], rest[2] if len(rest) > 2 else "")


def _holds(point: str, target: str) -> bool:
    return target == point or target.startswith(point.rstrip("/") + "/")
