"""What open descriptors stand for."""

import os
from pathlib import Path


def path_of(folder: int | str | bytes | os.PathLike[str]) -> str:
    """The path of a folder that is open, or that is named by its path."""
    if isinstance(folder, int):
        return str(Path(f"/proc/self/fd/{folder}").readlink())
    return os.fsdecode(folder)
