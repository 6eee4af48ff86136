"""JSON files: read within bounds, and written whole or not at all."""

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from daemon.system.errors import UsageError
from daemon.system.files import give_name, read_bounded
from daemon.system.text import json_text

MAX_JSON_BYTES = 1 << 20
"""Largest file in bytes that `read_json` reads unless it is told otherwise."""

_PART = re.compile(r"\.[0-9a-f]{16}\.part")
"""Names of files that are being written."""


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> object:
    """Read JSON that anybody may have put there.

    Args:
        path: The file.
        max_bytes: Size beyond which it is refused; no more is read of it.

    Raises:
        Exception: Whatever is wrong with it: it is a link, a FIFO or a folder, it is gone or too
            large, it may not be read, or it is no JSON. A parser may raise what it likes.
    """
    raw = read_bounded(path, max_bytes)
    return json.loads(raw.decode(), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> object:
    raise UsageError(f"{name} is not a number in JSON")


def write_json(path: Path, content: Mapping[str, object], mode: int, group: int | None) -> None:
    """Write a new JSON file durably; its name must be free."""
    with path.open("x", encoding="utf-8") as file:
        file.write(json_text(content, indent=2) + "\n")
        file.flush()
        os.fchmod(file.fileno(), mode)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        os.fsync(file.fileno())


def write_new(path: Path, content: Mapping[str, object], mode: int, group: int | None) -> None:
    """Write a JSON file durably to a name that must be free; it appears whole or not at all.

    What a killed one left is removed when it is repeated.

    Raises:
        FileExistsError: The name is taken.
        OSError: The disk is full or refuses.
    """
    part = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    try:
        part.unlink(missing_ok=True)
        write_json(part, content, mode, group)
        if not give_name(part, path, None):
            raise FileExistsError(errno.EEXIST, "the name is taken", str(path))
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: Mapping[str, object]) -> None:
    """Write or replace a JSON file durably; a reader sees the old one or the new one, whole."""
    write_text_whole(path, json_text(content, indent=2))


def write_text_whole(path: Path, text: str) -> None:
    """Write or replace a text file durably, as `write_whole`."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def clear_parts(folder: Path) -> None:
    """Remove the partial files of killed writers from a folder that this program alone writes to.

    Raises:
        OSError: One of them cannot be removed.
    """
    for path in folder.glob(".*.part"):
        if _PART.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
            path.unlink(missing_ok=True)
