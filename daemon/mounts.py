"""Which folders lie on network storage, told from the system's table of mounts."""

import os
import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")

_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs",
    "davfs", "ncpfs", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.davfs2",
    "fuse.smbnetfs", "fuse.juicefs", "fuse.ceph", "fuse.gcsfuse", "virtiofs", "vboxsf", "prl_fs",
}  # fmt: skip


def is_network_path(path: Path, table: str | None = None) -> bool:
    """Whether a path lies where no local process may be the only writer and no events come.

    Args:
        path: Any path; it need not exist.
        table: Text of /proc/self/mountinfo; the system's own if None.
    """
    if table is None:
        try:
            table = _TABLE.read_text(errors="surrogateescape")
        except OSError:
            return False
    real = os.path.realpath(path)
    deepest, kind = "", ""
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 5 or not rest[0]:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(deepest):  # the last of two mounts on a point is seen
            deepest, kind = point, rest[0]
    return kind in _NETWORK
