"""Which paths lie on network storage, as the kernel's list of mounts tells it.

Comes in: a path and the text of /proc/self/mountinfo. Goes out: yes or no. Mounts nothing,
writes nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb",
            "smb2",
            "smb3",
            "smbfs",
            "ncp",
            "ncpfs",
            "afs",
            "auristorfs",
        ),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "gfs", "gfs2"),
        *("ocfs2", "coda", "davfs", "fuse", "9p", "virtiofs", "vboxsf", "vmhgfs", "drvfs"),
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
        root: Which folder of the file system is mounted.
        point: Where.
        kind: Type of the file system, such as "ext4" or "fuse.sshfs".
        options: Of the file system, separated by commas.
    """

    root: str
    point: str
    kind: str
    options: str


def is_network_path(path: Path, mountinfo: str | None = None) -> bool:
    """Say whether a path lies on a file system that other machines change unseen.

    Such a file system sends no events for what others write and keeps no reliable locks. FUSE
    counts as one, because most of its file systems are (sshfs, rclone, s3fs, gvfs), save those
    known to be local.

    Args:
        path: Any path; it need not exist yet.
        mountinfo: Text in the form of proc(5) mountinfo; None reads the kernel's, and a system
            that has none counts as local.
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


def read_mount(line: str) -> Mount | None:
    """What a line of /proc/self/mountinfo says, or None where it is no such line."""
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < 5 or not rest[0]:
        return None
    root, point = (_ESCAPE.sub(lambda found: chr(int(found[1], 8)), text) for text in fields[3:5])
    return Mount(root, point, rest[0], rest[2] if len(rest) > 2 else "")


def _holds(point: str, target: str) -> bool:
    return target == point or target.startswith(point.rstrip("/") + "/")
