"""Asking: what a command wants of the daemon is left in a folder, which the daemon empties.

Comes in: a folder of the station's state, a list. Goes out: one whole JSON file there. Only the
daemon writes the ledger, so this is how commands reach it, whether it runs or not.
"""

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path


def leave(folder: Path, content: Sequence[str | int], name: str = "") -> None:
    """Leave a request; it is there whole or not at all.

    Args:
        folder: Where the daemon looks; made if need be. The folder above it belongs to the daemon.
        content: What is asked.
        name: What the file's name starts with: requests are taken in order of their names.
    """
    owner = folder.parent.stat()
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        # Whoever of the station's group asks first makes the folder, and the daemon empties it.
        folder.chmod(stat.S_IMODE(owner.st_mode))
    part = folder / f"{name}{secrets.token_hex(8)}.part"
    part.write_text(json.dumps(list(content)))
    part.chmod(0o664)
    if os.geteuid() == 0:  # what root asks for, too, the daemon's own user must be able to take
        for path in (folder, part):
            os.chown(path, owner.st_uid, owner.st_gid)
    part.rename(part.with_suffix(".json"))
