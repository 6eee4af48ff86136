"""Checks on a bulk job that is submitted; the command and the daemon both make them."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from daemon.intake.requests import MAX_ROOTS
from daemon.system.errors import UsageError
from daemon.system.files import is_there, real_path, shown

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
            f"--name {name!r}: 1 to {_MAX_NAME} printable characters, no /, no . or - first"
        )


def check_apart(own: Sequence[Path], roots: Sequence[Path]) -> None:
    """Check that nothing the daemon writes is submitted.

    Args:
        own: Folders that the daemon writes results into.
        roots: Files and folders that are submitted.

    Raises:
        UsageError: One lies in such a folder or around it.
    """
    folders = [real_path(folder) for folder in own]
    for root in roots:
        whole = real_path(root)
        for folder in folders:
            if whole.is_relative_to(folder) or folder.is_relative_to(whole):
                raise UsageError(
                    f"{shown(root)} and {shown(folder)}, where results go, lie in each other: they "
                    "would be restored again. For what is in the archive there is `restored redo`"
                )


def check_roots(own: Sequence[Path], paths: Sequence[Path]) -> tuple[Path, ...]:
    """The absolute paths of what a command submits, without those that lie in others.

    Args:
        own: Folders that the daemon writes results into.
        paths: What is submitted.

    Raises:
        UsageError: One does not exist, holds nothing, or lies in a folder of results or around it;
            or there are too many.
        OSError: One cannot be looked at now.
    """
    if len(paths) > MAX_ROOTS:
        raise UsageError(f"{len(paths)} paths, at most {MAX_ROOTS}; name folders, not files")
    check_apart(own, paths)
    for path in paths:
        if why := _why_nothing(path):
            raise UsageError(f"{shown(path)}: {why}")
    return _outermost(paths)


def check_roots_again(own: Sequence[Path], roots: Sequence[Path]) -> tuple[Path, ...]:
    """The same by the daemon, when it takes the request: some of it may have gone meanwhile.

    Args:
        own: Folders that the daemon writes results into.
        roots: What is submitted.

    Raises:
        UsageError: Nothing of it is there, or one lies in a folder of results or around it.
    """
    check_apart(own, roots)
    try:
        reasons = [_why_nothing(root) for root in roots]
    except OSError:  # a job waits for a disk that is away
        return tuple(roots)
    if all(reasons):
        raise UsageError(f"{shown(roots[0])}: {reasons[0]}")
    return _outermost(roots)


def _why_nothing(path: Path) -> str:
    """Why there is nothing to restore at a path, or ""."""
    if not path.exists():
        return "a link that leads nowhere" if path.is_symlink() else "no such file or folder"
    with contextlib.suppress(PermissionError):  # the daemon's own user may read it
        if path.is_dir() and not is_there(path):
            return "it holds nothing; is its disk mounted?"
    return ""


def _outermost(paths: Sequence[Path]) -> tuple[Path, ...]:
    roots = [real_path(path) for path in paths]
    known = set(roots)
    return tuple(dict.fromkeys(root for root in roots if known.isdisjoint(root.parents)))
