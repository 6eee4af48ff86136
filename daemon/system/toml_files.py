"""TOML files that people write: read within bounds of size and memory."""

import errno
import re
import tomllib
from pathlib import Path

from daemon.system.errors import UsageError
from daemon.system.files import read_bounded, real_path

_MAX_BYTES = 1 << 20
"""Largest TOML file in bytes that is read."""

_LONG_KEY = re.compile(
    r"""(?<![\w\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}"""
)
"""A dotted key for which tomllib's memory grows with the square of the number of its parts."""


def read_toml(path: Path) -> dict[str, object]:
    """Read TOML that a person wrote and may have named through links.

    Raises:
        Exception: Whatever is wrong with it: it is no file, is gone or has more than 1 MB, may not
            be read, or is no TOML. A parser may raise what it likes.
    """
    real = real_path(path)
    if real.is_symlink():
        raise OSError(errno.ELOOP, "its symbolic links lead round in a circle", str(path))
    return parse_toml(read_bounded(real, _MAX_BYTES).decode())


def parse_toml(text: str) -> dict[str, object]:
    """Parse TOML.

    Raises:
        UsageError: A key would take memory without end.
        Exception: It is no TOML; the parser also raises `RecursionError`.
    """
    if _LONG_KEY.search(text):
        raise UsageError("a dotted key has more than 16 parts")
    return tomllib.loads(text)
