"""`restored run` as a process of its own, with its worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import skimage.data
from PIL import Image

RESTORED = Path(sys.executable).with_name("restored")
"""The installed command."""

DEADLINE_S = 120
"""Seconds until a test that waits for a process fails."""


@contextmanager
def running(root: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`restored run`, killed at the end if it still runs."""
    with (root / "run.log").open("ab") as log:
        process = subprocess.Popen(
            [RESTORED, "--station", root, "run"],
            stderr=log,
            env=os.environ | {"RESTORED_SETTLE_S": "0.1"} | environment,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def photograph(size: int, left: int = 0) -> Image.Image:
    """A square out of a real photograph."""
    return Image.fromarray(skimage.data.astronaut()[:size, left : left + size])


def drop_picture(root: Path, name: str, picture: Image.Image) -> Path:
    """Save a picture as PNG and rename it into the inbox, as a scanner does."""
    path = root / "inbox" / name
    part = path.with_name(f".{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    picture.save(part, format="PNG")
    return part.rename(path)


def worker_of(process: subprocess.Popen[bytes]) -> int | None:
    """The spawned worker: the child that has torch's libraries mapped."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(") ", 1)[1].split()[1])
            if parent == process.pid and "libtorch" in (stat.parent / "maps").read_text():
                return int(stat.parent.name)
        except (OSError, IndexError):
            continue
    return None
