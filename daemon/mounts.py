"""Which paths lie on network storage, as the kernel's list of mounts tells it.

Comes in: a path and the text of /proc/self/mountinfo. Goes out: yes or no. Mounts nothing,
writes nothing.
"""

import re
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
        mount = _mount(line)
        if mount and _holds(mount[0], target) and len(mount[0]) >= best:
            best, kind = len(mount[0]), mount[1]  # a later mount on the same point hides the first
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def _mount(line: str) -> tuple[str, str] | None:
    """Mount point and file system type of one line, or None where it is no such line."""
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < 5 or not rest[0]:
        return None
    point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[4])
    return point, rest[0]


def _holds(point: str, target: str) -> bool:
    return target == point or target.startswith(point.rstrip("/") + "/")
