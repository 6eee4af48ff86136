"""Where file systems are mounted, according to the kernel's list of mounts.

It tells which paths lie on network storage, and whether a disk that was there is away. Nothing is
mounted or written.
"""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

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
    target = str(path.resolve())
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

    def __init__(self) -> None:
        """Remember what is mounted now."""
        self._seen = mount_points()

    def is_gone(self, folder: Path) -> bool:
        """Whether the file system that held a folder, which need not exist, is mounted no more."""
        with contextlib.suppress(OSError):
            os.stat(folder)  # noqa: PTH116  # an automounter mounts what is asked for
        now = mount_points()
        if not now:
            return False
        self._seen |= now
        path = Path(os.path.realpath(folder))
        held_by = next((str(p) for p in (path, *path.parents) if str(p) in self._seen), None)
        return held_by is not None and held_by not in now


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
