"""What may be submitted as a bulk job; the command and the daemon both check it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from daemon.system.errors import UsageError
from daemon.system.files import is_there, shown

_MAX_NAME = 100
"""Longest name of a bulk job in characters."""


def check_name(name: str) -> None:
    """Check the name of a bulk job, which also names the folder of its report.

    Raises:
        UsageError: The name is not allowed.
    """
    plain = name.isprintable() and "/" not in name and not name.startswith((".", "-"))
    if not name.strip() or len(name) > _MAX_NAME or not plain:
        raise UsageError(
            f"--name {name!r}: 1 to {_MAX_NAME} characters, no line break, no /, no . or - first"
        )


def check_apart(own: Sequence[Path], roots: Sequence[Path]) -> None:
    """Check that nothing the daemon writes is submitted.

    Args:
        own: Folders that the daemon writes results into.
        roots: Files and folders that are submitted.

    Raises:
        UsageError: One lies in such a folder or around it.
    """
    folders = [folder.resolve() for folder in own]
    for root in roots:
        whole = root.resolve()
        for folder in folders:
            if whole.is_relative_to(folder) or folder.is_relative_to(whole):
                raise UsageError(
                    f"{shown(root)} and {shown(folder)}, where results go, lie in each other: they "
                    "would be restored again. For what is in the archive there is `restored redo`"
                )


def check_roots(own: Sequence[Path], paths: Sequence[Path]) -> tuple[Path, ...]:
    """The absolute paths of what is submitted, without those that lie in others.

    Args:
        own: Folders that the daemon writes results into.
        paths: What is submitted.

    Raises:
        UsageError: One does not exist, holds nothing, or lies in a folder of results or around it.
    """
    roots: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{shown(path)}: no such file or folder")
        with contextlib.suppress(PermissionError):  # the daemon's own user may read it
            if path.is_dir() and not is_there(path):
                raise UsageError(f"{shown(path)}: it holds nothing; is its disk mounted?")
        roots.append(path.resolve())
    check_apart(own, paths)
    return tuple(
        dict.fromkeys(
            root
            for root in roots
            if not any(root != other and root.is_relative_to(other) for other in roots)
        )
    )
